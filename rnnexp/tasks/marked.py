"""Long sequences of numbers of which two are marked: what the adding and multiplication problems share."""

from typing import ClassVar

import numpy as np
from numpy.random import Generator

from rnnexp.checks import integer, one_of
from rnnexp.tasks.base import Array, Batch, EpisodeTask, with_answers

#: The shortest T of each variant, and why it can't be shorter.
SHORTEST = {
    "arjovsky": (2, "each half of the sequence holds one marked number"),
    "hochreiter": (11, "one of the first ten steps is marked, and the last step never is"),
    "pascanu": (10, "a tenth of the sequence has to hold a marked number"),
    "uniform": (2, "two different steps are marked"),
}


class MarkedNumbers(EpisodeTask):
    """A number to be computed from the two marked ones of a sequence.

    Attributes
    ----------
    variants : dict of str to (str, str)
        Of each variant: its paper, and its rule for a solved task.
    lowest : float
        Values are uniform on [lowest, 1).
    neutral : float
        Replaces a marked number at the first step, in the variant ``hochreiter``.
    """

    input_kind = "values"
    input_size = 2
    target_kind = "values"
    output_size = 1
    scored = "the last step"
    floor = 0.0
    variants: ClassVar[dict[str, tuple[str, str]]]
    lowest: float = 0.0
    neutral: float = 0.0

    def __init__(self, variant: str, length: int, eval_sequences: int) -> None:
        super().__init__(eval_sequences=eval_sequences)
        self.variant = one_of("variant", variant, self.variants)
        self.paper, self.success = self.variants[self.variant]
        shortest, why = SHORTEST[self.variant]
        self.length = integer("length", length, at_least=shortest, hint=why)
        self.input_names = ("marker", "value") if self.variant == "pascanu" else ("value", "marker")
        self.error_per = "sequence" if self.variant in ("hochreiter", "pascanu") else None

    @property
    def asked(self) -> list[tuple[int, int]]:  # type: ignore[override]
        """Of the two marked numbers, over all lengths of a sequence."""
        shortest, longest = self.length, self._longest
        if self.variant == "arjovsky":
            return [(shortest - shortest // 2, shortest - 1), (0, shortest - shortest // 2 - 1)]
        if self.variant == "hochreiter":
            return [(shortest - 10, longest - 1), (shortest - shortest // 2, longest - 1)]
        if self.variant == "uniform":
            return [(0, shortest - 1)] * 2
        lengths = np.arange(shortest, longest + 1)
        tenth, last = lengths // 10, lengths // 10 + 4 * lengths // 10 - 1
        return [
            (int((lengths - tenth).min()), longest - 1),
            (int((lengths - 1 - last).min()), int((lengths - 1 - tenth).max())),
        ]

    def answers(self, x: Array, y: Array) -> Array:
        """The targets for the marked numbers x and y of each sequence (N,)."""
        raise NotImplementedError

    def sample(self, batch_size: int, *, rng: Generator) -> Batch:
        """Inputs (T, N, 2), targets (T, N, 1); a sequence shorter than the longest ends in zeros."""
        # In the variant pascanu the sequences of a training batch all have one length.
        count = 1 if self.variant == "pascanu" else batch_size
        return self._draw(np.broadcast_to(self._lengths(count, rng), batch_size), rng)

    def evaluation(self, *, rng: Generator) -> Batch:
        """`eval_sequences` fresh sequences, each with its own length where lengths vary."""
        return self._draw(self._lengths(self.eval_sequences, rng), rng)

    def wrong(self, outputs: Array, batch: Batch) -> Array:
        """Where |output - target| >= 0.04 (hochreiter), or its square > 0.04 (pascanu); the others have no rule."""
        if self.error_per is None:
            return super().wrong(outputs, batch)
        off = np.abs(outputs[..., 0] - batch.targets[..., 0])
        missed: Array = off >= 0.04 if self.variant == "hochreiter" else off**2 > 0.04
        return missed

    @property
    def _longest(self) -> int:
        """Steps of the longest sequence."""
        further = {"hochreiter": self.length // 10, "pascanu": self.length // 10 - 1}
        return self.length + further.get(self.variant, 0)

    def _lengths(self, count: int, rng: Generator) -> Array:
        """Steps of `count` sequences (N,)."""
        if self.error_per is None:
            return np.full(count, self.length)
        return rng.integers(self.length, self._longest + 1, size=count)

    def _places(self, lengths: Array, rng: Generator) -> tuple[Array, Array]:
        """The two marked steps of sequences of the given lengths (N,)."""
        length, count = self.length, len(lengths)
        if self.variant == "pascanu":
            tenth = lengths // 10
            return rng.integers(tenth), tenth + rng.integers(4 * lengths // 10)
        if self.variant == "arjovsky":
            return rng.integers(0, length // 2, size=count), rng.integers(length // 2, length, size=count)
        among_first, among_second = (10, length // 2 - 1) if self.variant == "hochreiter" else (length, length - 1)
        first = rng.integers(among_first, size=count)
        second = rng.integers(among_second, size=count)
        return first, second + (second >= first)  # skip the step that is already marked

    def _draw(self, lengths: Array, rng: Generator) -> Batch:
        """Sequences of the given lengths (N,), padded with zeros to the longest."""
        steps, count, each = int(lengths.max()), len(lengths), np.arange(len(lengths))
        values, markers = rng.random((steps, count)), np.zeros((steps, count))
        first, second = self._places(lengths, rng)
        if self.lowest:
            values = (1.0 - self.lowest) * values + self.lowest
        if self.variant == "hochreiter":
            values[0, (first == 0) | (second == 0)] = self.neutral
            markers[0] = markers[lengths - 1, each] = -1.0
        values[np.arange(steps)[:, np.newaxis] >= lengths] = 0.0
        markers[first, each] = markers[second, each] = 1.0
        channels = (markers, values) if self.variant == "pascanu" else (values, markers)
        answers = self.answers(values[first, each], values[second, each])
        return with_answers(np.stack(channels, axis=-1), lengths - 1, answers[:, np.newaxis])
