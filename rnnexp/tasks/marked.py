"""Long sequences of numbers of which two are marked: what the adding and multiplication problems share."""

import numpy as np
from numpy.random import Generator

from rnnexp.tasks.base import Array, Batch, one_step


def missed(variant: str, outputs: Array, batch: Batch) -> Array:
    """Where |output - target| >= 0.04 (hochreiter), or its square > 0.04 (pascanu): boolean (S, N)."""
    off = np.abs(outputs[..., 0] - batch.targets[..., 0])
    wrong: Array = off >= 0.04 if variant == "hochreiter" else off**2 > 0.04
    return wrong


def draw_lengths(variant: str, length: int, count: int, rng: Generator) -> Array:
    """Lengths of `count` sequences (N,), at least `length` each."""
    if variant not in ("hochreiter", "pascanu"):
        return np.full(count, length)
    return rng.integers(length, length + length // 10 + (variant == "hochreiter"), size=count)


def training_lengths(variant: str, length: int, count: int, rng: Generator) -> Array:
    """The same for a training batch, whose sequences all have one length in the variant ``pascanu``."""
    return np.broadcast_to(draw_lengths(variant, length, 1 if variant == "pascanu" else count, rng), count)


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
