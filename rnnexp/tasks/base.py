"""What every task gives: batches of sequences, what is scored, and the loss of a predictor that learnt nothing."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Batch:
    """Sequences side by side, time first.

    Attributes
    ----------
    inputs : integer array (T, N) of tokens, or float array (T, N, D)
    targets : integer array (T, N) of classes, or float array (T, N, O)
    mask : boolean array (T, N)
        Which steps are scored; what `targets` holds elsewhere has no meaning.
    """

    inputs: Array
    targets: Array
    mask: Array

    def steps(self, start: int, stop: int) -> "Batch":
        """The steps from `start` up to `stop`, as views."""
        return Batch(self.inputs[start:stop], self.targets[start:stop], self.mask[start:stop])

    def sequences(self, count: int) -> "Batch":
        """The first `count` sequences, as views."""
        return Batch(self.inputs[:, :count], self.targets[:, :count], self.mask[:, :count])

    def cast(self, dtype: DTypeLike) -> "Batch":
        """Real-valued inputs and targets in `dtype`; tokens and classes stay integers."""
        cast = {
            name: array.astype(dtype, copy=False)
            for name, array in (("inputs", self.inputs), ("targets", self.targets))
            if array.dtype.kind == "f"
        }
        return replace(self, **cast)


@dataclass(frozen=True)
class Baseline:
    """A predictor that has learnt nothing worth learning.

    Attributes
    ----------
    loss : float
        Its loss per scored step, in the task's unit (nats, or mean squared error).
    accuracy : float or None
        Its share of right answers, for classes.
    predictor : str
        What it does, in a few words.
    """

    loss: float
    accuracy: float | None
    predictor: str


@dataclass
class Place:
    """Where a batch of streams has got to: arrays that `StreamTask.read` moves on in place."""

    arrays: dict[str, Array] = field(default_factory=dict)


class Task(ABC):
    """A source of sequences; it knows nothing of networks.

    Attributes
    ----------
    input_kind : {"tokens", "values"}
    input_size : int
        Number of tokens, or of values per step.
    target_kind : {"classes", "values"}
    output_size : int
        Number of classes, or of values predicted per scored step.
    scored : str
        Which steps count, in words.
    baseline : Baseline
    """

    input_kind: str
    input_size: int
    target_kind: str
    output_size: int
    scored: str

    @property
    @abstractmethod
    def baseline(self) -> Baseline:
        """The trivial predictor and its loss."""

    @abstractmethod
    def evaluation(self, *, rng: Generator) -> Batch:
        """The evaluation set, whole sequences; the same generator state gives the same set."""

    def further_metrics(self, loss: float) -> dict[str, float]:
        """The evaluation loss in other units that are usual for the task, by name."""
        return {}


class EpisodeTask(Task):
    """Sequences with a beginning and an end; the hidden state starts from zero in each."""

    def __init__(self, *, eval_sequences: int) -> None:
        self.eval_sequences = eval_sequences

    @abstractmethod
    def sample(self, batch_size: int, *, rng: Generator) -> Batch:
        """`batch_size` fresh sequences."""

    def evaluation(self, *, rng: Generator) -> Batch:
        """`eval_sequences` fresh sequences."""
        return self.sample(self.eval_sequences, rng=rng)


class StreamTask(Task):
    """Sequences without an end; the hidden state is carried from one window to the next."""

    @abstractmethod
    def begin(self, batch_size: int, *, rng: Generator) -> Place:
        """The place where `batch_size` streams begin."""

    @abstractmethod
    def read(self, place: Place, steps: int, *, rng: Generator) -> Batch:
        """The next `steps` steps of all streams; `place` moves on."""


def one_step(mask_shape: tuple[int, int], step: int) -> Array:
    """A mask (T, N) that scores one step of every sequence."""
    mask = np.zeros(mask_shape, bool)
    mask[step] = True
    return mask
