"""The project's own launchers, which skip what Hydra would repeat for every job.

They take what Hydra's `Launcher.setup` is called with, the overrides of each job, and the number of the first one.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from omegaconf import DictConfig

from rnnexp import process
from rnnexp.checks import UserError, integer
from rnnexp.records import UNUSABLE_LOSS, load_jobs
from rnnexp.run import Job, run_jobs
from rnnexp.run_info import RunInfo, make_run_info
from rnnexp.sweeps.composition import composer_of
from rnnexp.sweeps.jobs import RunningJob
from rnnexp.sweeps.stacked_groups import obstacle, stack_key, what_differs
from rnnexp.sweeps.stacked_jobs import run_stacked, stack_size
from rnnexp.sweeps.workers import despite_kills, is_lost, recorded_losses, returned


class Jobs:
    """The jobs of a launch, composed on demand; the first has the number `first`."""

    def __init__(self, config: DictConfig, job_overrides: Sequence[Sequence[str]], first: int) -> None:
        self.composer = composer_of(config)
        self.overrides = [list(overrides) for overrides in job_overrides]
        self.first = first
        self.sweep_folder = Path(config.hydra.sweep.dir).resolve()

    def __len__(self) -> int:
        return len(self.overrides)

    def own_overrides(self, index: int) -> list[str]:
        """A job's overrides, except for those of Hydra's own settings."""
        return [o for o in self.overrides[index] if not o.lstrip("+~").startswith(("hydra.", "hydra/"))]

    def info(self, index: int) -> RunInfo:
        """The description of a job, whose folder is made; `UserError` if its configuration is refused."""
        job = self.composer.job(self.overrides[index], self.first + index)
        job.folder.mkdir(parents=True, exist_ok=True)
        started_in = Path(self.composer.master.hydra.runtime.cwd)
        return make_run_info(job.settings, job.choices, job.overrides, job.folder, started_in)

    def running(self, index: int) -> RunningJob:
        """The record of a job."""
        return RunningJob(self.sweep_folder, self.first + index, self.own_overrides(index))

    def run(self, index: int) -> float:
        """Run a job; its result for the sweeper."""
        return run_jobs([Job(lambda: self.info(index), self.running(index))])[0]


def asked_of_hydra(config: DictConfig) -> str:
    """The first setting that has Hydra do something for every job; empty if there is none."""
    for key in ("chdir", "env_set", "env_copy"):
        if config.hydra.job[key]:
            return f"hydra.job.{key}"
    return "hydra.callbacks" if set(config.hydra.callbacks or {}) - {"check_first"} else ""


def launch_by_hydra(given: dict[str, Any], job_overrides: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
    """Run the jobs by Hydra's own launcher."""
    from hydra._internal.core_plugins.basic_launcher import BasicLauncher

    launcher = BasicLauncher()
    launcher.setup(**given)
    return launcher.launch(job_overrides, first)


def launch_serially(given: dict[str, Any], job_overrides: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
    """Run jobs one after the other."""
    if asked_of_hydra(given["config"]):
        return launch_by_hydra(given, job_overrides, first)
    jobs = Jobs(given["config"], job_overrides, first)
    return [returned(jobs.overrides[index], jobs.run(index)) for index in range(len(jobs))]


def launch_stacked(
    given: dict[str, Any],
    job_overrides: Sequence[Sequence[str]],
    first: int,
    n_jobs: Any = 1,
    max_copies: Any = None,
    backend: Any = "loky",
    address: Any = None,
) -> Sequence[JobReturn]:
    """Run jobs that can share a stacked network together, one group after the other, and the others alone.

    Parameters
    ----------
    n_jobs : int
        Worker processes; -1 for one per core.
    max_copies : int or None
        Most networks in a stack; None for as many as fit the cache.
    backend : str
        What runs the stacks: `loky`, processes of this machine, or `dask`, the workers of a scheduler.
    address : str or None
        Of the dask scheduler.
    """
    if n_jobs != -1:
        n_jobs = integer("hydra.launcher.n_jobs", n_jobs, at_least=1, hint="-1 is one for each core")
    if max_copies is not None:
        max_copies = integer("hydra.launcher.max_copies", max_copies, at_least=1)
    if key := asked_of_hydra(given["config"]):
        process.say(f"stacked: {len(job_overrides)} jobs one by one, because of {key}")
        return launch_by_hydra(given, job_overrides, first)
    jobs = Jobs(given["config"], job_overrides, first)
    infos: dict[int, RunInfo] = {}
    losses: dict[int, float] = {}
    for index in range(len(jobs)):
        try:
            infos[index] = jobs.info(index)
        except UserError:  # reported and recorded by the job itself
            losses[index] = jobs.run(index)
    units = groups(infos)
    if backend == "dask":
        losses |= on_dask(jobs, infos, units, max_copies, address)
        return [returned(jobs.overrides[index], losses[index]) for index in range(len(jobs))]
    if n_jobs == -1:
        from joblib import cpu_count

        n_jobs = cpu_count()
    workers = max(1, min(n_jobs, len(infos)))
    # Every worker gets its share of a group.
    sizes = [-(-len(group) // workers) for group in units]
    shared = [group[at : at + n] for group, n in zip(units, sizes, strict=True) for at in range(0, len(group), n)]
    work = [[(jobs.running(index), infos[index]) for index in unit] for unit in shared]
    for unit, results in zip(shared, run_units(work, workers, max_copies), strict=True):
        losses |= dict(zip(unit, results, strict=True))
    return [returned(jobs.overrides[index], losses[index]) for index in range(len(jobs))]


def on_dask(
    jobs: Jobs, infos: dict[int, RunInfo], units: list[list[int]], max_copies: int | None, address: Any
) -> dict[int, float]:
    """Run groups of jobs on the workers of a dask scheduler, a stack at a time; the losses by the jobs' indices."""
    from rnnexp.sweeps.dask_workers import check_workers, connected, run_on_workers  # late: dask is an extra

    with connected(address) as client:
        workers = check_workers(client, jobs.sweep_folder)
        sizes = [min(-(-len(unit) // workers), stack_size(infos[unit[0]], max_copies)) for unit in units]
        stacks = [unit[at : at + n] for unit, n in zip(units, sizes, strict=True) for at in range(0, len(unit), n)]
        process.say(f"stacked: {len(stacks)} units on {workers} dask workers")
        work = [[(jobs.running(index), infos[index]) for index in stack] for stack in stacks]
        results = run_on_workers(client, work, max_copies)
    return {
        index: loss
        for stack, some in zip(stacks, results, strict=True)
        for index, loss in zip(stack, some, strict=True)
    }


def groups(infos: dict[int, RunInfo]) -> list[list[int]]:
    """Indices of jobs in groups that can be trained together; prints why others can't."""
    together: dict[str, list[int]] = {}
    alone: dict[str, list[int]] = {}
    for index, info in infos.items():
        reason = obstacle(info.settings)
        if reason is None:
            together.setdefault(stack_key(info.settings), []).append(index)
        else:
            alone.setdefault(reason, []).append(index)
    sizes = [len(group) for group in together.values()]
    if sizes:
        parted = what_differs([infos[group[0]].settings for group in together.values()])
        by = f", one for each {' and '.join(parted)}, which can't differ in a stack" if len(sizes) > 1 else ""
        process.say(f"stacked: {sum(sizes)} jobs in {len(sizes)} {'stacks' if len(sizes) > 1 else 'stack'}{by}")
    for reason, jobs in alone.items():
        process.say(f"stacked: {len(jobs)} jobs one by one, because of {reason}")
    return [*together.values(), *([index] for jobs in alone.values() for index in jobs)]


def run_units(work: list[list[tuple[RunningJob, RunInfo]]], workers: int, max_copies: int | None) -> list[list[float]]:
    """Run groups of jobs here, or in worker processes; the losses of each group."""
    if workers == 1:
        return [run_stacked(unit, max_copies) for unit in work]
    from joblib import Parallel, delayed

    run: Callable[..., Any] = delayed(run_stacked)
    folder = work[0][0][0].folder

    def launch(units: Sequence[int]) -> None:
        records = {record.number: record for record in load_jobs(folder, brief=())}
        left = [[pair for pair in work[unit] if is_lost(records.get(pair[0].number))] for unit in units]
        Parallel(n_jobs=workers, backend="loky")(run(jobs, max_copies) for jobs in left)

    despite_kills(launch, range(len(work)), lambda unit: [running.number for running, _ in work[unit]], folder)
    losses = recorded_losses(folder)
    return [[losses.get(running.number, UNUSABLE_LOSS) for running, _ in unit] for unit in work]
