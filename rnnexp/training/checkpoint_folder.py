"""The folder of a run's checkpoints: the last ones and the best, and whether the run is going on or finished."""

import contextlib
import math
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rnnexp.checks import UserError, integer
from rnnexp.state import State
from rnnexp.training.checkpoint import OtherVersion, load, remove, replace_file, save, settle_folder

#: Where a run's folder has its checkpoints.
CHECKPOINTS_FOLDER = "checkpoints"
#: Beside them: after how many updates the record of the run was whole.
FINISHED_FILE = "finished"


class Checkpoints:
    """A folder with the last checkpoints of a run and the best one.

    Parameters
    ----------
    folder : path
        Made when the first checkpoint is written.
    keep : int
        How many of the last ones stay, >= 1; the best stays besides.

    Attributes
    ----------
    best_step : int or None
        Of the best one, as far as this object has written or read it.
    """

    NAME = re.compile(r"step-(\d{9,})\.npz")

    def __init__(self, folder: str | os.PathLike[str], keep: int = 2) -> None:
        self.folder, self.keep = Path(folder), integer("keep", keep, at_least=1)
        self._best_loss: float | None = None
        self.best_step: int | None = None

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
            On the evaluation set, at this step; added to the state. The lowest makes the best checkpoint, of two equal
            ones the first.
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
        save(path, {**state, "loss": loss}, settle=settle)
        if loss is not None and loss < self._lowest():
            self._make_best(path, settle)
            self._best_loss, self.best_step = loss, step
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
            If there is none, or it was written by another version of rnnexp.
        """
        for path in self.latest():
            try:
                return path, load(path)
            except OtherVersion:
                raise
            except UserError as error:
                tell(error.problem)
        raise UserError(
            f"there is no checkpoint to go on from in {self.folder}", "begin a new run, or give another folder"
        )

    def _steps(self) -> list[tuple[int, Path]]:
        found = ((self.NAME.fullmatch(path.name), path) for path in self.folder.glob("step-*.npz"))
        return [(int(match[1]), path) for match, path in found if match]

    def _lowest(self) -> float:
        """The best loss so far; infinite without a best checkpoint that can be read."""
        if self._best_loss is None and self.best.is_file():
            with contextlib.suppress(UserError):
                state = load(self.best)
                loss, self.best_step = state.get("loss"), state.get("trainer", {}).get("step")
                self._best_loss = float(loss) if isinstance(loss, int | float) else None
        return math.inf if self._best_loss is None else self._best_loss

    def _make_best(self, path: Path, settle: bool) -> None:
        """A second name for the file, or a copy where the file system has no links."""
        temporary = path.with_name(f".{self.best.name}.{uuid.uuid4().hex}.tmp")
        try:
            os.link(path, temporary)
            os.replace(temporary, self.best)  # noqa: PTH105
        except OSError:
            remove(temporary)
            with path.open("rb") as whole:
                replace_file(self.best, lambda stream: shutil.copyfileobj(whole, stream), settle)
        if settle:
            settle_folder(self.folder)

    def _tidy(self, newest: Path) -> None:
        """Remove what is no longer kept, and what a killed process left half written."""
        step = int(newest.stem.partition("-")[2])
        kept = [number for number, _ in sorted(self._steps(), reverse=True) if number <= step][: self.keep]
        for number, path in self._steps():
            if number not in kept:
                remove(path)
        for path in [*self.folder.glob(".step-*.npz.*.tmp"), *self.folder.glob(".best.npz.*.tmp")]:
            remove(path)


def checkpoint_files(folder: Path) -> Iterator[Path]:
    """What a run has left in its folder of checkpoints."""
    for pattern in ("step-*.npz", "best.npz", FINISHED_FILE, ".step-*.npz.*.tmp", ".best.npz.*.tmp"):
        yield from folder.glob(pattern)


def finished_at(folder: Path) -> int:
    """After how many updates the record of a run was whole, by its checkpoints' folder; 0 if it was not yet."""
    try:
        return int((folder / FINISHED_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0
