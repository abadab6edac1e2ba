"""The jobs of a multirun before they run: how many, which, and whether each can be built."""

import copy
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from rnnexp.checks import InvalidValue, UserError

#: Sweepers whose jobs are known before the first one runs.
KNOWN_BEFOREHAND = "BasicSweeper"


def parsed(config: DictConfig) -> list[Override]:
    """The overrides of a multirun, those that its sweeper's settings add included; the last one for a key counts."""
    loader = GlobalHydra.instance().config_loader()
    given = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
    overrides = OverridesParser.create(config_loader=loader).parse_overrides([*given, *config.hydra.overrides.task])
    return list({override.get_key_element(): override for override in overrides}.values())


def swept_keys(config: DictConfig) -> list[str]:
    """Keys that a multirun gives more than one value, as written on the command line, without + or ~."""
    return [override.get_key_element().lstrip("+~") for override in parsed(config) if override.is_sweep_override()]


def combinations(config: DictConfig) -> tuple[int, Iterator[list[str]]] | None:
    """How many jobs a multirun has, and each one's overrides; None if only the sweeper will know.

    Raises
    ------
    InvalidValue
        If a key has no value to go through.
    """
    if not str(config.hydra.sweeper._target_).endswith(KNOWN_BEFOREHAND):
        return None
    axes: list[list[str]] = []
    for override in parsed(config):
        if override.is_interval_sweep():
            hint = "a range of real numbers needs hydra/sweeper=optuna"
            raise InvalidValue(override.get_key_element(), given_as(override), "a list of values", hint)
        axes.append(assignments(override))
    return math.prod(map(len, axes)), (list(job) for job in itertools.product(*axes))


def trials(config: DictConfig) -> list[list[str]]:
    """Jobs such as a sweeper may make that chooses the values itself: the ends of each key's values, every choice.

    Raises
    ------
    InvalidValue
        If a key has no value to choose from.
    """
    axes = []
    for override in parsed(config):
        values = assignments(override)
        axes.append([values[0], values[-1]] if override.is_range_sweep() else values)
    first = [values[0] for values in axes]
    others = [[*first[:at], value, *first[at + 1 :]] for at, values in enumerate(axes) for value in values[1:]]
    return [first, *others]


def assignments(override: Override) -> list[str]:
    """``key=value`` for each value of an override, for both ends of a range of real numbers; refused without any."""
    key = override.get_key_element()
    if override.is_discrete_sweep():
        values = list(override.sweep_string_iterator())
    elif override.is_interval_sweep():
        between = cast(IntervalSweep, override.value())
        values = [str(between.start), str(between.end)]
    else:
        values = [override.get_value_element_as_str()]
    if not values:
        raise InvalidValue(key, given_as(override) or None, "at least one value", f"for example {key}=1,2")
    return [f"{key}={value}" for value in values]


def given_as(override: Override) -> str:
    """The value of an override as it was typed."""
    return str(override.input_line).partition("=")[2]


def check_all(config: DictConfig, jobs: Iterable[list[str]]) -> None:
    """Build every job once, those that differ in their seed only together.

    What a class raises that is no refusal is for the job to tell that has it, unless every job does it.

    Raises
    ------
    UserError
        The first job's that is refused, with its overrides.
    """
    from rnnexp.build import build_experiment

    composer, seen, faults = composer_of(config), set(), []
    for job in jobs:
        try:
            settings = composer.settings(job)
            key = json.dumps({**settings, "seed": 0, "run_name": None}, sort_keys=True, default=str)
            if key not in seen:
                seen.add(key)
                build_experiment(settings)
        except InvalidValue as error:
            where = f"in the job {' '.join(job)}"
            hint = f"{error.hint}; {where}" if error.hint else where
            raise InvalidValue(error.key, error.value, error.allowed, hint) from None
        except (UserError, HydraException, OmegaConfBaseException):
            raise
        except Exception as error:  # not enough memory, too: there may be more where the job runs
            faults.append(error)
    if faults and len(faults) == len(seen):
        raise faults[0]


class Composer:
    """Configurations of jobs, each choice of groups composed once and single values written into it.

    Hydra composes a configuration anew for every job, which takes longer than training a small network. Values that
    are no choice of a group are written last there too, so the result is the same.

    Parameters
    ----------
    master : DictConfig
        The configuration of the multirun.
    """

    def __init__(self, master: DictConfig) -> None:
        self.master = master
        self.loader: Any = GlobalHydra.instance().config_loader()
        self._parser = OverridesParser.create()
        self._parsed: dict[str, Override] = {}
        self._choices: dict[str, bool] = {}
        self._bases: dict[tuple[str, ...], DictConfig] = {}
        self._working: dict[tuple[str, ...], DictConfig] = {}
        self._settings: dict[tuple[str, ...], dict[str, Any]] = {}

    def settings(self, overrides: Sequence[str]) -> dict[str, Any]:
        """What `check_root` makes of a job's configuration: the same for the check of the sweep and for the job."""
        from rnnexp.settings import check_root

        key = tuple(overrides)
        if key not in self._settings:
            self._settings[key] = check_root(self.compose(overrides))
        return self._settings[key]

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The configuration of a job. The next call may overwrite it."""
        base, values = self.base(overrides)
        if any(override.type != OverrideType.CHANGE or isinstance(override.value(), dict) for override in values):
            config = copy.deepcopy(base)  # what is added, deleted or merged would stay for the next job
        else:
            key = (str(id(base)), *sorted(override.key_or_group for override in values))
            if key not in self._working:
                self._working[key] = copy.deepcopy(base)
            config = self._working[key]
        ConfigLoaderImpl._apply_overrides_to_config(values, config)
        return config

    def base(self, overrides: Sequence[str]) -> tuple[DictConfig, list[Override]]:
        """What the choices of groups make of the configuration, and what is written into it afterwards, in order."""
        values: list[Override] = []
        choices: list[Override] = []
        for override in self.parsed(overrides):
            (choices if self._is_choice(override) else values).append(override)
        key = tuple(str(override.input_line) for override in choices)
        if key not in self._bases:
            self._bases[key] = original_load(self.loader, self.master, list(key))
        return self._bases[key], values

    def parsed(self, overrides: Sequence[str]) -> list[Override]:
        """Overrides as Hydra reads them; reading one takes longer than anything else here, and is done once."""
        for text in overrides:
            if text not in self._parsed:
                (self._parsed[text],) = self._parser.parse_overrides([text])
        return [self._parsed[text] for text in overrides]

    def _is_choice(self, override: Override) -> bool:
        text = str(override.input_line)
        if text not in self._choices:
            self._choices[text] = (
                override.package is not None
                or override.is_hydra_override()
                or override.is_sweep_override()
                or self.loader.repository.group_exists(override.key_or_group)
            )
        return self._choices[text]


original_load = ConfigLoaderImpl.load_sweep_config
_composers: dict[int, Composer] = {}


def composer_of(master: DictConfig) -> Composer:
    """The one composer of a multirun: what it has composed for the check is there for the launch."""
    composer = _composers.get(id(master))
    if composer is None or composer.master is not master:
        _composers.clear()
        composer = _composers[id(master)] = Composer(master)
    return composer


def load_sweep_config(loader: ConfigLoaderImpl, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
    """What Hydra's own function of this name returns, composed faster."""
    composer = composer_of(master_config)
    composer.loader = loader
    base, values = composer.base(sweep_overrides)
    config = copy.deepcopy(base)
    ConfigLoaderImpl._apply_overrides_to_config(values, config)
    parsed = [override for override in composer.parsed(sweep_overrides) if not override.is_hydra_override()]
    with open_dict(config.hydra):
        config.hydra.overrides.task = [override.input_line for override in parsed]
        layout = config.hydra.job.config.override_dirname
        config.hydra.job.override_dirname = get_overrides_dirname(
            overrides=parsed,
            kv_sep=layout.kv_sep,
            item_sep=layout.item_sep,
            exclude_keys=layout.exclude_keys,
        )
    OmegaConf.copy_cache(from_config=master_config, to_config=config)
    return config


def compose_faster() -> None:
    """Let Hydra's sweepers and launchers compose the jobs of this process by `load_sweep_config`.

    `check_all` has composed them all before, so the basic sweeper need not do it once more.
    """
    # Imported here, since Hydra loads its plugins anew when it starts.
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    BasicSweeper.validate_batch_is_legal = lambda self, batch: None  # type: ignore[method-assign]
    ConfigLoaderImpl.load_sweep_config = load_sweep_config  # type: ignore[method-assign, assignment]


def check_count(count: int, most: int) -> None:
    """Refuse more jobs than a person is likely to mean."""
    if count > most:
        raise UserError(
            f"max_jobs must be >= the number of jobs of this sweep, which is {count}, got {most}",
            f"if that many are meant: max_jobs={count}",
        )
