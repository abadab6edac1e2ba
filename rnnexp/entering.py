"""Entering the folder of a run: free, its own to be continued, to be cleared, or refused."""

import shlex
from dataclasses import replace
from typing import NoReturn

from rnnexp.build import build_the_task
from rnnexp.checks import UserError
from rnnexp.process import say
from rnnexp.resume import check_same_run, check_unchanged_files, load_state, resumption_in
from rnnexp.run_info import RunInfo
from rnnexp.settings import override
from rnnexp.tracking.claims import check_jobs_ended, claim, holds_record, holds_sweep, release
from rnnexp.tracking.restarts import SCHEDULER_TAG, started_again
from rnnexp.training.checkpoint_folder import CHECKPOINTS_FOLDER, Checkpoints, finished_at


class FolderTaken(UserError):
    """The folder of a run that would begin holds a record."""


def enter_folder(info: RunInfo) -> RunInfo:
    """Claim the folder of a run for this process, and see what is in it.

    Returns
    -------
    RunInfo
        What was given where the folder is free or the run is resumed. A record that is there is marked as one to be
        cleared, or, if a batch system has started this very run again or its sweep is continued, as its own, to be
        continued or complete.

    Raises
    ------
    StillRunning
        If another process has the folder.
    FolderTaken
        If there is another record.
    """
    new = not info.folder.exists()
    claim(info.folder, "hydra.run.dir" if info.sweep is None else "hydra.sweep.dir")
    try:
        if info.resumed is not None or new or not holds_record(info.folder):
            return info
        if (own := _own_record(info)) is not None:
            return own
        if not info.settings["overwrite"]:
            _refuse(info)
        check_jobs_ended(info.folder)
        return replace(info, replaces=True)
    except BaseException:
        release(info.folder)
        raise


def _own_record(info: RunInfo) -> RunInfo | None:
    """The run as it goes on from its own record, if it was started again; None if it is another's."""
    from rnnexp.tracking.run_log import RunLog

    try:
        log = RunLog(info.folder, resumed=True)
    except UserError:
        return None
    tags = log.begin.get("tags", {})
    again = (info.sweep is not None and info.sweep.resumed) or started_again(tags.get(SCHEDULER_TAG, ""))
    if tags.get("rnnexp.settings_hash") != info.settings_hash or not again:
        return None
    if log.ended and log.ended[0] == "FINISHED":
        if info.job is not None:
            info.job.run, info.job.values = log.id, dict(info.params())
            info.job.config, info.job.metrics = tags.get("rnnexp.config_hash", ""), log.results()
        return replace(info, complete=log.latest("final/eval/loss"))
    keeps = info.settings["checkpoint"]["kind"] == "files"
    if (keeps or not log.ended) and not Checkpoints(info.folder / CHECKPOINTS_FOLDER).latest():
        # Ended before its first checkpoint: its log goes on, and gets the same numbers once more from the start.
        state = {"run": {"data": tags.get("rnnexp.data", ""), "code": tags.get("rnnexp.code", "")}}
        return replace(info, resumed=state)
    try:
        state, saved = load_state(info.folder, lambda warning: say(f"rnnexp: {warning}", error=True))
        check_same_run(log, saved, "")
    except UserError:  # no checkpoint of it can be used
        return replace(info, replaces=True)
    return replace(info, resumed=state)


def started_again_as(info: RunInfo, asked: bool) -> str:
    """What becomes of a run that a batch system has started again, in a line; empty for others, and if one `asked`."""
    label = info.name if info.job is None else info.job.label
    if info.complete is not None:
        return f"{label}: started again, and complete already"
    if info.resumed is not None and not asked:
        step = info.resumed["trainer"]["step"] if "trainer" in info.resumed else 0
        return f"{label}: started again, from update {step}"
    return ""


def _refuse(info: RunInfo) -> NoReturn:
    if info.sweep is not None:
        hint = "give another hydra.sweep.dir, or overwrite=true, which clears it first"
        raise FolderTaken(f"the folder {info.folder} holds the record of another run", hint)
    if holds_sweep(info.folder):
        hint = "give another hydra.run.dir, or overwrite=true, which clears it whole, with its jobs"
        raise FolderTaken(f"the folder {info.folder} holds the record of a sweep", hint)
    others = "give another hydra.run.dir, or overwrite=true, which clears it first"
    done = finished_at(info.folder / CHECKPOINTS_FOLDER)
    more = [] if not done else [f"steps={2 * done}"]
    problem = f"the folder {info.folder} holds the record of a run" + (f" of {done} updates" if done else "")
    wanted = override("resume", str(info.folder))
    settings = {**info.settings, "resume": str(info.folder), "overwrite": False, "steps": 2 * done or 1}
    try:
        found = resumption_in(info.folder, settings, more, info.started_in)
        check_unchanged_files(found.state["run"], found.info(info.started_in).of(build_the_task(found.settings)))
    except Exception:  # it can't be resumed, whatever the reason
        raise FolderTaken(problem, others) from None
    verb = "to train it for longer" if done else "to continue it"
    raise FolderTaken(problem, f"{verb}: {shlex.join(['python', '-m', 'rnnexp', wanted, *more])}; or {others}")
