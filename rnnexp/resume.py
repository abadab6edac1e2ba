"""Resuming a stopped run: finding it and its checkpoint, and checking that it is still the same run."""

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnexp import own_code
from rnnexp.checks import InvalidValue, UserError
from rnnexp.process import say
from rnnexp.records import SWEEP_FILE, continued_by
from rnnexp.records import typed as by_key
from rnnexp.run_info import RunInfo, make_run_info
from rnnexp.settings import flat
from rnnexp.tracking.claims import claim, release
from rnnexp.training.checkpoint_folder import CHECKPOINTS_FOLDER, Checkpoints, finished_at
from rnnexp.training.eval_limit import AUTO, UPDATES
from rnnexp.usual_names import FORMER_GROUP, renamed

if TYPE_CHECKING:
    from rnnexp.tracking.run_log import RunLog

#: Settings that may differ from those of the stopped run: they do not affect its numbers.
MAY_DIFFER = (
    *("resume", "steps", "stopping", "tracking", "checkpoint", "run_name", "max_jobs", "fail_fast", "skip_finished"),
    *("overwrite", "quiet"),
)
RUN_ID = re.compile(r"[0-9a-f]{32}")


@dataclass
class Resumption:
    """A run to resume.

    Attributes
    ----------
    settings : dict
        Those of the run, except for those that may differ and were given now.
    overrides : list of str
        What was changed on the command line when the run began.
    state : dict
        The contents of the checkpoint.
    """

    settings: dict[str, Any]
    choices: dict[str, str]
    overrides: list[str]
    folder: Path
    state: dict[str, Any]

    def info(self, started_in: Path) -> RunInfo:
        """The description of the resumed run for its recorder."""
        info = make_run_info(self.settings, self.choices, self.overrides, self.folder, started_in)
        return replace(info, resumed=self.state)


def find_run(settings: dict[str, Any], typed: Iterable[str], started_in: Path) -> Resumption:
    """The run that ``resume`` in the settings names; `typed` are the overrides given now.

    Raises
    ------
    UserError
        If there is no such run or checkpoint, the overrides change its numbers, nothing is left to do, or it is still
        running. Otherwise its folder is claimed for this process.
    """
    folder = folder_of(settings["resume"], settings, started_in)
    claim(folder, "resume")
    try:
        return resumption_in(folder, settings, typed, started_in)
    except BaseException:
        release(folder)
        raise


def resumption_in(folder: Path, settings: dict[str, Any], typed: Iterable[str], started_in: Path) -> Resumption:
    """The run of a folder, its settings checked against those that were given now."""
    from rnnexp.tracking.run_log import RUN_LOG, RunLog

    state, saved = load_state(folder, lambda warning: say(f"rnnexp: {warning}", error=True))
    before: dict[str, Any] = saved["settings"]
    if FORMER_GROUP in before:
        problem = f"the run in {folder} began when the group algorithm was called {FORMER_GROUP}: it can't be resumed"
        again = [renamed(text) for text in saved["overrides"]]
        raise UserError(problem, f"begin a new run: {shlex.join(['python', '-m', 'rnnexp', *again])}")
    keys = list(by_key(typed))
    check_unchanged(before, settings, keys)
    now = {**settings, **before, "resume": None, "overwrite": False, "quiet": settings["quiet"]}
    for key in keys:
        group, dot, name = key.partition(".")
        if group in MAY_DIFFER and dot:
            now[group] = {**now[group], name: value_at(settings, key)}
        elif group in MAY_DIFFER:
            now[group] = settings[group]
    now["resume"] = None
    counted = {max(UPDATES, each["steps"]) for each in (now, before)}
    if len(counted) > 1 and now["task"].get("eval_limit") == AUTO:
        now["task"] = {**now["task"], "eval_limit": saved["eval_limit"]}  # as it was: it follows from the steps
    if now["stopping"] != before["stopping"]:
        state["stopping"] = None  # another rule begins from its start
    check_steps(now["steps"], before["steps"], state, finished_at(folder / CHECKPOINTS_FOLDER))
    if not (folder / RUN_LOG).is_file():
        problem = f"the run in {folder} has no run log ({RUN_LOG}): an earlier version recorded it, or it was deleted"
        raise UserError(problem, f"begin a new run: {shlex.join(['python', '-m', 'rnnexp', *saved['overrides']])}")
    log = RunLog(folder, resumed=True)
    check_same_run(log, saved, settings["resume"])
    run = log.id
    if run is not None and now["tracking"]["backend"] == "mlflow":
        check_run(run, now["tracking"]["uri"], started_in)
    return Resumption(now, saved["choices"], list(saved["overrides"]), folder, state)


def load_state(folder: Path, tell: Callable[[str], Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The newest checkpoint in a run's folder, and what it says of its run; damaged ones are reported to `tell`.

    Raises
    ------
    UserError
        If there is none of a run of this command.
    """
    path, state = Checkpoints(folder / CHECKPOINTS_FOLDER).load_latest(tell)
    saved = state.get("run")
    if not isinstance(saved, dict) or not all(isinstance(saved.get(key), dict) for key in ("settings", "choices")):
        raise UserError(f"the checkpoint {path} is not of a run of this command", "give another run folder")
    return state, saved


def check_same_run(log: "RunLog", saved: Mapping[str, Any], wanted: str) -> None:
    """Refuse a folder whose log and checkpoint are of two runs, or of another run than the one that was named."""
    if saved.get("log", log.word) != log.word:
        hint = "begin a new run: overwrite=true clears such a folder"
        raise UserError(f"the checkpoint and the run log in {log.folder} are of two different runs", hint)
    if RUN_ID.fullmatch(wanted) and log.id != wanted:
        hint = f"its own record was replaced; to continue the one that is there, give the folder: resume={log.folder}"
        raise UserError(f"the folder {log.folder} of the run {wanted} holds another run now", hint)


def check_run(run: str, uri: str | None, started_in: Path) -> None:
    """Refuse to resume a run that is not recorded in the store, before anything is created there."""
    from rnnexp.redaction import redact
    from rnnexp.tracking.addresses import tracking_uri
    from rnnexp.tracking.store import existing_store

    if uri and "***" in uri:
        hint = "a checkpoint keeps no password: give tracking.uri=... once more"
        raise InvalidValue("tracking.uri", uri, "given with its password", hint)
    where = tracking_uri(uri, started_in)
    try:
        found = existing_store(where).client.get_run(run)
    except UserError as error:
        raise UserError(error.problem, "give tracking.uri=... to say where the run is recorded") from None
    except Exception:
        hint = "give tracking.uri=... to say where it is recorded, or tracking=none"
        raise UserError(f"the run {run} is not in {redact(where)}", hint) from None
    if found.info.lifecycle_stage == "deleted":
        hint = f"restore it: MLFLOW_TRACKING_URI={redact(where)} mlflow runs restore --run-id {run}"
        raise UserError(f"the run {run} was deleted", hint)


def check_unchanged_files(before: Mapping[str, Any], info: RunInfo) -> None:
    """Refuse other data and other code of one's own than a run began with: files may have changed under their names.

    Parameters
    ----------
    before : mapping
        What the checkpoint says of the run.
    info : RunInfo
        With data and code as they are now.
    """
    if before.get("data", info.data) != info.data:
        path = info.settings["task"].get("path")
        hint = "put the file back as it was, or begin a new run"
        raise UserError(f"the data of the task are not those that this run began with (task.path={path})", hint)
    if info.code.unreadable:
        unread = ", ".join(info.code.unreadable)
        say(f"rnnexp: there is no source of {unread}: whether it has changed is unknown", error=True)
    if changed := own_code.differences(before["code"], info.code.tag) if "code" in before else []:
        kept = info.folder / own_code.FOLDER
        hint = f"put it back as it was (the source is in {kept}), or begin a new run without resume"
        raise UserError(f"the code of the run has changed since it began: {', '.join(changed)}", hint)


def check_steps(steps: int, before: int, state: Mapping[str, Any], finished: int = 0) -> None:
    """Refuse to resume a run that has reached its end, or was stopped, and whose record is complete."""
    try:
        done = int(state["trainer"]["step"])
        reason = state["stopping"]["stopped"] if finished and state.get("stopping") else ""
    except (KeyError, TypeError, ValueError):
        raise UserError("the checkpoint does not fit: it has no step", "give another run folder") from None
    if reason:
        more = "" if steps > finished else f" steps={2 * finished}"
        raise UserError(f"the run has stopped at step {finished}: {reason}", f"to train it on: stopping=none{more}")
    if steps < done or steps <= finished:
        done = max(done, finished)
        hint = f"it was to make {before}; to continue it, give more: steps={2 * done}"
        raise InvalidValue("steps", steps, f"more than the {done} that the run has made", hint)


def check_unchanged(before: Mapping[str, Any], now: Mapping[str, Any], keys: Iterable[str]) -> None:
    """Refuse overrides that differ from what the run had; `InvalidValue` names the first difference."""
    for key in keys:
        if key.partition(".")[0].partition("@")[0] in MAY_DIFFER or key.startswith(("hydra.", "hydra/")):
            continue
        at = key.partition("@")[2] or key
        # A recipe sets anything.
        paths = [name for name in before if name not in MAY_DIFFER] if at == "experiment" else [at]
        for path in paths:
            old, new = (value_at(values, path) for values in (before, now))
            for name, one, other in differences(path, old, new):
                hint = f"leave {name} out: a resumed run keeps its settings; a changed one makes another run"
                raise InvalidValue(name, other, f"{one}, as in the run that is resumed", hint)


def value_at(values: Any, path: str) -> Any:
    """The value at a dotted key; None if there is none."""
    for part in path.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def differences(path: str, old: Any, new: Any) -> list[tuple[str, Any, Any]]:
    """Dotted keys whose values differ, with both."""
    before, now = (flat({path: values}) for values in (old, new))
    pairs = [(name, before.get(name), now.get(name)) for name in dict.fromkeys([*before, *now])]
    return [(name.removesuffix("._target_"), one, other) for name, one, other in pairs if one != other]


def folder_of(wanted: str, settings: Mapping[str, Any], started_in: Path) -> Path:
    """The folder of a run given by its folder or its MLflow run id."""
    folder = (started_in / wanted).resolve()
    if wanted.strip() and (folder / SWEEP_FILE).is_file():
        allowed = "a run folder; the folder of a sweep is given with -m"
        raise InvalidValue("resume", wanted, allowed, continued_by(Path(wanted)))
    if wanted.strip() and folder.is_dir():
        return folder.parent if folder.name == CHECKPOINTS_FOLDER else folder
    if not RUN_ID.fullmatch(wanted):
        allowed = "a run folder, or the id of an MLflow run (32 letters and digits)"
        raise InvalidValue("resume", wanted, allowed, "the last lines that a run prints name both")
    if settings["tracking"]["backend"] != "mlflow":
        hint = "give the folder, or leave tracking out"
        raise InvalidValue("resume", wanted, "a run folder with tracking=none", hint)
    hint = "python -m rnnexp -m resume=FOLDER continues a sweep"
    return recorded_folder("resume", wanted, settings["tracking"]["uri"], started_in, of_sweep=hint)


def recorded_folder(key: str, wanted: str, uri: str | None, started_in: Path, *, of_sweep: str) -> Path:
    """The folder of a run of MLflow, given by its id as the value of `key`.

    `of_sweep` is the hint for the id of a sweep, whose folder stands in it for FOLDER.
    """
    from rnnexp.redaction import redact
    from rnnexp.tracking.addresses import tracking_uri
    from rnnexp.tracking.store import existing_store

    uri = tracking_uri(uri, started_in)
    try:
        tags = existing_store(uri).client.get_run(wanted).data.tags
    except UserError:
        raise
    except Exception:
        where = redact(uri)
        raise InvalidValue(key, wanted, f"a run in {where}", "give tracking.uri=... if it is in another") from None
    if tags.get("rnnexp.kind") == "sweep":
        hint = of_sweep.replace("FOLDER", tags.get("rnnexp.folder", "FOLDER"))
        raise InvalidValue(key, wanted, "a single run, not a whole sweep", hint)
    if "rnnexp.folder" not in tags:
        raise InvalidValue(key, wanted, "a run with a folder", "give the run folder itself")
    folder = Path(tags["rnnexp.folder"])
    if not folder.is_dir():
        hint = f"its folder was {folder} on {tags.get('host', 'another machine')}; give the folder if it was moved"
        raise InvalidValue(key, wanted, "a run whose folder is still there", hint)
    return folder
