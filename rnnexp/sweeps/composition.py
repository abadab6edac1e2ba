"""The jobs of a multirun before they run: how many, which, and whether each can be built."""

import itertools
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from rnnexp.checks import InvalidValue, UserError
from rnnexp.settings import as_in_job, check_root, typed_overrides

#: Sweepers whose jobs are known before the first one runs.
KNOWN_BEFOREHAND = "BasicSweeper"


def parsed(config: DictConfig) -> list[Override]:
    """The overrides of a multirun, those that its sweeper's settings add included; the last one for a key counts."""
    loader = GlobalHydra.instance().config_loader()
    given = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
    typed = [*given, *typed_overrides(config.hydra)]
    overrides = OverridesParser.create(config_loader=loader).parse_overrides(typed)
    return list({override.get_key_element(): override for override in overrides}.values())


def swept_keys(config: DictConfig) -> list[str]:
    """Keys with more than one value in a multirun, as written on the command line, without + or ~."""
    return [override.get_key_element().lstrip("+~") for override in parsed(config) if override.is_sweep_override()]


def known_jobs(config: DictConfig) -> tuple[int, Iterator[list[str]]] | None:
    """How many jobs a multirun has, and each one's overrides; None if only the sweeper will know.

    `InvalidValue` if a key has no values to enumerate.
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
    """Jobs such as a sweeper that chooses the values itself may make: the ends of each range, every choice.

    `InvalidValue` if a key has no value to choose from.
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


def check_all(config: DictConfig, jobs: Iterable[list[str]]) -> list[dict[str, Any]]:
    """Build every job once, those that differ in their seed only together; the settings of each.

    Other errors of a class are left for its job to report, unless every job raises one.

    Raises
    ------
    UserError
        The first job's that is refused, with its overrides.
    """
    from rnnexp.build import build_experiment  # late: refusals of Hydra's need not wait for NumPy

    composer, seen, faults, every = composer_of(config), set(), [], []
    jobs = list(jobs)
    at_a_time = jobs_at_a_time(config, len(jobs))
    for number, job in enumerate(jobs):
        try:
            settings = composer.job(job, number).settings
            every.append(settings)
            key = json.dumps({**settings, "seed": 0, "run_name": None}, sort_keys=True, default=str)
            if key not in seen:
                seen.add(key)
                build_experiment(settings, at_a_time)
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
    return every


def jobs_at_a_time(config: DictConfig, most: int) -> int:
    """How many of the jobs a launcher runs on this machine at once, as far as its settings say."""
    launcher = config.hydra.launcher
    if "submitit" in str(launcher.get("_target_")):
        return 1
    workers, copies = launcher.get("n_jobs") or 1, launcher.get("max_copies") or 1
    workers = (os.cpu_count() or 1) if workers < 0 else workers
    return int(max(1, min(workers * copies, most)))


def check_count(count: int, most: int) -> None:
    """Refuse more jobs than are likely to be intended."""
    if count > most:
        raise UserError(
            f"max_jobs must be >= the number of jobs of this sweep, which is {count}, got {most}",
            f"if that many are meant: max_jobs={count}",
        )


class ComposedJob(NamedTuple):
    """A job as plain values: settings as from `check_root`, choices of every group, overrides other than Hydra's."""

    settings: dict[str, Any]
    choices: dict[str, Any]
    overrides: list[str]
    folder: Path


class Composer:
    """The jobs of the multirun `master` as plain settings, each composed once, for its check and its launch."""

    def __init__(self, master: DictConfig) -> None:
        self.master = master
        str(master.hydra.sweep.dir)  # its time is kept from here on, for the jobs as well
        self._jobs: dict[tuple[int, tuple[str, ...]], ComposedJob] = {}

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The configuration of a job, as Hydra's own launchers compose it."""
        return GlobalHydra.instance().config_loader().load_sweep_config(self.master, list(overrides))

    def job(self, overrides: Sequence[str], number: int) -> ComposedJob:
        """What the job of this number runs."""
        key = (number, tuple(overrides))
        if key not in self._jobs:
            config = self.compose(overrides)
            with as_in_job(config, number):
                settings, folder = check_root(config), Path(config.hydra.runtime.output_dir)
            task = typed_overrides(config.hydra)
            self._jobs[key] = ComposedJob(settings, dict(config.hydra.runtime.choices), task, folder)
        return self._jobs[key]


_composers: dict[int, Composer] = {}


def composer_of(master: DictConfig) -> Composer:
    """The one composer of a multirun."""
    composer = _composers.get(id(master))
    if composer is None or composer.master is not master:
        _composers.clear()
        composer = _composers[id(master)] = Composer(master)
    return composer
