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
from hydra.core.override_parser.types import IntervalSweep, Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rnnexp.checks import InvalidValue, UserError
from rnnexp.settings import GROUPS, as_in_job, check_root, check_settings, flat, keys_of, typed_overrides

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


def every_job(overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of each job of a command whose keys have values to enumerate, without composing anything."""
    given = OverridesParser.create().parse_overrides(list(overrides))
    return [list(job) for job in itertools.product(*map(assignments, given))]


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


def check_all(
    config: DictConfig, jobs: Iterable[list[str]]
) -> tuple[list[dict[str, Any]], dict[tuple[str, str], dict[str, Any]]]:
    """Build every job once, those that differ in their seed only together; the settings of each, and their datasets.

    Other errors of a class are left for its job to report, unless every job raises one.

    Raises
    ------
    UserError
        The first job's that is refused, with its overrides.
    """
    from rnnexp.build import build_experiment, tell_of_data  # late: refusals of Hydra's need not wait for NumPy
    from rnnexp.tracking.datasets import dataset

    composer, seen, told, faults, every = composer_of(config), set(), {("", "")}, [], []
    jobs, cwd = list(jobs), Path(config.hydra.runtime.cwd)
    datasets = {}
    at_a_time = jobs_at_a_time(config, len(jobs))
    for number, job in enumerate(jobs):
        try:
            settings, choices = composer.job(job, number)[:2]
            every.append(settings)
            key = json.dumps({**settings, "seed": 0, "run_name": None}, sort_keys=True, default=str)
            if key not in seen:
                seen.add(key)
                experiment = build_experiment(settings, at_a_time)
                found = dataset(experiment, settings, choices, cwd)
                datasets[found["name"], found["digest"]] = found
                said = (getattr(experiment.task, "reading", ""), getattr(experiment.task, "caution", ""))
                if said not in told:
                    told.add(said)
                    tell_of_data(experiment.task)
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
    return every, datasets


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
    """The jobs of the multirun `master` as plain settings, each composed once, for its check and its launch.

    Hydra composes the first of those that differ in single values only. The others have what it gave that one, and
    share it, but for these values: to compose a job takes longer than to train a small network.
    """

    def __init__(self, master: DictConfig) -> None:
        self.master = master
        str(master.hydra.sweep.dir)  # its time is kept from here on, for the jobs as well
        self._jobs: dict[tuple[int, tuple[str, ...]], ComposedJob] = {}
        self._parser = OverridesParser.create()
        self._parsed: dict[str, Override] = {}
        self._models: dict[Any, tuple[DictConfig, ComposedJob]] = {}
        self._known: set[str] = set()

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The configuration of a job, as Hydra's own launchers compose it."""
        return GlobalHydra.instance().config_loader().load_sweep_config(self.master, list(overrides))

    def job(self, overrides: Sequence[str], number: int) -> ComposedJob:
        """What the job of this number runs."""
        key = (number, tuple(overrides))
        if key not in self._jobs:
            self._jobs[key] = self._like_another(overrides, number) or self._composed(overrides, number)
        return self._jobs[key]

    def composed(self, jobs: Iterable[Sequence[str]]) -> bool:
        """Whether all of these are composed already."""
        return {tuple(job) for job in jobs} <= {overrides for _, overrides in self._jobs}

    def _composed(self, overrides: Sequence[str], number: int) -> ComposedJob:
        config = self.compose(overrides)
        with as_in_job(config, number):
            settings, folder = check_root(config), Path(config.hydra.runtime.output_dir)
        job = ComposedJob(settings, dict(config.hydra.runtime.choices), typed_overrides(config.hydra), folder)
        others, values = self._parted(overrides)
        if job.overrides == list(overrides) and is_model(config, others, values):
            self._models[others, tuple(values)] = (config, job)
        self._known |= flat(settings).keys()
        return job

    def _like_another(self, overrides: Sequence[str], number: int) -> ComposedJob | None:
        """A job that differs from one before in single values only; None if there is none, or Hydra refuses a value."""
        others, values = self._parted(overrides)
        if (model := self._models.get((others, tuple(values)))) is None:
            return None
        config, job = model
        settings = dict(job.settings)
        for key, value in values.items():
            try:
                OmegaConf.update(config, key, value)
            except OmegaConfBaseException:
                return None
            *groups, name = key.split(".")
            inside = settings
            for group in groups:
                inside[group] = inside = dict(inside[group])
            inside[name] = OmegaConf.select(config, key)
        check_settings(settings, keys_of(overrides))
        return ComposedJob(settings, job.choices, list(overrides), job.folder.with_name(str(number)))

    def _parted(self, overrides: Sequence[str]) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Overrides in two parts: others, and those that give a key, which is known so far, a single value."""
        others, values = [], {}
        for text in overrides:
            if text not in self._parsed:
                (self._parsed[text],) = self._parser.parse_overrides([text])
            one = self._parsed[text]
            value = one.value()
            if (
                one.type == OverrideType.CHANGE
                and one.package is None
                and one.key_or_group in self._known
                and not isinstance(value, dict | list)
                and "${" not in str(value)
            ):
                values[one.key_or_group] = value
            else:
                others.append(text)
        return tuple(others), values


def is_choice(override: str) -> bool:
    """Whether an override chooses a group's configuration by its name."""
    key, equals, value = override.partition("=")
    return key in GROUPS and bool(equals) and value[:1] not in ("{", "[")


def is_model(config: DictConfig, others: Sequence[str], keys: Iterable[str]) -> bool:
    """Whether a job's configuration would be the same with other values for some `keys`, but for these.

    So it is if nothing in it refers to anything, and its `others`, the further overrides, write nothing there. The
    choice of a group does not: Hydra puts single values over what was chosen.
    """
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    hydras: Any = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    written = [f"{key}." for key in keys_of(text for text in others if not is_choice(text))]
    apart = not any(f"{key}.".startswith(other) or other.startswith(f"{key}.") for key in keys for other in written)
    return apart and "${" not in OmegaConf.to_yaml(own) and hydras["subdir"] == "${hydra.job.num}"


_composers: dict[int, Composer] = {}


def composer_of(master: DictConfig) -> Composer:
    """The one composer of a multirun."""
    composer = _composers.get(id(master))
    if composer is None or composer.master is not master:
        _composers.clear()
        composer = _composers[id(master)] = Composer(master)
    return composer
