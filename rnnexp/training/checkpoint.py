"""Checkpoints: a state as one file that is whole or not there, and a folder with the last ones and the best."""

import contextlib
import json
import math
import os
import re
import shutil
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, unquote

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from rnnexp.checks import UserError, integer
from rnnexp.npz import LARGEST, digest, read_arrays
from rnnexp.state import State, copied

Array = NDArray[Any]

VERSION = 1
#: Bytes that the plain values of a state may take, written out.
PLAIN_BYTES = 2**26
#: `load` allocates about twice a file's size if `save` wrote it; whatever is in it, never more than so many times its
#: size, and so many bytes for the reading itself.
SPREAD, READING = 40, 2**18
#: Members beside the arrays of the state, whose names have no such sign in them.
TEXT, DIGEST = "!plain.json", "!sha256"


def save(path: str | os.PathLike[str], state: State, about: State | None = None, *, settle: bool = True) -> None:
    """Write a state as one .npz file: whole, or not at all.

    An array's name is the path to it, as in ``np.load(path)["parameters/recurrent.Wh"]``. Nothing is pickled.

    Parameters
    ----------
    path : path
        What is there is replaced in one step, when all of the new file is on the disk.
    state : dict
        Nested dicts of arrays and plain values, as `Trainer.state` gives.
    about : dict of plain values, optional
        What `read_about` gives back.
    settle : bool
        Wait until it is on the disk, so that a power failure leaves the one before it or this one.

    Raises
    ------
    UserError
        If it can't be written; a file that was there before is untouched.
    TypeError
        If there is something else in the state.
    """
    path, state = Path(path), copied(state)
    arrays: dict[str, Array] = {}
    axes: dict[str, list[int]] = {}
    for name, array in sorted(_arrays(state), key=lambda item: item[0]):
        # In the order in which it lies in memory, so that it lies there in the same order again.
        order = np.argsort([-stride for stride in array.strides], kind="stable").astype(int).tolist()
        arrays[name] = np.asarray(array.transpose(order), order="C")
        if order != sorted(order):
            axes[name] = order
    plain = {"version": VERSION, "about": copied(about or {}), "state": _without_arrays(state), "axes": axes}
    text = np.frombuffer(json.dumps(plain, sort_keys=True).encode(), np.uint8)
    size = sum(array.nbytes for array in arrays.values())
    if size > LARGEST or len(text) > PLAIN_BYTES:
        most = f"{LARGEST / 2**20:g} MiB of arrays and {PLAIN_BYTES / 2**20:g} MiB of plain values"
        raise UserError(
            f"the checkpoint {path.name} would hold more than {most}",
            "make the network, the batch or the window smaller",
        )
    members = {**arrays, TEXT: text}
    members[DIGEST] = digest(members)
    _replace(path, lambda stream: _write(stream, members), settle)


def load(path: str | os.PathLike[str]) -> State:
    """The state that `save` wrote.

    Raises
    ------
    UserError
        If the file can't be read, or is not what was written, down to the last bit.
    """
    return _read(Path(path))[0]


def read_about(path: str | os.PathLike[str]) -> State:
    """What `save` was told about the state; errors as for `load`."""
    return _read(Path(path))[1]


def _read(path: Path) -> tuple[State, State]:
    try:
        return _checked(path)
    except OSError as error:
        problem = error.strerror or str(error)
    except (ValueError, RecursionError) as error:
        problem = str(error)
    raise UserError(
        f"the checkpoint {path} can't be used: {problem}", "try the one before it, or best.npz in the same folder"
    )


def _checked(path: Path) -> tuple[State, State]:
    """State and `about` of a file, or a `ValueError`."""
    arrays = read_arrays(path, packed=False)
    written, text = arrays.pop(DIGEST, None), arrays.pop(TEXT, None)
    if written is None or text is None or text.dtype != np.uint8 or text.ndim != 1 or len(text) > PLAIN_BYTES:
        raise ValueError("it is no checkpoint of this program")
    if not np.array_equal(written, digest({**arrays, TEXT: text})):
        raise ValueError("it is damaged: its content does not match its checksum")
    plain = json.loads(text.tobytes())
    if not isinstance(plain, dict) or plain.get("version") != VERSION:
        raise ValueError("it was written by another version of this program")
    state, about, axes = (plain.get(name) for name in ("state", "about", "axes"))
    if not (isinstance(state, dict) and isinstance(about, dict) and isinstance(axes, dict)):
        raise ValueError("it holds no state")
    for name, array in arrays.items():
        if array.dtype.kind not in "biufc":
            raise ValueError(f"{name} holds no numbers")
        order = axes.get(name, list(range(array.ndim)))
        whole = isinstance(order, list) and all(type(axis) is int for axis in order)
        if not whole or sorted(order) != list(range(array.ndim)):
            raise ValueError(f"{name} has no such axes")
        *parents, last = map(unquote, name.split("/"))
        at: Any = state
        for parent in parents:
            at = at.get(parent) if isinstance(at, dict) else None
        if not isinstance(at, dict) or last in at:
            raise ValueError(f"{name} has no place in it")
        at[last] = array.transpose(np.argsort(order)) if array.ndim else array
    return state, about


def _arrays(state: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Array]]:
    """The arrays of nested dicts, each by the path to it."""
    for key, value in state.items():
        if isinstance(value, dict):
            yield from _arrays(value, (*path, key))
        elif isinstance(value, np.ndarray):
            yield _name(*path, key), value
        elif isinstance(value, list) and not _is_plain(value):
            raise TypeError(f"{_name(*path, key)} must be a list of plain values: a dict may hold arrays")


def _name(*path: str) -> str:
    return "/".join(quote(key, safe="") for key in path)


def _is_plain(value: Any) -> bool:
    return all(map(_is_plain, value)) if isinstance(value, list) else not isinstance(value, np.ndarray | dict)


def _without_arrays(state: Any) -> Any:
    if not isinstance(state, dict):
        return state
    return {key: _without_arrays(value) for key, value in state.items() if not isinstance(value, np.ndarray)}


def _write(stream: IO[bytes], arrays: dict[str, Array]) -> None:
    """An .npz file that is the same, bit for bit, for the same arrays."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                npy.write_array(member, array, allow_pickle=False)


def _replace(path: Path, write: Callable[[IO[bytes]], None], settle: bool) -> None:
    """Make a file next to `path` and put it in its place, when it is on the disk if it is to settle."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as stream:
            write(stream)
            stream.flush()
            if settle:
                os.fsync(stream.fileno())
        os.replace(temporary, path)  # noqa: PTH105
    except OSError as error:
        _forget(temporary)
        hint = "what was there before is untouched; make room, or give another folder"
        raise UserError(f"the checkpoint {path} can't be written: {error.strerror or error}", hint) from error
    except BaseException:
        _forget(temporary)
        raise
    if settle:
        _settle(path.parent)


def _forget(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _settle(folder: Path) -> None:
    """Have the names in a folder written to the disk; some file systems can't, and need not."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


class Checkpoints:
    """A folder with the last checkpoints of a run and the best one.

    Parameters
    ----------
    folder : path
        Made when the first checkpoint is written.
    keep : int
        How many of the last ones stay, >= 1; the best stays besides.
    """

    NAME = re.compile(r"step-(\d{9,})\.npz")

    def __init__(self, folder: str | os.PathLike[str], keep: int = 2) -> None:
        self.folder, self.keep = Path(folder), integer("keep", keep, at_least=1)
        self._best_loss: float | None = None

    @property
    def best(self) -> Path:
        """Where the checkpoint with the lowest evaluation loss is, if there is one."""
        return self.folder / "best.npz"

    def write(self, step: int, state: State, loss: float | None = None, *, settle: bool = True) -> Path:
        """Write a checkpoint, and remove those that are no longer kept.

        Checkpoints of later steps, which a run left behind that now goes on from an earlier one, are removed too.

        Parameters
        ----------
        step : int
        state : dict
        loss : float, optional
            On the evaluation set, at this step; the lowest one makes the best checkpoint. Of two equal ones, the first.
        settle : bool
            See `save`.

        Returns
        -------
        Path
            Of the file.

        Raises
        ------
        UserError
            If it can't be written; those before it are untouched then.
        """
        path = self.folder / f"step-{integer('step', step, at_least=0):09d}.npz"
        loss = None if loss is None or not math.isfinite(loss) else float(loss)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            problem = f"the folder {self.folder} can't be made: {error.strerror or error}"
            raise UserError(problem, "give another folder for the checkpoints") from error
        save(path, state, {"step": int(step), "loss": loss}, settle=settle)
        if loss is not None and loss < self._lowest():
            self._make_best(path, settle)
            self._best_loss = loss
        self._tidy(path)
        return path

    def latest(self) -> list[Path]:
        """The checkpoints to go on from, the newest first, the best one last."""
        steps = [path for _, path in sorted(self._steps(), reverse=True)]
        return [*steps, self.best] if self.best.is_file() else steps

    def load_latest(self, tell: Callable[[str], Any] = print) -> tuple[Path, State]:
        """The newest checkpoint that is undamaged, and its state.

        Parameters
        ----------
        tell : callable
            Given a line about each one that can't be used.

        Raises
        ------
        UserError
            If there is none.
        """
        for path in self.latest():
            try:
                return path, load(path)
            except UserError as error:
                tell(error.problem)
        raise UserError(f"there is no checkpoint to go on from in {self.folder}", "begin anew, or give another folder")

    def _steps(self) -> list[tuple[int, Path]]:
        found = ((self.NAME.fullmatch(path.name), path) for path in self.folder.glob("step-*.npz"))
        return [(int(match[1]), path) for match, path in found if match]

    def _lowest(self) -> float:
        """The best loss so far; infinite without a best checkpoint that can be read."""
        if self._best_loss is None and self.best.is_file():
            with contextlib.suppress(UserError):
                loss = read_about(self.best).get("loss")
                self._best_loss = float(loss) if isinstance(loss, int | float) else None
        return math.inf if self._best_loss is None else self._best_loss

    def _make_best(self, path: Path, settle: bool) -> None:
        """A second name for the file, or a copy where the file system has no links."""
        temporary = path.with_name(f".{self.best.name}.{uuid.uuid4().hex}.tmp")
        try:
            os.link(path, temporary)
            os.replace(temporary, self.best)  # noqa: PTH105
        except OSError:
            _forget(temporary)
            with path.open("rb") as whole:
                _replace(self.best, lambda stream: shutil.copyfileobj(whole, stream), settle)
        if settle:
            _settle(self.folder)

    def _tidy(self, newest: Path) -> None:
        """Remove what is no longer kept, and what a killed process left half written."""
        step = int(newest.stem.partition("-")[2])
        kept = [number for number, _ in sorted(self._steps(), reverse=True) if number <= step][: self.keep]
        for number, path in self._steps():
            if number not in kept:
                _forget(path)
        for path in [*self.folder.glob(".step-*.npz.*.tmp"), *self.folder.glob(".best.npz.*.tmp")]:
            _forget(path)


#: Where a run's folder has its checkpoints.
CHECKPOINTS_FOLDER = "checkpoints"
#: Beside them: after how many updates the record of the run was whole.
FINISHED_FILE = "finished"


def lock(folder: Path) -> int | None:
    """Lock a folder of checkpoints as long as the descriptor is open; None where that can't be done.

    Raises
    ------
    BlockingIOError
        If another process, or this one, has done so.
    """
    try:
        import fcntl
    except ImportError:
        return None
    number = None
    try:
        number = os.open(folder, os.O_RDONLY)
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if number is not None:
            os.close(number)
        if isinstance(error, BlockingIOError):
            raise
        return None
    return number


def finished_at(folder: Path) -> int:
    """After how many updates the record of a run was whole, by its checkpoints' folder; 0 if it was not yet."""
    try:
        return int((folder / FINISHED_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0
