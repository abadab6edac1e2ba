"""Streams of fair bits, of which several tasks ask something."""

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from rnnexp.tasks.base import Baseline, Batch, Place, StreamTask

Array = NDArray[Any]


class BitStream(StreamTask):
    """Streams of fair bits; a target depends on bits of up to `reach` steps ago."""

    input_kind = "tokens"
    input_size = 2
    target_kind = "classes"
    output_size = 2

    def __init__(self, reach: int, eval_streams: int, eval_steps: int, *, hint: str) -> None:
        self.reach = reach
        self.check_evaluation(eval_streams, eval_steps, at_least=reach + 1, hint=hint)

    @property
    def baseline(self) -> Baseline:
        """A coin flip: ln 2 nats, half of the answers correct."""
        return Baseline(float(np.log(2.0)), 0.5, "a coin flip", error=0.5)

    def begin(self, batch_size: int, *, rng: Generator) -> Place:
        """No bit seen yet."""
        return Place({"bits": np.zeros((self.reach, batch_size), np.int64), "seen": np.zeros(1, np.int64)})

    def read(self, place: Place, steps: int, *, rng: Generator) -> Batch:
        """Tokens (T, N) and the targets that follow from them; scored once `reach` steps have been read."""
        past = place.arrays["bits"]
        bits = np.concatenate([past, rng.integers(2, size=(steps, past.shape[1]))])
        return self.batch(place, bits, self.targets(bits, steps))

    def batch(self, place: Place, bits: Array, targets: Array) -> Batch:
        """The batch of new bits, which follow those of the `reach` steps before (reach + T, N); `place` moves on."""
        steps, seen = len(targets), place.arrays["seen"]
        mask = np.broadcast_to((seen[0] + np.arange(steps) >= self.reach)[:, np.newaxis], targets.shape)
        place.arrays["bits"][...] = bits[steps:]
        seen += steps
        return Batch(bits[self.reach :], targets, mask)

    def targets(self, bits: Array, steps: int) -> Array:
        """The targets of the last `steps` of some bits (reach + steps, N)."""
        raise NotImplementedError
