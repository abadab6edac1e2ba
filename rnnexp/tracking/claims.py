"""The folder of a run or a sweep: of one process at a time, and for one record, so that two runs never mix.

A process that is alive holds a lock on the file `LOCK_FILE` in its folder; it ends with the process, however that ends,
and with its machine. Where the file system has no locks that all machines see, the file names the process.
"""

import atexit
import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from rnnexp import own_code
from rnnexp.checks import InvalidValue, UserError
from rnnexp.json_lines import read_lines
from rnnexp.machine import free_space
from rnnexp.own_code import parts_of
from rnnexp.records import JOB_FILE, JOBS_FOLDER, STOP_FILE, SWEEP_FILE, TRACEBACK_FILE
from rnnexp.tracking.dead_runs import is_gone, process_tags
from rnnexp.tracking.run_log import RUN_LOG
from rnnexp.training.checkpoint_folder import CHECKPOINTS_FOLDER, checkpoint_files

LOCK_FILE = "run.lock"
#: Files that make a folder one with a record; earlier versions left the last two.
RECORD = (RUN_LOG, SWEEP_FILE, "metrics.csv", "gradient_by_lag.csv", "metrics.jsonl", "outbox.jsonl")
#: What else is written into it, besides the files that its log names. The log comes last.
OTHER = ("config.yaml", "summary.json", "gradient_report.html", "loss.png", "sweep.csv", "sweep.html", "multirun.yaml")
NOTES = (TRACEBACK_FILE, JOB_FILE, STOP_FILE)
#: Options with which a file system on a network has locks that only this machine sees, by its type.
LOCAL_LOCKS = {
    "nfs": ("nolock", "local_lock=all", "local_lock=flock"),
    "nfs4": ("local_lock=all", "local_lock=flock"),
    "lustre": ("localflock",),
    "cifs": ("nobrl",),
    "fuse.sshfs": ("rw", "ro"),
    "fuse.rclone": ("rw", "ro"),
}
#: Bytes that even the record of a short run without figures may take.
ROOM = 2**19
#: Folders that are claimed, by process, since a forked one has not claimed them; with the lock's descriptor.
_held: dict[tuple[int, Path], int] = {}


class StillRunning(UserError):
    """Another process has the folder."""


def claim(folder: Path, key: str | None = None) -> None:
    """Make a folder this process's own, until `release` or the end of the process; again does no harm.

    Parameters
    ----------
    folder : Path
    key : str, optional
        The setting that names it, for a run or a sweep that is about to begin or to continue there.

    Raises
    ------
    StillRunning
        If another process has it.
    UserError
        If the folder can't be made or written, or its disk has no room for what begins there.
    """
    folder = folder.resolve()
    if (os.getpid(), folder) in _held:
        return
    try:
        if key is not None:
            _check_room(folder, key)
        folder.mkdir(parents=True, exist_ok=True)
        number = _locked(folder)
    except OSError as error:
        if key is None:
            hint = "it can be read: only those who may write there can add to it"
            raise UserError(f"the folder {folder} can't be written: {error.strerror}", hint) from None
        hint = f"{error.strerror}; {_instead(key, 'from another folder', '/where/you/may/write')}"
        raise InvalidValue(key, str(folder), "a writable folder", hint) from None
    if not _held:
        atexit.register(release_all)
    _held[os.getpid(), folder] = number


def _check_room(folder: Path, key: str) -> None:
    """Refuse a full disk before the training, all of whose numbers would be lost."""
    if (free := free_space(folder)) < ROOM:
        problem = f"no space is left on the disk of {folder}: {free / 1024:.0f} kB, and a run's record takes more"
        raise UserError(problem, f"free some there; {_instead(key, 'on another disk', '/where/there/is/room')}")


def _instead(key: str, start: str, place: str) -> str:
    return "leave resume out to begin a new run" if key == "resume" else f"start {start}, or give {key}={place}"


def release(folder: Path) -> None:
    """Let others have the folder; one that was not claimed stays as it is."""
    folder = folder.resolve()
    if (number := _held.pop((os.getpid(), folder), None)) is not None:
        with contextlib.suppress(OSError):
            (folder / LOCK_FILE).unlink(missing_ok=True)
        os.close(number)


def release_all() -> None:
    """Let others have all folders of this process."""
    for pid, folder in list(_held):
        if pid == os.getpid():
            release(folder)


def is_ours(folder: Path) -> bool:
    """Whether this process has the folder."""
    return (os.getpid(), folder.resolve()) in _held


def is_claimed(folder: Path) -> bool:
    """Whether a process, which is not this one, has the folder."""
    if is_ours(folder) or not (folder / LOCK_FILE).exists():
        return False
    try:
        claim(folder)
    except UserError:
        return True
    release(folder)
    return False


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Within, the folder is this process's, as with `claim`; one that it had before stays so."""
    before = is_ours(folder)
    claim(folder)
    try:
        yield
    finally:
        if not before:
            release(folder)


def _locked(folder: Path) -> int:
    """A descriptor of the folder's lock; nobody else gets one as long as it is open."""
    path = folder / LOCK_FILE
    while True:
        try:
            number, new = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644), True
        except FileExistsError:
            try:
                number, new = os.open(path, os.O_RDWR), False
            except FileNotFoundError:
                continue
        try:
            locks = _lock(number)
            if (locks or new or _left_behind(path)) and _is_at(number, path):
                os.ftruncate(number, 0)
                with contextlib.suppress(OSError):  # a full disk
                    os.write(number, json.dumps(process_tags()).encode())
                return number
        except BlockingIOError:
            problem = f"the run in {folder} is still running{_at(_owner(path))}"
            os.close(number)
            raise StillRunning(problem, "wait for its end, stop it first, or give another folder") from None
        except BaseException:
            os.close(number)
            raise
        os.close(number)  # its owner has removed it in the meantime


def _lock(number: int) -> bool:
    """Lock an open file; False where that can't be done. `BlockingIOError` if another process has."""
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    if _locks_are_local(os.fstat(number).st_dev):
        return False
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # some network file systems
        return False
    return True


@cache
def _locks_are_local(device: int, mounts: Path = Path("/proc/self/mountinfo")) -> bool:
    """Whether other machines don't see the locks on a file system, by how Linux has mounted it."""
    with contextlib.suppress(OSError, IndexError):
        for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
            here, _, there = (part.split() for part in line.partition(" - "))
            if here[2] == f"{os.major(device)}:{os.minor(device)}":
                options = {*here[5].split(","), *there[2].split(",")}
                return not options.isdisjoint(LOCAL_LOCKS.get(there[0], ()))
    return False


def _is_at(number: int, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(number), path.stat())
    return False


def _left_behind(path: Path) -> bool:
    """Without locks: always False, once the file of an owner that has ended is gone; `StillRunning` otherwise."""
    owner = _owner(path)
    if not is_gone(owner):
        problem = f"the run in {path.parent} may still be running{_at(owner)}"
        raise StillRunning(problem, f"this file system has no locks: if it has ended, delete {path}")
    taken = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with contextlib.suppress(FileNotFoundError):
        path.rename(taken)
        if _owner(taken) != owner and not path.exists():  # another one was faster, and has it now
            taken.rename(path)
        taken.unlink(missing_ok=True)
    return False


def _owner(path: Path) -> dict[str, str]:
    """The process that a lock names; empty if it can't be read."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return {}


def _at(owner: dict[str, str]) -> str:
    return f" (process {owner['pid']} on {owner['host']})" if owner.keys() >= {"pid", "host"} else ""


def holds_record(folder: Path) -> bool:
    """Whether there is the record, or a part of it, of a run or a sweep in a folder."""
    there = any((folder / name).is_file() for name in RECORD) or holds_sweep(folder)
    return there or any(checkpoint_files(folder / CHECKPOINTS_FOLDER))


def holds_sweep(folder: Path) -> bool:
    """Whether there is the record of a sweep in a folder."""
    return (folder / SWEEP_FILE).is_file() or any((folder / JOBS_FOLDER).glob("[0-9]*.jsonl"))


def job_folders(folder: Path) -> list[Path]:
    """The folders of a sweep's jobs: named by their numbers, or by the person and marked."""
    numbers = (int(path.stem) for path in (folder / JOBS_FOLDER).glob("[0-9]*.jsonl"))
    named = (path.parent for path in folder.rglob(JOB_FILE) if path.parent != folder)
    return sorted({*(path for number in numbers if (path := folder / str(number)).is_dir()), *named})


def check_jobs_ended(folder: Path) -> None:
    """`StillRunning` if a job of the sweep in a folder is: its workers may outlive the command."""
    for job in job_folders(folder):
        if is_claimed(job):
            problem = f"the run in {job} is still running{_at(_owner(job / LOCK_FILE))}"
            raise StillRunning(
                problem, "wait for its end, or stop that process: workers may outlive the sweep's command"
            )


def clear_record(folder: Path) -> None:
    """Remove the record in a folder whole, with those of a sweep's jobs; the files of others stay.

    Raises
    ------
    UserError
        If a file can't be removed, or a job is still running.
    """
    check_jobs_ended(folder)
    jobs = job_folders(folder)
    try:
        for one in [*jobs, folder]:
            for path in _own_files(one):
                path.unlink(missing_ok=True)
            code = [*(path for path in sorted((one / own_code.FOLDER).rglob("*"), reverse=True) if path.is_dir())]
            _remove_if_empty(one / CHECKPOINTS_FOLDER, one / JOBS_FOLDER, *code, one / own_code.FOLDER)
            if _is_our_model(one / "model"):
                shutil.rmtree(one / "model")
            log = one / "rnnexp.log"  # Hydra has it open already
            if log.is_file():
                os.truncate(log, 0)
            if one != folder:
                (one / LOCK_FILE).unlink(missing_ok=True)
                (log).unlink(missing_ok=True)
                _remove_if_empty(one)
    except OSError as error:
        problem = f"the record in {folder} can't be cleared: {error.filename}: {error.strerror}"
        raise UserError(problem, "give another folder") from None


def _own_files(folder: Path) -> Iterator[Path]:
    """The files of one record, its log last: what a clearing that was cut off leaves is still a record."""
    yield from checkpoint_files(folder / CHECKPOINTS_FOLDER)
    yield from (folder / JOBS_FOLDER).glob("[0-9]*.jsonl")
    entries: list[Any] = []
    with contextlib.suppress(OSError):
        entries = read_lines(folder / RUN_LOG)
    for entry in filter(lambda entry: isinstance(entry, dict), entries):
        code = parts_of(entry.get("begin", {}).get("tags", {}).get("rnnexp.code", ""))
        for name in (*entry.get("artifacts", ()), *(f"{own_code.FOLDER}/{file}" for file in code)):
            path = folder / name
            if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
                yield path
    yield from (folder / name for name in (*OTHER, *NOTES, *RECORD[::-1]) if (folder / name).is_file())


def _is_our_model(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return "rnnexp_model_" in (folder / "MLmodel").read_text(encoding="utf-8", errors="replace")
    return False


def _remove_if_empty(*folders: Path) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()
