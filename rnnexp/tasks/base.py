"""What every task gives: batches of sequences, what is scored, and the loss of a predictor that learnt nothing."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]


@dataclass(slots=True)
class Batch:
    """Sequences side by side, time first.

    Attributes
    ----------
    inputs : integer array (T, N) of tokens, or float array (T, N, D)
    targets : integer array (T, N) of classes, or float array (T, N, O)
    mask : boolean array (T, N)
        Which steps are scored; what `targets` holds elsewhere has no meaning.
    allowed : boolean array (T, N, O), optional
        Classes that count as right besides the target, where a task can't tell which one will come.
    """

    inputs: Array
    targets: Array
    mask: Array
    allowed: Array | None = None

    def at(self, index: Any) -> "Batch":
        """Whatever `index` picks of each array, whose first axes are time and sequence."""
        allowed = None if self.allowed is None else self.allowed[index]
        return Batch(self.inputs[index], self.targets[index], self.mask[index], allowed)

    def steps(self, start: int, stop: int | None) -> "Batch":
        """The steps from `start` up to `stop`, as views."""
        if start == 0 and (stop is None or stop >= len(self.inputs)):
            return self
        return self.at(slice(start, stop))

    def sequences(self, count: int) -> "Batch":
        """The first `count` sequences, as views."""
        return self.at((slice(None), slice(count)))

    def cast(self, dtype: DTypeLike) -> "Batch":
        """Real-valued inputs and targets in `dtype`; tokens and classes stay integers."""
        inputs, targets = self.inputs, self.targets
        if inputs.dtype.kind == "f" and inputs.dtype != dtype:
            inputs = inputs.astype(dtype)
        if targets.dtype.kind == "f" and targets.dtype != dtype:
            targets = targets.astype(dtype)
        if inputs is self.inputs and targets is self.targets:
            return self
        return Batch(inputs, targets, self.mask, self.allowed)


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
    error : float or None
        Its share of wrong answers by the paper's rule, where the task has one.
    exact : bool
        The numbers have a closed form; otherwise they were computed from drawn data or the task's own.
    """

    loss: float
    accuracy: float | None
    predictor: str
    error: float | None = None
    exact: bool = True


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
    paper : str
        Where the task comes from.
    success : str
        The published rule for a solved task, in words; empty where there is none.
    error_per : {"step", "sequence"} or None
        What is right or wrong by the paper's rule: every scored step, or a sequence with all of its scored steps. None
        where the paper speaks of the loss only.
    floor : float or None
        The best loss that any predictor can reach, where it is known.
    digest : str
        Of data that were read from a file: other data have another one. Empty where everything is drawn.
    input_names, output_names : sequence of str or None
        What each token or input value, and each class or output value, is called, where they have names.
    baseline : Baseline
    """

    input_kind: str
    input_size: int
    target_kind: str
    output_size: int
    scored: str
    paper: str = ""
    success: str = ""
    error_per: str | None = None
    floor: float | None = None
    digest: str = ""
    input_names: Sequence[str] | None = None
    output_names: Sequence[str] | None = None

    @property
    @abstractmethod
    def baseline(self) -> Baseline:
        """The trivial predictor and its loss."""

    @abstractmethod
    def evaluation(self, *, rng: Generator) -> Batch:
        """The evaluation set, whole sequences; the same generator state gives the same set."""

    def wrong(self, outputs: Array, batch: Batch) -> Array:
        """Where an output is wrong by the paper's rule.

        Parameters
        ----------
        outputs : array (S, N, O)
            Logits of classes, or values.
        batch : Batch
            The same S steps; what is said of steps outside its mask is ignored.

        Returns
        -------
        boolean array (S, N)
        """
        if self.target_kind != "classes":
            raise NotImplementedError(f"{type(self).__name__} has no rule for a wrong value")
        answers = outputs.argmax(axis=-1)
        missed: Array = answers != batch.targets
        if batch.allowed is not None:
            missed &= ~np.take_along_axis(batch.allowed, answers[..., np.newaxis], axis=-1)[..., 0]
        return missed

    def solved(self, report: Any) -> bool | None:
        """Whether the task is solved by the published rule; None without a rule, or where nothing was evaluated.

        Parameters
        ----------
        report : Report
            Of `rnnexp.training`: its ``evaluation`` has ``loss``, ``accuracy``, ``error`` and ``absolute_error``.
        """
        return None

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

    def sample_copies(self, batch_size: int, *, rngs: Sequence[Generator]) -> Batch | None:
        """What `sample` gives with each of the generators, side by side: (T, K, N, ...).

        None, unless overridden: a task need not know how to draw for many networks faster than one by one. The same
        steps must be scored in all of them.
        """
        return None

    def evaluation(self, *, rng: Generator) -> Batch:
        """`eval_sequences` fresh sequences."""
        return self.sample(self.eval_sequences, rng=rng)


class StreamTask(Task):
    """Sequences without an end; the hidden state is carried from one window to the next."""

    #: Streams in the evaluation set, and steps in each.
    eval_streams: int = 20
    eval_steps: int = 500

    @abstractmethod
    def begin(self, batch_size: int, *, rng: Generator) -> Place:
        """The place where `batch_size` streams begin."""

    @abstractmethod
    def read(self, place: Place, steps: int, *, rng: Generator) -> Batch:
        """The next `steps` steps of all streams; `place` moves on."""

    def evaluation(self, *, rng: Generator) -> Batch:
        """The first `eval_steps` steps of `eval_streams` streams."""
        return self.read(self.begin(self.eval_streams, rng=rng), self.eval_steps, rng=rng)


def one_step(mask_shape: tuple[int, ...], step: int | Array) -> Array:
    """A mask (T, N) that scores one step of every sequence: each its own (N,), or the same for all, then read-only.

    With the same step for all there may be axes between.
    """
    if isinstance(step, int):
        return _same_step(mask_shape, step)
    mask = np.zeros(mask_shape, bool)
    mask[step, np.arange(mask_shape[1])] = True
    return mask


@lru_cache(maxsize=16)
def _same_step(mask_shape: tuple[int, ...], step: int) -> Array:
    mask = np.zeros(mask_shape, bool)
    mask[step] = True
    mask.flags.writeable = False
    return mask


def largest_deviation(logits: Array, targets: Array) -> Array:
    """max_c |p_c - [c = target]| for softmax probabilities p of logits (..., O) and classes (...).

    It is 1 - p_target, since no other p_c can exceed that. This is how a rule on the outputs of logistic units
    ("every error below 0.3") reads for a network with a softmax.
    """
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True), dtype=np.float64)
    at_target = np.take_along_axis(shifted, targets[..., np.newaxis], axis=-1)[..., 0]
    missing: Array = 1.0 - at_target / shifted.sum(axis=-1)
    return missing
