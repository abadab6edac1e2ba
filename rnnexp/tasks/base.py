"""What every task provides: batches of sequences, scored steps, and the loss of a trivial predictor."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import DTypeLike, NDArray

from rnnexp.checks import integer
from rnnexp.components import Component, Shown

Array = NDArray[Any]

#: For `Task.solved_below`: the number is 0.
NONE = float(np.nextafter(0.0, 1.0))


@dataclass(slots=True, repr=False)
class Batch(Shown):
    """A batch of sequences, time first.

    Attributes
    ----------
    inputs : integer array (T, N) of tokens, or float array (T, N, D)
    targets : integer array (T, N) of classes, or float array (T, N, O)
    mask : boolean array (T, N)
        Which steps are scored; `targets` has no meaning elsewhere.
    allowed : boolean array (T, N, O), optional
        Classes that also count as correct, where the next one can't be predicted.
    """

    inputs: Array
    targets: Array
    mask: Array
    allowed: Array | None = None

    def at(self, index: Any) -> "Batch":
        """Every array indexed by `index`; the first axes are time and sequence."""
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

    def same_as(self, other: "Batch") -> bool:
        """Whether another batch has the same sequences, with the same scored steps and targets there."""
        pairs = ((self.inputs, other.inputs), (self.mask, other.mask))
        if not all(np.array_equal(one, another) for one, another in pairs):
            return False
        return bool(np.array_equal(self.targets[self.mask], other.targets[other.mask]))

    def cast(self, dtype: DTypeLike) -> "Batch":
        """Real-valued inputs and targets in `dtype`; tokens and classes stay integers."""
        inputs, targets = (
            array.astype(dtype, copy=False) if array.dtype.kind == "f" else array
            for array in (self.inputs, self.targets)
        )
        if inputs is self.inputs and targets is self.targets:
            return self
        return Batch(inputs, targets, self.mask, self.allowed)


@dataclass(frozen=True)
class Baseline:
    """A trivial predictor.

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
        Whether the numbers have a closed form; otherwise they are computed from data.
    """

    loss: float
    accuracy: float | None
    predictor: str
    error: float | None = None
    exact: bool = True


@dataclass
class Place:
    """The position of a batch of streams: arrays that `StreamTask.read` advances in place."""

    arrays: dict[str, Array] = field(default_factory=dict)


class Task(Component, ABC):
    """A source of sequences; it knows nothing about networks.

    Attributes
    ----------
    input_kind : {"tokens", "values"}
    input_size : int
        Number of tokens, or of values per step.
    target_kind : {"classes", "values"}
    output_size : int
        Number of classes, or of values predicted per scored step.
    scored : str
        Which steps are scored, in words.
    paper : str
        Where the task comes from.
    success : str
        The published rule for a solved task, in words; empty where there is none.
    solved_below : sequence of (str, float)
        The same rule as numbers of an evaluation and the bounds that they must stay below; empty where there is none.
    error_per : {"step", "sequence"} or None
        The unit that is right or wrong by the paper's rule: a scored step, or a sequence with all its scored steps.
        None where the paper reports the loss only.
    floor : float or None
        The best loss that any predictor can reach, where known.
    digest : str
        Hash of the data read from a file; empty where everything is drawn.
    kept : int
        Bytes of the data read from a file; 0 where everything is drawn.
    input_names, output_names : sequence of str or None
        Names of the tokens or input values, and of the classes or output values, where they have any.
    fed_back : mapping of int to int
        Where outputs are values of the series that comes in: the output that predicts an input, by the input; empty
        elsewhere. A network can then continue the series by itself.
    horizon : int
        Steps from an input to the output that predicts it, with `fed_back`.
    asked : sequence of (int, int)
        The inputs that the last target of a sequence asks for: of each the smallest and the largest lag at which it
        lies, in steps back from the last scored step. Empty where a target asks for the whole past.
    divisible : bool
        Whether the first steps of a sequence are worth evaluating without the others, as those of a stream are.
    reading, caution : str
        What was made of the data of a file, and what speaks against it, in a line each that is told when training
        begins; empty where there is nothing to say.
    baseline : Baseline
    """

    input_kind: str
    input_size: int
    target_kind: str
    output_size: int
    scored: str
    paper: str = ""
    success: str = ""
    solved_below: Sequence[tuple[str, float]] = ()
    error_per: str | None = None
    floor: float | None = None
    digest: str = ""
    kept: int = 0
    input_names: Sequence[str] | None = None
    output_names: Sequence[str] | None = None
    fed_back: Mapping[int, int] = MappingProxyType({})
    horizon: int = 1
    asked: Sequence[tuple[int, int]] = ()
    divisible: bool = False
    reading: str = ""
    caution: str = ""

    def __str__(self) -> str:
        """The configuration, what goes in and out, which steps are scored, and the trivial predictor's loss."""
        baseline = self.baseline
        accuracy = "" if baseline.accuracy is None else f", accuracy {baseline.accuracy:.3g}"
        return (
            f"{self!r}\n"
            f"  input     {self.input_kind} ({self.input_size})\n"
            f"  target    {self.target_kind} ({self.output_size}), scored: {self.scored}\n"
            f"  baseline  loss {baseline.loss:.4g}{accuracy}: {baseline.predictor}"
        )

    @property
    @abstractmethod
    def baseline(self) -> Baseline:
        """The trivial predictor and its loss."""

    @abstractmethod
    def evaluation(self, *, rng: Generator) -> Batch:
        """The evaluation set, whole sequences; the same generator state gives the same set."""

    def test(self, *, rng: Generator) -> Batch | None:
        """The test set, which neither training nor the choice among weights sees; None if there is none.

        Another draw of the evaluation set, unless overridden: by a task whose data come from a file, for one.
        """
        return self.evaluation(rng=rng)

    def wrong(self, outputs: Array, batch: Batch) -> Array:
        """Where an output is wrong by the paper's rule.

        Parameters
        ----------
        outputs : array (S, N, O)
            Logits of classes, or values.
        batch : Batch
            The same S steps; steps outside its mask are ignored.

        Returns
        -------
        boolean array (S, N)
        """
        if self.target_kind != "classes":
            raise NotImplementedError(f"{type(self).__name__} has no rule for errors")
        answers = outputs.argmax(axis=-1)
        missed: Array = answers != batch.targets
        if batch.allowed is not None:
            missed &= ~np.take_along_axis(batch.allowed, answers[..., np.newaxis], axis=-1)[..., 0]
        return missed

    def solved(self, report: Any) -> bool | None:
        """Whether the task is solved by the published rule; None without a rule or an evaluation.

        Parameters
        ----------
        report : Report
            Of `rnnexp.training`: its ``evaluation`` has ``loss``, ``accuracy``, ``error`` and ``absolute_error``.
        """
        if report.evaluation is None or not self.solved_below:
            return None

        def number(name: str) -> float:
            if hasattr(report.evaluation, name):
                return float(getattr(report.evaluation, name))
            return self.further_metrics(report.evaluation.loss)[name]

        return all(number(name) < bound for name, bound in self.solved_below)

    def further_metrics(self, loss: float) -> dict[str, float]:
        """The evaluation loss in the task's other customary units, by name."""
        return {}

    def series(self, steps: int, *, rng: Generator) -> Array:
        """With `fed_back`, a series (T, D) that is not trained on, to be continued: T = steps, or fewer if it ends."""
        raise NotImplementedError(f"{type(self).__name__} has no series")


class EpisodeTask(Task):
    """Sequences with a beginning and an end; the hidden state starts from zero in each."""

    def __init__(self, *, eval_sequences: int) -> None:
        self.eval_sequences = integer("eval_sequences", eval_sequences, at_least=1)

    @abstractmethod
    def sample(self, batch_size: int, *, rng: Generator) -> Batch:
        """`batch_size` fresh sequences."""

    def sample_copies(self, batch_size: int, *, rngs: Sequence[Generator]) -> Batch | None:
        """The results of `sample` with each generator, stacked: (T, K, N, ...).

        None unless overridden, which pays only where drawing for all networks at once is faster. All must score the
        same steps.
        """
        return None

    def evaluation(self, *, rng: Generator) -> Batch:
        """`eval_sequences` fresh sequences."""
        return self.sample(self.eval_sequences, rng=rng)


class StreamTask(Task):
    """Endless sequences; the hidden state is carried from one window to the next."""

    divisible = True
    #: Streams in the evaluation set, and steps in each.
    eval_streams: int = 20
    eval_steps: int = 500

    def check_evaluation(self, eval_streams: int, eval_steps: int, *, at_least: int, hint: str) -> None:
        """Keep the size of the evaluation set; `at_least` steps leave one to score."""
        self.eval_streams = integer("eval_streams", eval_streams, at_least=1)
        self.eval_steps = integer("eval_steps", eval_steps, at_least=at_least, hint=hint)

    @abstractmethod
    def begin(self, batch_size: int, *, rng: Generator) -> Place:
        """The starting position of `batch_size` streams."""

    @abstractmethod
    def read(self, place: Place, steps: int, *, rng: Generator) -> Batch:
        """The next `steps` steps of all streams; advances `place`."""

    def evaluation(self, *, rng: Generator) -> Batch:
        """The first `eval_steps` steps of `eval_streams` streams."""
        return self.read(self.begin(self.eval_streams, rng=rng), self.eval_steps, rng=rng)

    def series(self, steps: int, *, rng: Generator) -> Array:
        """The inputs of one new stream."""
        inputs: Array = self.read(self.begin(1, rng=rng), steps, rng=rng).inputs[:, 0]
        return inputs


def one_step(mask_shape: tuple[int, ...], step: int | Array) -> Array:
    """A mask (T, N) that scores one step per sequence: its own (N,), or the same for all (then read-only).

    With one step for all, further axes are allowed between T and N.
    """
    if isinstance(step, int):
        return _same_step(mask_shape, step)
    mask = np.zeros(mask_shape, bool)
    mask[step, np.arange(mask_shape[1])] = True
    return mask


def with_answers(inputs: Array, last: int | Array, answers: Array) -> Batch:
    """Sequences scored at one step each, their own (N,) or the same for all.

    Parameters
    ----------
    inputs : array (T, N) or (T, N, D)
    last : int, or integer array (N,)
    answers : integer array (N,) of classes, or float array (N, O)
    """
    shape, count = inputs.shape[:2], inputs.shape[1]
    targets = np.zeros((*shape, *answers.shape[1:]), answers.dtype)
    targets[last, np.arange(count)] = answers
    return Batch(inputs, targets, one_step(shape, last))


@lru_cache(maxsize=16)
def _same_step(mask_shape: tuple[int, ...], step: int) -> Array:
    mask = np.zeros(mask_shape, bool)
    mask[step] = True
    mask.flags.writeable = False
    return mask


def largest_deviation(logits: Array, targets: Array) -> Array:
    """max_c |p_c - [c = target]| for softmax probabilities p of logits (..., O) and classes (...).

    It is 1 - p_target, since no other p_c can exceed that. This carries a rule on logistic outputs ("every
    error below 0.3") over to a softmax.
    """
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True), dtype=np.float64)
    at_target = np.take_along_axis(shifted, targets[..., np.newaxis], axis=-1)[..., 0]
    missing: Array = 1.0 - at_target / shifted.sum(axis=-1)
    return missing
