"""The root keys and their rules: from a configuration, as Hydra composes it, to plain settings."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnexp.checks import InvalidValue, UserError, check_formats, check_known, integer, one_of, show, unknown
from rnnexp.usual_names import FORMER_GROUP, former_group, of_another_choice, usual

if TYPE_CHECKING:
    from omegaconf import DictConfig

DTYPES = ("float32", "float64")
BACKENDS = ("mlflow", "none")
#: A text that Hydra reads without quotes as what it is.
PLAIN = r"[A-Za-z0-9_./:+-]+"
#: Characters of the name of an MLflow experiment.
LONGEST_EXPERIMENT = 500
CHECKPOINTS = ("files", "none")
#: Bytes of a run's name: longer ones are cut by MLflow, and take minutes to lay out in a figure.
LONGEST_NAME = 250
#: Of the user's own tags: what MLflow takes as a name, and names that it or this program uses itself.
LONGEST_TAG_NAME, LONGEST_TAG_VALUE = 250, 5000
TAG_NAME = re.compile(r"(?![/ .])[\w\-.: /]{1,250}", re.ASCII)
RESERVED = ("mlflow.", "rnnexp.")
OWN_TAGS = ("diverged", "error", "git.dirty", "host", "not_finite_values", "pid", "process_start", "refused", "stopped")
PORTABLE_CELLS = ("TimeRNN", "TimeGRU", "TimeLSTM", "TimeLeaky")


def whole_number(default: int | None, at_least: int) -> Any:
    """A field for a whole number; its type says whether it can be null."""
    return field(default=default, metadata={"at_least": at_least})


@dataclass
class Config:
    """The root keys (described in conf/config.yaml) and the groups."""

    hidden_size: int = whole_number(10, 1)
    parameters: int | None = whole_number(None, 1)
    embedding_dim: int | None = whole_number(5, 1)
    num_layers: int = whole_number(1, 1)
    learn_initial_state: bool = False
    tie: bool = False
    shortcut: bool = False
    freeze: Any = None
    keep_zeros: Any = None
    output_size: int | None = whole_number(None, 1)
    bptt_length: int | None = whole_number(20, 1)
    bptt_stride: int | None = whole_number(None, 1)
    batch_size: int = whole_number(20, 1)
    steps: int = whole_number(1000, 1)
    eval_every: int | None = whole_number(None, 1)
    seed: int = whole_number(0, 0)
    dtype: str = "float32"
    run_name: str | None = None
    max_jobs: int = whole_number(1000, 1)
    fail_fast: bool = False
    resume: str | None = None
    skip_finished: bool = False
    overwrite: bool = False
    quiet: bool = False
    task: dict[str, Any] = field(default_factory=dict)
    cell: dict[str, Any] = field(default_factory=dict)
    algorithm: dict[str, Any] = field(default_factory=dict)
    init: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    schedule: dict[str, Any] = field(default_factory=dict)
    clipping: dict[str, Any] = field(default_factory=dict)
    regularizer: dict[str, Any] = field(default_factory=dict)
    stopping: dict[str, Any] = field(default_factory=dict)
    gradients: dict[str, Any] = field(default_factory=dict)
    checkpoint: dict[str, Any] = field(default_factory=dict)
    tracking: dict[str, Any] = field(default_factory=dict)


ROOT_KEYS = tuple(item.name for item in fields(Config))
GROUPS = tuple(item.name for item in fields(Config) if item.default is MISSING)


def unknown_key(key: str, value: Any, present: Mapping[str, Any]) -> UserError:
    """The error for a key that there is not, among those that are `present`: by the name that it has elsewhere, too."""
    if key.partition(".")[0] == FORMER_GROUP:
        given = flat({key: value}) if isinstance(value, Mapping) else {key: value}
        return former_group([f"{name}={show(each)}" for name, each in given.items()], options("algorithm"))
    within = [name for name, now in present.items() if key.startswith(f"{name}.") and isinstance(now, Mapping)]
    told = unknown(key, [name for name in present if name not in within] or ROOT_KEYS, value)
    tail = key.rpartition(".")[2]
    if key.startswith("tracking.tags."):
        return UserError(told.problem, f"tags are given together: 'tracking.tags={{{tail}: {show(value)}}}'")
    if key.startswith("hydra."):
        inside = key.startswith(("hydra.job.env_set.", "hydra.sweeper.params."))
        hint = (
            f"a new key takes a +: +{key}={show(value)}"
            if inside
            else "python -m rnnexp --cfg hydra shows Hydra's keys"
        )
        return UserError(told.problem, hint)
    if key.lower() in present:
        return UserError(told.problem, f"did you mean '{key.lower()}'?")
    if hint := of_another_choice(key, value, settings_by_choice):
        return UserError(told.problem, hint)
    # tracking.model is not what model=LSTM means
    siblings = [name for name in present if name.rpartition(".")[2] == tail and not name.startswith("tracking.")]
    if siblings or ("." in key and told.hint.startswith("did you mean")):
        return told
    return UserError(
        told.problem, usual(key, value, present, options) or usual(tail, value, present, options) or told.hint
    )


def root_rule(key: str) -> str:
    """The allowed values of a root key, in words."""
    item = next(item for item in fields(Config) if item.name == key)
    if key == "dtype":
        return f"one of {', '.join(DTYPES)}"
    if item.type is bool:
        return "true or false"
    if "at_least" not in item.metadata:
        return "a string" if item.default is not MISSING else "a choice of its group"
    null = ", or null" if "None" in str(item.type) else ""
    return f"a whole number >= {item.metadata['at_least']}{null}"


def conf_dir() -> Path:
    """The folder of the YAML files: next to the package in a checkout, inside it when installed."""
    inside = Path(__file__).resolve().parent
    beside = inside.parent / "conf"
    checkout = (beside / "config.yaml").is_file() and (inside.parent / "pyproject.toml").is_file()
    return beside if checkout else inside / "conf"


@contextmanager
def as_in_job(config: "DictConfig", number: int | None = None) -> Iterator[None]:
    """Within, interpolations of `config` resolve as in its job: ``${hydra:...}``, too.

    Parameters
    ----------
    config : DictConfig
        As Hydra composes it, with its own node; of a run, a whole sweep, or one job of it.
    number : int, optional
        Of the job in a sweep.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.utils import env_override
    from hydra.types import RunMode
    from omegaconf import OmegaConf, open_dict

    hydra, current = config.hydra, HydraConfig.instance()
    before, read_only = current.cfg, OmegaConf.is_readonly(hydra)
    OmegaConf.set_readonly(hydra, False)
    if number is not None:
        with open_dict(hydra.job):
            hydra.job.num, hydra.job.id = number, f"{hydra.job.name}_{number}"
    # Not by set_config, which copies the whole node, for every job of a sweep.
    current.cfg = config  # type: ignore[assignment]
    try:
        if number is not None or hydra.mode != RunMode.MULTIRUN:  # a sweep as a whole has none
            folder = Path(hydra.run.dir) if number is None else Path(hydra.sweep.dir, str(hydra.sweep.subdir))
            with open_dict(hydra.runtime):
                hydra.runtime.output_dir = str(folder.absolute())
        with env_override({str(key): str(value) for key, value in hydra.job.env_set.items()}):
            yield
    finally:
        current.cfg = before
        OmegaConf.set_readonly(hydra, read_only)


def typed_overrides(hydra_config: Any) -> list[str]:
    """The overrides of a run or job, other than those of Hydra's own settings, as typed: not resolved."""
    from omegaconf import OmegaConf

    typed: Any = OmegaConf.to_container(hydra_config.overrides.task, resolve=False)
    return [str(text) for text in typed]


def typed_keys(config: "DictConfig") -> set[str]:
    """The keys that were given in a run's or job's overrides; none where Hydra's own node is not there."""
    return keys_of(typed_overrides(config.hydra) if "hydra" in config else [])


def keys_of(overrides: Iterable[str]) -> set[str]:
    """The keys of overrides."""
    return {text.lstrip("+~").partition("=")[0].partition("@")[0] for text in overrides}


def with_hydra(config: "DictConfig", hydra_config: Any) -> "DictConfig":
    """A job's configuration with the node that Hydra takes out of it, so that ``${hydra.job.num}`` resolves."""
    from omegaconf import open_dict

    with open_dict(config):
        config["hydra"] = hydra_config
    return config


def check_root(config: "DictConfig") -> dict[str, Any]:
    """The configuration as plain Python values, its root keys checked."""
    from omegaconf.errors import OmegaConfBaseException

    try:
        own = [str(key) for key in config if key != "hydra"]
        root: dict[str, Any] = {key: plain(config[key]) for key in own}
    except OmegaConfBaseException as error:
        raise UserError(f"the configuration can't be resolved: {str(error).splitlines()[0]}") from None
    check_settings(root, typed_keys(config))
    return root


#: What `task` holds whichever is chosen.
OF_EVERY_TASK = {"eval_limit"}


def check_settings(root: Mapping[str, Any], typed: Collection[str]) -> None:
    """Refuse plain settings whose root keys are out of range, or don't go together; `typed` are the keys given."""
    for key in root:
        if key not in ROOT_KEYS:
            raise unknown_key(key, root[key], {name: value for name, value in flat(root).items() if name != key})
    for item in fields(Config):
        value = root.get(item.name)
        if "at_least" in item.metadata:
            if value is not None or "None" not in str(item.type):
                integer(item.name, value, at_least=item.metadata["at_least"])
        elif item.type is bool and not isinstance(value, bool):
            raise InvalidValue(item.name, value, root_rule(item.name))
        elif item.name in GROUPS and not (isinstance(value, dict) and value.keys() - OF_EVERY_TASK):
            chosen = None if isinstance(value, dict) else value
            raise InvalidValue(item.name, chosen, f"one of {', '.join(options(item.name))}")
    if root["parameters"] is not None and "hidden_size" in typed:
        hint = "give one of them: parameters picks the hidden_size"
        raise InvalidValue("parameters", root["parameters"], f"null with hidden_size={root['hidden_size']}", hint)
    one_of("dtype", root["dtype"], DTYPES)
    if len(str(root["run_name"] or "").encode("utf-8", "replace")) > LONGEST_NAME:
        raise InvalidValue("run_name", root["run_name"], f"a name of at most {LONGEST_NAME} bytes", "shorten it")
    tracking = root["tracking"]
    one_of("tracking.backend", tracking.get("backend"), BACKENDS)
    checkpoint = root["checkpoint"]
    one_of("checkpoint.kind", checkpoint.get("kind"), CHECKPOINTS)
    check_known("checkpoint", checkpoint, ("kind", "every") if checkpoint["kind"] == "files" else ("kind",))
    if checkpoint.get("every") is not None:
        integer("checkpoint.every", checkpoint["every"], at_least=1, hint="checkpoint=none writes none")
    if root["skip_finished"] and tracking["backend"] != "mlflow":
        raise InvalidValue("skip_finished", True, "false with tracking=none", "finished runs are found in MLflow")
    if root["overwrite"] and root["resume"] is not None:
        raise InvalidValue("overwrite", True, "false with resume", "a resumed run continues its record")
    check_known("tracking", tracking, ("backend", "experiment", "uri", "figures", "formats", "model", "tags"))
    check_formats("tracking.formats", tracking.get("formats"))
    check_tags(tracking.get("tags"))
    for key in ("figures", "model"):
        if not (tracking.get(key) is None or isinstance(tracking[key], bool)):
            raise InvalidValue(f"tracking.{key}", tracking[key], "true or false, or null")
    check_model(tracking, root["cell"])
    for key, null in (("experiment", False), ("uri", True)):
        value = tracking.get(key)
        if not (isinstance(value, str) and value.strip()) and not (null and value is None):
            raise InvalidValue(f"tracking.{key}", value, "a string" + (", or null" if null else ""))
    if len(tracking["experiment"]) > LONGEST_EXPERIMENT:
        allowed = f"a string of at most {LONGEST_EXPERIMENT} characters"
        raise InvalidValue("tracking.experiment", tracking["experiment"], allowed, "MLflow takes no longer name")


def formats_of(tracking: Mapping[str, Any]) -> list[str]:
    """The formats of the figures, each once; earlier versions had PNG only."""
    return list(dict.fromkeys(tracking.get("formats") or ["png"]))


def check_tags(tags: Any) -> None:
    """Refuse tags that are no strings by name, or that MLflow or this program would take for its own."""
    hint = "for example 'tracking.tags={course: rnn101}'"
    if tags is None:
        return
    if not isinstance(tags, dict):
        raise InvalidValue("tracking.tags", tags, "strings by name, or null", hint)
    for name, value in tags.items():
        key = f"tracking.tags.{name}"
        if not isinstance(name, str) or not TAG_NAME.fullmatch(name):
            allowed = f"a name of at most {LONGEST_TAG_NAME} letters, digits and the signs _ - . : / and space"
            raise InvalidValue("a name in tracking.tags", name, allowed, hint)
        if name.startswith(RESERVED) or name in OWN_TAGS:
            allowed = f"another name than one of {', '.join((*RESERVED, *OWN_TAGS))}, which are set by the program"
            other = f"for example 'tracking.tags={{my.{name}: {show(value)}}}'"
            raise InvalidValue("a name in tracking.tags", name, allowed, other)
        if not isinstance(value, str | int | float):
            raise InvalidValue(key, value, "a string", hint)
        if len(str(value)) > LONGEST_TAG_VALUE:
            raise InvalidValue(key, value, f"a string of at most {LONGEST_TAG_VALUE} characters", "shorten it")


def check_model(tracking: Mapping[str, Any], cell: Mapping[str, Any]) -> None:
    """Refuse to keep a model that could not be saved, before any time is spent on training it."""
    if not tracking.get("model"):
        return
    if tracking["backend"] != "mlflow":
        raise InvalidValue("tracking.model", True, "false with tracking=none", "models are kept in MLflow")
    target = str(cell.get("_target_"))
    if not target.startswith("rnnexp.layers.") or target.rpartition(".")[2] not in PORTABLE_CELLS:
        allowed = f"false with cell._target_={target}"
        raise InvalidValue(
            "tracking.model", True, allowed, "a model runs without your code; cell=rnn, gru, lstm or leaky can"
        )


def quoted(text: str) -> str:
    """A text in the quotes in which Hydra reads it as it is; interpolations stay alive."""
    mark = "'" if '"' in text and "'" not in text else '"'
    escaped = re.sub(rf"(\\*){mark}", rf"\1\1\\{mark}", text)
    escaped = re.sub(r"(\\+)$", r"\1\1", escaped)
    return f"{mark}{escaped}{mark}"


def override(key: str, value: str) -> str:
    """``key=value`` as Hydra reads it, in quotes if need be."""
    return f"{key}={value if re.fullmatch(PLAIN, value) else quoted(value)}"


def plain(value: Any) -> Any:
    """A value of a configuration as plain Python, interpolations resolved."""
    from omegaconf import OmegaConf

    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def options(group: str) -> list[str]:
    """The choices of a group, including those in the user's config folder."""
    from hydra.core.global_hydra import GlobalHydra

    if not GlobalHydra.instance().is_initialized():
        return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
    return list(GlobalHydra.instance().config_loader().get_group_options(group))


def settings_by_choice(group: str) -> dict[str, Any]:
    """The settings of every choice of one of the package's groups."""
    from omegaconf import OmegaConf

    found: Any = {path.stem: OmegaConf.load(path) for path in sorted((conf_dir() / group).glob("*.yaml"))}
    return {choice: own.get(group, own) for choice, own in found.items()}


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """All values by dotted key, prefixed with `prefix`."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
