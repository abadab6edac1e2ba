"""A sweep, from its check before the first job to its summary after the last, in the process of the command."""

import os
import shutil
import signal
import time
import uuid
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rnnexp import process
from rnnexp.checks import InvalidValue, UserError, integer
from rnnexp.records import (
    JOBS_FOLDER,
    MARKED,
    READ,
    STOP_FILE,
    JobRecord,
    Sweep,
    continued_by,
    load_jobs,
    load_sweep,
    typed,
)
from rnnexp.redaction import redact_setting, redact_text
from rnnexp.settings import flat, formats_of, keys_of, plain, typed_overrides
from rnnexp.sweeps.composition import check_all, check_count, known_jobs, swept_keys, trials
from rnnexp.sweeps.watching import SUBMITTED, Watch, watch
from rnnexp.tracking.restarts import scheduler_job, started_again

#: Settings of Hydra's sweepers and launchers that count; below zero, a launcher's means all cores but some.
COUNTS = {"sweeper": ("max_batch_size", "n_trials", "n_jobs"), "launcher": ("n_jobs", "max_copies")}
#: Hydra's launcher for Slurm, and this package's for stacks, with what runs them: joblib's processes here, or dask.
SLURM, STACKED = f"{SUBMITTED}submitit_launcher.SlurmLauncher", "hydra_plugins.rnnexp_launchers.StackedLauncher"
BACKENDS = ("loky", "dask")
#: What all jobs of a sweep have in common.
SHARED = ("tracking", "tracking.experiment", "tracking.uri", "max_jobs", "fail_fast", "overwrite", "quiet")
#: Datasets that the sweep's own run names.
MOST_DATASETS = 100
#: Seconds that interrupted workers have to close their records.
PATIENCE = 10.0


class RunningSweep:
    """The sweep of this process: its jobs' overrides as far as they are known, its parent in MLflow, and its watch."""

    def __init__(self, sweep: Sweep, jobs: list[list[str]], recorder: Any, watch: Watch | None) -> None:
        self.sweep, self.jobs, self.recorder, self.watch = sweep, jobs, recorder, watch

    def finish(self, interrupted: str = "") -> int:
        """Account for every job, compare them, end the parent run, and print the table; the exit code.

        `interrupted` is what stopped the sweep from outside, if anything. What comes after its last job's end stopped
        nothing.
        """
        from rnnexp.sweeps.account import summarise
        from rnnexp.tracking.claims import release
        from rnnexp.tracking.dead_runs import DIED_SILENTLY
        from rnnexp.tracking.failures import attempt
        from rnnexp.tracking.opening import finish_record

        if self.watch is not None:
            self.watch.stop()
        self._redact()
        records = load_jobs(self.sweep.folder, brief=[*self.sweep.keys, *MARKED, *READ])
        for record in records:
            if record.status == "RUNNING":
                record.status, record.reason = "KILLED", interrupted or DIED_SILENTLY
                with attempt(f"the record of {record.label}"):
                    if self.recorder is not None and record.run is not None:
                        finish_record(record, self.recorder.store)
                with attempt(f"the record of {record.label}"):
                    record.save(self.sweep.folder)
        begun = {record.number for record in records}
        for number, overrides in enumerate(self.jobs):
            if number not in begun:
                reason = interrupted or "the sweep ended before it"
                records.append(JobRecord(number, self.sweep.name(overrides), overrides, "NOT RUN", reason))
        records.sort(key=lambda record: record.number)
        if self.jobs and not {"KILLED", "NOT RUN"} & {record.status for record in records}:
            interrupted = ""
        summarise(self.sweep, records, self.recorder, interrupted, again=bool(self.jobs))
        release(self.sweep.folder)
        if self.recorder is not None and (lost := self.recorder.lost()):
            from rnnexp.tracking.sync import take_back

            take_back(self.sweep.folder)
            process.say(*lost.message().split("\n"), error=True)
            return 1
        return 0 if all(record.usable for record in records) else 1

    def _redact(self) -> None:
        """Remove passwords from Hydra's file of the sweep."""
        path = self.sweep.folder / "multirun.yaml"
        with suppress(OSError):
            text = path.read_text(encoding="utf-8")
            if (redacted := redact_text(text)) != text:
                path.write_text(redacted, encoding="utf-8")


current: RunningSweep | None = None
#: The folder of a sweep that the user continues.
continued: Path | None = None


def begin(config: DictConfig) -> None:
    """Check every job of a multirun, and open the record of the sweep.

    Raises
    ------
    UserError
        If a job can't be built, there are too many or none of them, or the tracking store can't be used; nothing has
        been created then.
    """
    from rnnexp.build import ignored_window
    from rnnexp.resume import check_run
    from rnnexp.run_info import own_tags, params_of
    from rnnexp.sweeps.workers import launch_again_what_is_lost
    from rnnexp.tracking.addresses import tracking_uri
    from rnnexp.tracking.claims import claim, clear_record, release
    from rnnexp.tracking.environment import git_tags
    from rnnexp.tracking.run_log import RUN_LOG
    from rnnexp.tracking.store import open_store
    from rnnexp.tracking.sweep_run import SweepRun

    global current
    keys, jobs = swept_keys(config), []
    if config.resume is not None or "resume" in keys:
        hint = "python -m rnnexp -m resume=FOLDER continues one sweep, and resume=FOLDER without -m one run"
        raise InvalidValue("resume", config.resume or "several values", "one value, given with -m", hint)
    for key in SHARED:
        if key in keys:
            raise InvalidValue(key, "several values", "one value for the whole sweep", "give each value a sweep")
    for place, name in ((place, name) for place, names in COUNTS.items() for name in names):
        number = config.hydra[place].get(name)
        if number is not None and not (place == "launcher" and isinstance(number, int) and number < 0):
            integer(f"hydra.{place}.{name}", number, at_least=1)
    check_launcher(config.hydra.launcher)
    known, most = known_jobs(config), integer("max_jobs", config.max_jobs, at_least=1)
    if known is None and continued is not None:
        problem = f"the sweep in {continued} can't be continued: its sweeper chose the values"
        raise UserError(problem, "begin another one; skip_finished=true skips what has finished")
    if known is None:
        check_count(config.hydra.sweeper.get("n_trials") or 1, most)
        each, datasets = check_all(config, trials(config))
    else:
        count, every = known
        check_count(count, most)
        if config.hydra.launcher.get("_target_") == SLURM:
            from rnnexp.sweeps.slurm import check_array  # late: submitit is an extra

            check_array(count, config.hydra.sweeper.get("max_batch_size"))
        jobs = list(every)
        each, datasets = check_all(config, jobs)
    if note := ignored_window(each, keys_of(typed_overrides(config.hydra))):
        process.say(f"rnnexp: {note}")
    for key, text in typed(typed_overrides(config.hydra)).items():  # as with ${hydra:job.num} in it
        if key in SHARED and "${" in text and len({flat(settings)[key] for settings in each}) > 1:
            raise InvalidValue(key, "several values", "one value for the whole sweep", "give each value a sweep")
    tracking, cwd = config.tracking, Path(config.hydra.runtime.cwd)
    uri = tracking_uri(tracking.uri, cwd) if tracking.backend == "mlflow" else None
    names = {settings["run_name"] for settings in each}
    params = [params_of(settings).keys() for settings in each]
    lacking = set().union(*params) - set(params[0]).intersection(*params)
    folder = Path(config.hydra.sweep.dir).resolve()
    overrides = [redact_setting(text) for text in typed_overrides(config.hydra)]
    new = next((path for path in reversed([folder, *folder.parents]) if not path.exists()), None)
    claim(folder, "hydra.sweep.dir")
    try:
        earlier = enter_folder(folder, overrides, len(jobs), overwrite=bool(config.overwrite))
        if continued is not None and earlier is not None and earlier.parent is not None and uri is not None:
            check_run(earlier.parent, tracking.uri, cwd)
        store = None if uri is None else open_store(uri, tracking.experiment)
        if earlier is None:
            clear_record(folder)
        else:
            expect_again(folder)
        (folder / STOP_FILE).unlink(missing_ok=True)
        (folder / JOBS_FOLDER).mkdir(exist_ok=True)
    except UserError:
        release(folder)
        if new is not None:
            shutil.rmtree(new, ignore_errors=True)
        raise
    process.begin_collection()
    to_hydra: Any = OmegaConf.to_container(config.hydra.overrides.hydra, resolve=False)
    of_hydra = [redact_setting(str(text)) for text in to_hydra if not str(text).startswith("hydra.mode=")]
    sweep = Sweep(
        id=uuid.uuid4().hex[:12] if earlier is None else earlier.id,
        folder=folder,
        keys=keys,
        overrides=overrides,
        fail_fast=bool(config.fail_fast),
        formats=formats_of(plain(tracking)),
        folder_given=any("hydra.sweep.dir=" in text for text in of_hydra),
        hydra=of_hydra,
        resumed=continued is not None,
        pid=os.getpid(),
        scheduler_job=scheduler_job(),
        lacking=sorted(lacking),
    )
    if len(jobs) == len(each):
        sweep.naming = sweep.named([(job, str(own["run_name"] or "")) for job, own in zip(jobs, each, strict=True)])
    recorder = None
    if store is not None:
        resumed = earlier is not None and earlier.parent is not None and (folder / RUN_LOG).is_file()
        called = names.pop() if len(names) == 1 else None
        tags = git_tags(cwd) | own_tags(plain(tracking))
        recorder = SweepRun(store, sweep, run_name=called, count=len(jobs), tags=tags, resumed=resumed)
        if not resumed:
            recorder.put(inputs=list(datasets.values())[:MOST_DATASETS])
        sweep.parent, sweep.experiment = recorder.id, store.experiment
    sweep.save()
    current = RunningSweep(sweep, jobs, recorder, watch(config, folder))
    process.before_raising(stop)
    launch_again_what_is_lost(config)
    if str(config.hydra.launcher.get("_target_")).startswith(SUBMITTED):
        from rnnexp.sweeps.slurm import outlive_lost_jobs  # late: submitit is an extra

        outlive_lost_jobs(config)


def check_launcher(launcher: Any) -> None:
    """Refuse a launcher that could not run a job, on Slurm or on the workers of a dask scheduler."""
    if launcher.get("_target_") == SLURM:
        from rnnexp.sweeps import slurm  # late: submitit is an extra

        slurm.check(launcher)
    if launcher.get("_target_") != STACKED:
        return
    backend, address = launcher.backend, launcher.address
    if backend not in BACKENDS:
        hint = "dask also on Slurm, PBS and SGE, where dask-jobqueue starts its workers"
        raise InvalidValue("hydra.launcher.backend", backend, f"one of {', '.join(BACKENDS)}", hint)
    if backend != "dask":
        if address is not None:
            hint = "add hydra.launcher.backend=dask"
            raise InvalidValue("hydra.launcher.address", address, f"null with hydra.launcher.backend={backend}", hint)
        return
    if find_spec("distributed") is None:
        hint = "it needs an extra; in the clone: pip install --constraint constraints.txt --editable '.[dask]'"
        raise InvalidValue("hydra.launcher.backend", "dask", "loky without the package distributed", hint)
    from rnnexp.sweeps import dask_workers

    dask_workers.check(address)


def enter_folder(folder: Path, overrides: list[str], count: int, *, overwrite: bool) -> Sweep | None:
    """The sweep of a claimed folder if a batch system or the user has started it again; None for a new one.

    Raises
    ------
    UserError
        If there is another record, in the folder or where one of `count` jobs would have its own, and it is not to be
        overwritten.
    """
    from rnnexp.tracking.claims import check_jobs_ended, holds_record, holds_sweep

    there = next(
        (
            path
            for path in (folder, *(folder / str(job) for job in range(count)))
            if path.is_dir() and holds_record(path)
        ),
        None,
    )
    if there is None:
        return None
    earlier = load_sweep(folder)
    if earlier is not None and continued is not None:
        check_jobs_ended(folder)
        return earlier
    if earlier is not None and earlier.overrides == overrides and started_again(earlier.scheduler_job):
        return earlier
    if overwrite:
        check_jobs_ended(folder)
        return None
    what = "the jobs of another sweep" if holds_sweep(there) else "the record of a run"
    hint = "give another hydra.sweep.dir, or overwrite=true, which clears it first"
    if earlier is not None and earlier.overrides == overrides:
        hint = f"to continue it: {continued_by(folder)}; or {hint}"
    raise UserError(f"the folder {there} holds {what}", hint)


def expect_again(folder: Path) -> None:
    """Let the records of an earlier start that have no result say that their jobs are still to come."""
    for record in load_jobs(folder):
        if not record.usable:
            record.status, record.reason = "NOT RUN", "the sweep ended before it went on"
            record.save(folder)


def stop(interruption: str) -> None:
    """Before anything else ends with an interruption, let the jobs of other processes close their records."""
    if current is not None:
        stop_jobs(current.sweep.folder, interruption)


def stop_jobs(folder: Path, interruption: str) -> None:
    """Let no further job of a sweep begin, and end those of other processes."""
    with suppress(OSError):
        (folder / STOP_FILE).write_text(f"stopped by {interruption}", encoding="utf-8")
    stop_workers(folder)


def stop_workers(folder: Path) -> None:
    """Ask the jobs of other processes on this machine to end, and end those that don't."""
    from rnnexp.sweeps.workers import running_elsewhere

    for number, patience in ((signal.SIGTERM, PATIENCE), (signal.SIGKILL, 1.0)):
        for pid in running_elsewhere(folder):
            with suppress(OSError):
                os.kill(pid, number)
        until = time.monotonic() + patience
        while running_elsewhere(folder) and time.monotonic() < until:
            time.sleep(0.05)


def finish(error: BaseException | None) -> int | None:
    """End the sweep of this process, if there is one; its exit code, or None. `error` is what Hydra raised.

    An interruption in the meantime is raised when the sweep has ended.
    """
    global current
    if current is None:
        return None
    with process.postponed():
        running, current = current, None
        return _finish(running, error)


def _finish(running: RunningSweep, error: BaseException | None) -> int:
    if error is not None and process.is_interruption(error):
        by = process.describe_interruption(error)
        stop_jobs(running.sweep.folder, by)  # again, in case another handler than ours raised it
        code = error.code if isinstance(error, SystemExit) else 128 + signal.SIGINT
        return max(running.finish(f"stopped by {by}"), int(code or 0))
    code = running.finish()
    if error is not None:
        reason = error.problem if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        hints = [error.hint] if isinstance(error, UserError) and error.hint else []
        process.say(f"rnnexp: the sweep broke off: {reason.splitlines()[0]}", *hints, error=True)
        return 1
    return code
