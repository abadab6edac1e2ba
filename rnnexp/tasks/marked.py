"""Long sequences of numbers of which two are marked: what the adding and multiplication problems share."""

from typing import ClassVar

import numpy as np
from numpy.random import Generator

from rnnexp.checks import integer, one_of
from rnnexp.tasks.base import Array, Batch, EpisodeTask, one_step


class MarkedNumbers(EpisodeTask):
    """A number to be computed from the two marked ones of a sequence.

    Attributes
    ----------
    variants : dict of str to tuple
        Of each variant: its paper, its rule for a solved task, the shortest T, and why it can't be shorter.
    """

    input_kind = "values"
    input_size = 2
    target_kind = "values"
    output_size = 1
    scored = "the last step"
    floor = 0.0
    variants: ClassVar[dict[str, tuple[str, str, int, str]]]

    def __init__(self, variant: str, length: int, eval_sequences: int) -> None:
        super().__init__(eval_sequences=eval_sequences)
        self.variant = one_of("variant", variant, self.variants)
        self.paper, self.success, shortest, why = self.variants[self.variant]
        self.length = integer("length", length, at_least=shortest, hint=why)
        self.input_names = ("marker", "value") if self.variant == "pascanu" else ("value", "marker")
        self.error_per = "sequence" if self.variant in ("hochreiter", "pascanu") else None

    def sample(self, batch_size: int, *, rng: Generator) -> Batch:
        """Inputs (T, N, 2), targets (T, N, 1); a sequence shorter than the longest ends in zeros."""
        # In the variant pascanu the sequences of a training batch all have one length.
        count = 1 if self.variant == "pascanu" else batch_size
        return self.draw(np.broadcast_to(draw_lengths(self.variant, self.length, count, rng), batch_size), rng)

    def evaluation(self, *, rng: Generator) -> Batch:
        """`eval_sequences` fresh sequences, each with its own length where lengths vary."""
        return self.draw(draw_lengths(self.variant, self.length, self.eval_sequences, rng), rng)

    def draw(self, lengths: Array, rng: Generator) -> Batch:
        """Sequences of the given lengths (N,)."""
        raise NotImplementedError

    def wrong(self, outputs: Array, batch: Batch) -> Array:
        """Where |output - target| >= 0.04 (hochreiter), or its square > 0.04 (pascanu); the others have no rule."""
        if self.error_per is None:
            return super().wrong(outputs, batch)
        off = np.abs(outputs[..., 0] - batch.targets[..., 0])
        missed: Array = off >= 0.04 if self.variant == "hochreiter" else off**2 > 0.04
        return missed


def draw_lengths(variant: str, length: int, count: int, rng: Generator) -> Array:
    """Lengths of `count` sequences (N,), at least `length` each."""
    if variant not in ("hochreiter", "pascanu"):
        return np.full(count, length)
    return rng.integers(length, length + length // 10 + (variant == "hochreiter"), size=count)


def draw_places(variant: str, length: int, lengths: Array, rng: Generator) -> tuple[Array, Array]:
    """The two marked steps of each sequence (N,)."""
    count = len(lengths)
    if variant == "pascanu":
        tenth = lengths // 10
        return rng.integers(tenth), tenth + rng.integers(4 * lengths // 10)
    if variant == "arjovsky":
        return rng.integers(0, length // 2, size=count), rng.integers(length // 2, length, size=count)
    among_first, among_second = (10, length // 2 - 1) if variant == "hochreiter" else (length, length - 1)
    first = rng.integers(among_first, size=count)
    second = rng.integers(among_second, size=count)
    return first, second + (second >= first)  # skip the step that is already marked


def draw_inputs(
    variant: str, length: int, lengths: Array, rng: Generator, *, lowest: float, neutral: float
) -> tuple[Array, Array, Array]:
    """Inputs (T, N, 2), padded with zeros to the longest sequence, and the two marked numbers (N,) of each.

    Parameters
    ----------
    variant, length
        Of the task.
    lengths : integer array (N,)
    rng : numpy Generator
    lowest : float
        Values are uniform on [lowest, 1).
    neutral : float
        Replaces a marked number at the first step, in the variant ``hochreiter``.
    """
    steps, count, each = int(lengths.max()), len(lengths), np.arange(len(lengths))
    values, markers = rng.random((steps, count)), np.zeros((steps, count))
    first, second = draw_places(variant, length, lengths, rng)
    if lowest:
        values = (1.0 - lowest) * values + lowest
    if variant == "hochreiter":
        values[0, (first == 0) | (second == 0)] = neutral
        markers[0] = -1.0
        markers[lengths - 1, each] = -1.0
    values[np.arange(steps)[:, np.newaxis] >= lengths] = 0.0
    markers[first, each] = markers[second, each] = 1.0
    channels = (markers, values) if variant == "pascanu" else (values, markers)
    return np.stack(channels, axis=-1), values[first, each], values[second, each]


def with_answers(inputs: Array, lengths: Array, answers: Array) -> Batch:
    """Sequences scored at their own last steps, against the answers (N,)."""
    steps, count, _ = inputs.shape
    targets = np.zeros((steps, count, 1))
    targets[lengths - 1, np.arange(count), 0] = answers
    return Batch(inputs, targets, one_step((steps, count), lengths - 1))
