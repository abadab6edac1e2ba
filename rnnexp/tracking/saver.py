"""Checkpoints of a run as the command makes them: the training, what was recorded so far, and the configuration."""

import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from rnnexp import interrupts
from rnnexp.checks import UserError
from rnnexp.gradients import AdaptiveWindow, NormsByLag, Saturation, StepJacobians, Study, TruncationBias
from rnnexp.training.checkpoint import Checkpoints
from rnnexp.training.trainer import Trainer

FOLDER = "checkpoints"
#: Seconds between checkpoints when no number of updates is given.
MINUTE = 60.0
#: What a record may be made of, by name: nothing else is made from a file.
RECORDS: dict[str, Any] = {
    cls.__name__: cls for cls in (AdaptiveWindow, NormsByLag, Saturation, StepJacobians, Study, TruncationBias)
}


def encoded(value: Any) -> Any:
    """Records as dicts of arrays and plain values."""
    if dataclasses.is_dataclass(value):
        fields = {field.name: encoded(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"record": type(value).__name__, "fields": fields}
    if isinstance(value, dict):
        return {"record": "dict", "fields": {key: encoded(item) for key, item in value.items()}}
    return value.item() if isinstance(value, np.generic) else value


def decoded(value: Any) -> Any:
    """What `encoded` was given; a `UserError` for anything else."""
    if not isinstance(value, dict):
        return value
    name, fields = value.get("record"), value.get("fields")
    if not isinstance(fields, dict) or (name != "dict" and name not in RECORDS):
        raise UserError("the checkpoint does not fit: it holds a record of an unknown kind", "take the one before it")
    contents = {key: decoded(item) for key, item in fields.items()}
    if name == "dict":
        return contents
    try:
        return RECORDS[name](**contents)
    except TypeError as error:
        raise UserError(f"the checkpoint does not fit: {error}", "it is of another version of this program") from None


class Saver:
    """Writes a run's checkpoints into its folder.

    Parameters
    ----------
    folder : Path
        Of the run.
    settings : dict
        The group `checkpoint`.
    steps : int
        Updates that the run is meant to make.

    Attributes
    ----------
    written : bool
        There is one.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], steps: int) -> None:
        self.files = Checkpoints(folder / FOLDER) if settings.get("kind") == "files" else None
        self.every, self.steps = settings.get("every"), steps
        self._last, self._told = time.monotonic(), False
        self.written = False

    def due(self, step: int) -> bool:
        """Whether a checkpoint is to be written after update `step`."""
        if self.files is None or not step:
            return False
        if step == self.steps or interrupts.waiting():
            return True
        if self.every is not None:
            return bool(step % self.every == 0)
        return time.monotonic() - self._last > MINUTE

    def save(self, trainer: Trainer, about: dict[str, Any], loss: float | None) -> None:
        """Write one; a disk that is full is told once, and training goes on.

        Parameters
        ----------
        trainer : Trainer
            Between two updates.
        about : dict
            What else is to be found in it, made of dicts, arrays and plain values.
        loss : float or None
            On the evaluation set, if it was just evaluated.
        """
        if self.files is None:
            return
        try:
            self.files.write(trainer.step, {**about, "trainer": trainer.state()}, loss)
            self.written = True
        except UserError as error:
            if not self._told:
                print(f"rnnexp: {error.problem}; training goes on\n{error.hint}", file=sys.stderr, flush=True)
            self._told = True
        self._last = time.monotonic()
