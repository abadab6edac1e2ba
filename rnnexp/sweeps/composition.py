"""The jobs of a multirun before they run: how many, which, and whether each can be built."""

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from rnnexp.checks import InvalidValue, UserError
from rnnexp.settings import check_root

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


def known_jobs(config: DictConfig) -> tuple[int, Iterator[list[str]]] | None:
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
    from rnnexp.build import build_experiment  # late: refusals of Hydra's need not wait for NumPy

    composer, seen, faults = composer_of(config), set(), []
    for job in jobs:
        try:
            settings = composer.job(job).settings
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


def check_count(count: int, most: int) -> None:
    """Refuse more jobs than a person is likely to mean."""
    if count > most:
        raise UserError(
            f"max_jobs must be >= the number of jobs of this sweep, which is {count}, got {most}",
            f"if that many are meant: max_jobs={count}",
        )


class Composer:
    """The jobs of a multirun as plain settings, each composed once: for the check of the sweep, and for its launch.

    Parameters
    ----------
    master : DictConfig
        The configuration of the multirun.
    """

    def __init__(self, master: DictConfig) -> None:
        self.master = master
        self._jobs: dict[tuple[str, ...], ComposedJob] = {}

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The configuration of a job, as Hydra's own launchers compose it."""
        return GlobalHydra.instance().config_loader().load_sweep_config(self.master, list(overrides))

    def job(self, overrides: Sequence[str]) -> "ComposedJob":
        """What a job runs."""
        key = tuple(overrides)
        if key not in self._jobs:
            config = self.compose(overrides)
            task = list(config.hydra.overrides.task)
            self._jobs[key] = ComposedJob(check_root(config), dict(config.hydra.runtime.choices), task)
        return self._jobs[key]


@dataclass(frozen=True)
class ComposedJob:
    """A job as plain values.

    Attributes
    ----------
    settings : dict
        As `check_root` gives them.
    choices : dict of str to str
        Of every group.
    overrides : list of str
        What the job changes, without what it says to Hydra.
    """

    settings: dict[str, Any]
    choices: dict[str, Any]
    overrides: list[str]


_composers: dict[int, Composer] = {}


def composer_of(master: DictConfig) -> Composer:
    """The one composer of a multirun."""
    composer = _composers.get(id(master))
    if composer is None or composer.master is not master:
        _composers.clear()
        composer = _composers[id(master)] = Composer(master)
    return composer
