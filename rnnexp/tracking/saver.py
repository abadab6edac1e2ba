"""Checkpoints of a run as the command makes them: the training, what was recorded so far, and the configuration."""

import contextlib
import shutil
import time
from pathlib import Path
from typing import Any

from rnnexp import process
from rnnexp.checks import UserError
from rnnexp.training import Run
from rnnexp.training.checkpoint_folder import CHECKPOINTS_FOLDER, FINISHED_FILE, Checkpoints

#: Seconds between checkpoints when no number of updates is given.
MINUTE = 60.0
#: Seconds of work that are worth waiting for the disk: a power failure may cost a shorter run its checkpoint.
WORTH = 1.0


class Saver:
    """Writes a run's checkpoints into its folder.

    Parameters
    ----------
    folder : Path
        Of the run.
    settings : dict
        The group `checkpoint`.
    steps : int
        Planned updates.
    resumed : bool
        The folder has the checkpoints of an earlier process, which new ones replace.

    Attributes
    ----------
    written : bool
        There is one.
    warned : bool
        A warning was printed that the folder can't be written.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], steps: int, *, resumed: bool = False) -> None:
        self.files = Checkpoints(folder / CHECKPOINTS_FOLDER) if settings.get("kind") == "files" else None
        self.every, self.steps = settings.get("every"), steps
        self._last = time.monotonic()
        self.resumed = resumed
        self.written = self.warned = False
        self._step = 0

    def due(self, step: int) -> bool:
        """Whether a checkpoint is to be written after update `step`."""
        if self.files is None or not step:
            return False
        if step == self.steps or process.interruption_pending():
            return True
        if self.every is not None:
            return bool(step % self.every == 0)
        return time.monotonic() - self._last > MINUTE

    def save(self, run: Run, about: dict[str, Any], loss: float | None, seconds: float = 0.0) -> None:
        """Write one; if the disk is full, that is printed once, and training continues.

        Parameters
        ----------
        run : Run
            Between two updates.
        about : dict
            What else is to be found in it, made of dicts, arrays and plain values.
        loss : float or None
            On the evaluation set, if it was just evaluated.
        seconds : float
            That training has taken, for this run.
        """
        if self.files is None:
            return
        try:
            settle = self.resumed or seconds > WORTH
            self.files.write(run.trainer.step, {**about, **run.state()}, loss, settle=settle)
            self.written, self._step = True, run.trainer.step
        except UserError as error:
            if not self.warned:
                process.say(f"rnnexp: {error.problem}; training goes on", error.hint, error=True)
            self.warned = True
        self._last = time.monotonic()

    @property
    def steps_kept(self) -> str:
        """Of what updates there are checkpoints: the last one, and the one with the lowest evaluation loss."""
        best = None if self.files is None else self.files.best_step
        return f"last: step {self._step}" + (f", best: step {best}" if best is not None else "")

    def discard(self) -> None:
        """Remove what was written."""
        if self.files is not None:
            shutil.rmtree(self.files.folder, ignore_errors=True)

    def finish(self, step: int) -> None:
        """Note that the record is complete up to this update: resuming makes sense only for more of them."""
        if self.files is not None:
            with contextlib.suppress(OSError):
                (self.files.folder / FINISHED_FILE).write_text(f"{step}\n", encoding="utf-8")
