"""The project's own launchers: jobs are composed and run without what Hydra does anew for every one of them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf, open_dict

from rnnexp.checks import UserError, integer
from rnnexp.run import Job, run_jobs
from rnnexp.run_info import RunInfo, make_run_info
from rnnexp.sweeps.composition import composer_of
from rnnexp.sweeps.jobs import RunningJob
from rnnexp.sweeps.stacked_groups import obstacle, stack_key, what_differs
from rnnexp.sweeps.stacked_jobs import run_stacked


class Jobs:
    """The jobs of a launch, composed when asked for.

    Parameters
    ----------
    config : DictConfig
        Of the multirun.
    job_overrides : sequence of sequences of str
    first : int
        Number of the first job.
    """

    def __init__(self, config: DictConfig, job_overrides: Sequence[Sequence[str]], first: int) -> None:
        self.composer = composer_of(config)
        self.overrides = [list(overrides) for overrides in job_overrides]
        self.first = first
        self.sweep_folder = Path(config.hydra.sweep.dir).resolve()

    def __len__(self) -> int:
        return len(self.overrides)

    def own_overrides(self, index: int) -> list[str]:
        """What a job changes of the configuration, without what it says to Hydra."""
        return [o for o in self.overrides[index] if not o.lstrip("+~").startswith(("hydra.", "hydra/"))]

    def info(self, index: int) -> RunInfo:
        """What a recorder has to know of a job; its folder is made.

        Raises
        ------
        UserError
            If the job's configuration is refused.
        """
        overrides = self.overrides[index]
        job, folder = self.composer.job(overrides), self._folder(index)
        folder.mkdir(parents=True, exist_ok=True)
        started_in = Path(self.composer.master.hydra.runtime.cwd)
        return make_run_info(job.settings, job.choices, job.overrides, folder, started_in)

    def _folder(self, index: int) -> Path:
        number = self.first + index
        sweep: Any = OmegaConf.to_container(self.composer.master.hydra.sweep, resolve=False)
        if sweep["subdir"] == "${hydra.job.num}":  # as usual: nothing of the job's own is in it
            return self.sweep_folder / str(number)
        config = self.composer.compose(self.overrides[index])
        with open_dict(config.hydra.job):
            config.hydra.job.num = number
            config.hydra.job.id = f"{config.hydra.job.name}_{number}"
        return self.sweep_folder / str(config.hydra.sweep.subdir)

    def running(self, index: int) -> RunningJob:
        """The record of a job."""
        return RunningJob(self.sweep_folder, self.first + index, self.own_overrides(index))

    def run(self, index: int) -> float:
        """Run a job; what the sweeper gets for it."""
        return run_jobs([Job(lambda: self.info(index), self.running(index))])[0]


def returned(overrides: Sequence[str], loss: float) -> JobReturn:
    """What a sweeper gets back."""
    return JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED, _return_value=loss)


def asked_of_hydra(config: DictConfig) -> str:
    """The first setting by which Hydra is asked to do something for every job; empty if there is none."""
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
    """Run jobs one after the other.

    Parameters
    ----------
    given : dict
        What `hydra.plugins.launcher.Launcher.setup` is called with.
    job_overrides : sequence of sequences of str
    first : int
        Number of the first job.
    """
    if asked_of_hydra(given["config"]):
        return launch_by_hydra(given, job_overrides, first)
    jobs = Jobs(given["config"], job_overrides, first)
    return [returned(jobs.overrides[index], jobs.run(index)) for index in range(len(jobs))]


def launch_stacked(
    given: dict[str, Any], job_overrides: Sequence[Sequence[str]], first: int, n_jobs: Any, max_copies: Any
) -> Sequence[JobReturn]:
    """Run jobs that can share a stacked network together, group after group, the others alone.

    Parameters
    ----------
    given : dict
        What `hydra.plugins.launcher.Launcher.setup` is called with.
    job_overrides : sequence of sequences of str
    first : int
        Number of the first job.
    n_jobs : int
        Worker processes; -1 for one a core.
    max_copies : int or None
        Most networks in a stack; None for as many as fit the cache.
    """
    n_jobs = (
        -1 if n_jobs == -1 else integer("hydra.launcher.n_jobs", n_jobs, at_least=1, hint="-1 is one for each core")
    )
    if max_copies is not None:
        max_copies = integer("hydra.launcher.max_copies", max_copies, at_least=1)
    if key := asked_of_hydra(given["config"]):
        print(f"stacked: {len(job_overrides)} jobs one by one, because of {key}", flush=True)
        return launch_by_hydra(given, job_overrides, first)
    jobs = Jobs(given["config"], job_overrides, first)
    infos: dict[int, RunInfo] = {}
    losses: dict[int, float] = {}
    for index in range(len(jobs)):
        try:
            infos[index] = jobs.info(index)
        except UserError:  # told and recorded by the job itself
            losses[index] = jobs.run(index)
    units = groups(infos)
    workers = worker_count(n_jobs, len(infos))
    shared = [unit for group in units for unit in parts(group, workers)]
    work = [[(jobs.running(index), infos[index]) for index in unit] for unit in shared]
    for unit, results in zip(shared, run_units(work, workers, max_copies), strict=True):
        losses |= dict(zip(unit, results, strict=True))
    return [returned(jobs.overrides[index], losses[index]) for index in range(len(jobs))]


def groups(infos: dict[int, RunInfo]) -> list[list[int]]:
    """Jobs by number in groups that can be trained together; what stands in the way is told."""
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
        print(f"stacked: {sum(sizes)} jobs in {len(sizes)} {'stacks' if len(sizes) > 1 else 'stack'}{by}", flush=True)
    for reason, jobs in alone.items():
        print(f"stacked: {len(jobs)} jobs one by one, because of {reason}", flush=True)
    return [*together.values(), *([index] for jobs in alone.values() for index in jobs)]


def worker_count(n_jobs: int, jobs: int) -> int:
    """How many processes are worth starting."""
    if n_jobs == -1:
        from joblib import cpu_count

        n_jobs = cpu_count()
    return max(1, min(n_jobs, jobs))


def parts(group: list[int], workers: int) -> list[list[int]]:
    """A group cut so that every worker has its share."""
    each = -(-len(group) // workers)
    return [group[start : start + each] for start in range(0, len(group), each)]


def run_units(work: list[list[tuple[RunningJob, RunInfo]]], workers: int, max_copies: int | None) -> list[list[float]]:
    """Run groups of jobs here, or in worker processes; the losses of each group."""
    if workers == 1:
        return [run_stacked(unit, max_copies) for unit in work]
    from joblib import Parallel, delayed

    run: Callable[..., Any] = delayed(run_stacked)
    return list(Parallel(n_jobs=workers, backend="loky")(run(unit, max_copies) for unit in work))
