"""The typed root configuration, its checks, and the step from a configuration to plain Python objects."""

import os
import sys
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rnnexp import interrupts
from rnnexp.checks import InvalidValue, UserError, integer, nearest, one_of, show

DTYPES = ("float32", "float64")
BACKENDS = ("mlflow", "none")
CHECKPOINTS = ("files", "none")
PORTABLE_CELLS = ("TimeRNN", "TimeGRU", "TimeLSTM")
GROUPS = (
    "task",
    "cell",
    "bptt",
    "init",
    "optimizer",
    "schedule",
    "clipping",
    "regularizer",
    "gradients",
    "checkpoint",
    "tracking",
)


def whole(default: int | None, at_least: int) -> Any:
    """A field for a whole number; it may be null if that is its default or it says so in its type."""
    return field(default=default, metadata={"at_least": at_least})


@dataclass
class Config:
    """The root keys (conf/config.yaml says what each means) and the groups."""

    hidden_size: int = whole(10, 1)
    embedding_dim: int | None = whole(5, 1)
    num_layers: int = whole(1, 1)
    learn_initial_state: bool = False
    tie: bool = False
    freeze: Any = None
    output_size: int | None = whole(None, 1)
    bptt_length: int | None = whole(20, 1)
    bptt_stride: int | None = whole(None, 1)
    batch_size: int = whole(20, 1)
    steps: int = whole(1000, 1)
    eval_every: int | None = whole(None, 1)
    seed: int = whole(0, 0)
    dtype: str = "float32"
    run_name: str | None = None
    max_jobs: int = whole(1000, 1)
    fail_fast: bool = False
    resume: str | None = None
    skip_finished: bool = False
    task: dict[str, Any] = field(default_factory=dict)
    cell: dict[str, Any] = field(default_factory=dict)
    bptt: dict[str, Any] = field(default_factory=dict)
    init: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    schedule: dict[str, Any] = field(default_factory=dict)
    clipping: dict[str, Any] = field(default_factory=dict)
    regularizer: dict[str, Any] = field(default_factory=dict)
    gradients: dict[str, Any] = field(default_factory=dict)
    checkpoint: dict[str, Any] = field(default_factory=dict)
    tracking: dict[str, Any] = field(default_factory=dict)


ROOT_KEYS = tuple(item.name for item in fields(Config))


def root_rule(key: str) -> str:
    """What a root key may hold, in words."""
    item = next(item for item in fields(Config) if item.name == key)
    if key == "dtype":
        return f"one of {', '.join(DTYPES)}"
    if item.type is bool:
        return "true or false"
    if "at_least" not in item.metadata:
        return "a piece of text" if item.default is not MISSING else "a choice of its group"
    null = ", or null" if "None" in str(item.type) else ""
    return f"a whole number >= {item.metadata['at_least']}{null}"


def conf_dir() -> Path:
    """The folder of the YAML files: beside the package in a checkout, inside it when installed."""
    inside = Path(__file__).resolve().parent
    beside = inside.parent / "conf"
    return (
        beside
        if (beside / "config.yaml").is_file() and (inside.parent / "pyproject.toml").is_file()
        else (inside / "conf")
    )


def register() -> None:
    """Make the schema and the ``${rnnexp.pid:}`` resolver known to Hydra."""
    ConfigStore.instance().store(name="schema", node=Config)
    # Cached in the configuration, so that the workers of a sweep agree on its folder.
    OmegaConf.register_new_resolver("rnnexp.pid", os.getpid, replace=True, use_cache=True)


class CheckFirst(Callback):
    """Refuse a bad configuration before Hydra makes a folder for it.

    Attributes
    ----------
    prepared : list
        What was built for the check, for the job to take: it has not been used.
    resumption : Resumption or None
        The earlier run that this one goes on with.
    """

    prepared: ClassVar[list[Any]] = []
    resumption: ClassVar[Any] = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check every job before the first, and open the record of the sweep."""
        from rnnexp.hydra_errors import explain
        from rnnexp.sweeps import whole

        try:
            whole.begin(config)
        except UserError as error:
            raise SystemExit(error.message()) from None
        except Exception as error:
            interrupts.check()
            told = explain(error, sys.argv[1:])
            if told is None:
                traceback.print_exc()
                raise SystemExit(1) from None
            raise SystemExit(told.message()) from None

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Build everything once. SystemExit is the one way to stop that Hydra lets out of a callback."""
        from rnnexp.build import build
        from rnnexp.tracking.store import check_uri, tracking_uri

        try:
            settings, started_in, found = check_root(config), Path(config.hydra.runtime.cwd), None
            if settings["resume"] is not None:
                from rnnexp.resume import check_data, find

                CheckFirst.resumption = found = find(settings, config.hydra.overrides.task, started_in)
                settings = found.settings
                OmegaConf.set_readonly(config.hydra, False)
                config.hydra.run.dir = str(found.folder)
            self.prepared[:] = [build(settings)]
            if found is not None:
                check_data(found, self.prepared[0].task)
            if config.tracking.backend == "mlflow":
                check_uri(tracking_uri(config.tracking.uri, Path(config.hydra.runtime.cwd)))
            make_folder(Path(config.hydra.run.dir))
        except UserError as error:
            raise SystemExit(error.message()) from None
        except MemoryError as error:
            raise SystemExit(out_of_memory(error).message()) from None
        except Exception:
            interrupts.check()
            return  # the job will raise it again, where its traceback can be read


def make_folder(path: Path, key: str = "hydra.run.dir") -> None:
    """Make the folder that a setting names; `InvalidValue` if that is not allowed."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidValue(
            key,
            str(path),
            "a folder that can be written",
            f"{error.strerror}; start from another folder, or give {key}=/where/you/may/write",
        ) from None


def out_of_memory(error: MemoryError) -> UserError:
    """The refusal of sizes that do not fit into the memory."""
    return UserError(
        f"not enough memory: {error or 'the sizes are too large'}",
        "try a smaller hidden_size, output_size or batch_size",
    )


def check_memory(numbers: int, itemsize: int, what: str) -> None:
    """`MemoryError` if so many numbers are more than the memory: told before hours are spent on filling it."""
    need, have = numbers * itemsize, memory()
    if need > have:
        raise MemoryError(f"{what} take {need / 2**30:.3g} GiB, and there are {have / 2**30:.3g} GiB in all")


def memory() -> int:
    """Bytes that this process may hope for, if the system tells."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ImportError, AttributeError, ValueError, OSError):
        return sys.maxsize
    return installed if limit == resource.RLIM_INFINITY else min(limit, installed)


def check_root(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain Python values, its root keys checked."""
    try:
        own = [str(key) for key in config if key != "hydra"]
        root: dict[str, Any] = {key: plain(config[key]) for key in own}
    except OmegaConfBaseException as error:
        raise UserError(f"the configuration can't be resolved: {str(error).splitlines()[0]}") from None
    for key in root:
        if key not in ROOT_KEYS:
            raise unknown(key, ROOT_KEYS, root[key])
    for item in fields(Config):
        value = root.get(item.name)
        if "at_least" in item.metadata:
            if value is not None or "None" not in str(item.type):
                integer(item.name, value, at_least=item.metadata["at_least"])
        elif item.type is bool and not isinstance(value, bool):
            raise InvalidValue(item.name, value, root_rule(item.name))
        elif item.name in GROUPS and (not isinstance(value, dict) or not value):
            raise InvalidValue(item.name, value or None, f"one of {', '.join(options(item.name))}")
    one_of("dtype", root["dtype"], DTYPES)
    tracking = root["tracking"]
    one_of("tracking.backend", tracking.get("backend"), BACKENDS)
    checkpoint = root["checkpoint"]
    one_of("checkpoint.kind", checkpoint.get("kind"), CHECKPOINTS)
    check_known("checkpoint", checkpoint, ("kind", "every") if checkpoint["kind"] == "files" else ("kind",))
    if checkpoint.get("every") is not None:
        integer("checkpoint.every", checkpoint["every"], at_least=1, hint="checkpoint=none writes none")
    if root["skip_finished"] and tracking["backend"] != "mlflow":
        raise InvalidValue("skip_finished", True, "false with tracking=none", "finished runs are found in MLflow")
    check_known("tracking", tracking, ("backend", "experiment", "uri", "figures", "model"))
    for key in ("figures", "model"):
        if not (tracking.get(key) is None or isinstance(tracking[key], bool)):
            raise InvalidValue(f"tracking.{key}", tracking[key], "true or false, or null")
    check_model(tracking, root["cell"])
    for key, null in (("experiment", False), ("uri", True)):
        value = tracking.get(key)
        if not (isinstance(value, str) and value.strip()) and not (null and value is None):
            raise InvalidValue(f"tracking.{key}", value, "a piece of text" + (", or null" if null else ""))
    return root


def check_model(tracking: Mapping[str, Any], cell: Mapping[str, Any]) -> None:
    """Refuse to keep a model where that can't be done, before hours are spent on training it."""
    if not tracking.get("model"):
        return
    if tracking["backend"] != "mlflow":
        raise InvalidValue("tracking.model", True, "false with tracking=none", "models are kept in MLflow")
    target = str(cell.get("_target_"))
    if not target.startswith("rnnexp.layers.") or target.rpartition(".")[2] not in PORTABLE_CELLS:
        allowed = f"false with cell._target_={target}"
        raise InvalidValue("tracking.model", True, allowed, "a model runs without your code; cell=rnn, gru or lstm can")


def plain(value: Any) -> Any:
    """A value of a configuration as plain Python, interpolations resolved."""
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def options(group: str) -> list[str]:
    """The choices of a group, a person's own config folder included."""
    if not GlobalHydra.instance().is_initialized():
        return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
    return list(GlobalHydra.instance().config_loader().get_group_options(group))


def check_known(prefix: str, given: dict[str, Any], known: Iterable[str]) -> None:
    """Refuse the first of a group's keys that nothing uses."""
    known = list(known)
    for key in given:
        if key not in known:
            raise unknown(f"{prefix}.{key}", [f"{prefix}.{name}" for name in known], given[key])


def unknown(key: str, known: Iterable[str], value: object = None) -> UserError:
    """The refusal of a key that nothing uses."""
    known = list(known)
    group = key.partition(".")[0] + "."
    here = [name for name in known if name.startswith(group)] or [name for name in known if "." not in name]
    hint = (
        (nearest(key, here) if "." in key else "")
        or nearest(key, known)
        or f"known here: {', '.join(here) or 'nothing'}"
    )
    return UserError(f"there is no key '{key}', got {key}={show(value)}", hint)


def resumed_info(resumption: Any, hydra_config: Any) -> Any:
    """What a recorder has to know of a run that goes on."""
    from dataclasses import replace

    started_in = Path(hydra_config.runtime.cwd)
    found = resumption
    info = run_info(found.settings, found.choices, found.overrides, found.folder, started_in)
    return replace(info, resumed=found.state)


def run_info(
    settings: dict[str, Any],
    choices: Mapping[str, Any],
    overrides: Iterable[str],
    folder: Path,
    started_in: Path,
) -> Any:
    """What a recorder has to know, as plain values.

    Parameters
    ----------
    settings : dict
        As `check_root` gives them.
    choices : mapping
        Of every group.
    overrides : iterable of str
        What was changed on the command line.
    folder : Path
        Of the run.
    started_in : Path
        The working directory that the command was started in.

    Returns
    -------
    RunInfo
    """
    from rnnexp.tracking import RunInfo
    from rnnexp.tracking.store import redact, redact_setting

    uri = settings["tracking"]["uri"]
    if uri:
        settings = {**settings, "tracking": {**settings["tracking"], "uri": redact(uri)}}
    chosen = {group: str(choices[group]) for group in GROUPS if group in choices}
    if recipe := choices.get("experiment"):
        chosen["experiment"] = str(recipe)
    return RunInfo(
        settings=settings,
        choices=chosen,
        overrides=[redact_setting(text) for text in overrides],
        uri=uri,
        folder=folder,
        started_in=started_in,
    )
