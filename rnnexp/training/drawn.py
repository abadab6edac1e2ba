"""The steps that training reads next, and the window that they make with older ones."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnexp.algorithms import Segment
from rnnexp.layers import Network
from rnnexp.tasks import Batch

Array = NDArray[Any]


@dataclass(slots=True)
class Drawn:
    """Steps that come next.

    Attributes
    ----------
    chunk : Batch
    fresh : bool
        They begin a new sequence.
    segment : Segment
        How long they were meant to be, and how far back their losses go.
    """

    chunk: Batch
    fresh: bool
    segment: Segment


def extended(network: Network, inputs: Array, new: Array, drawn: Drawn) -> tuple[Array, int]:
    """A window with new steps added and the oldest dropped, and the number of old steps that stay."""
    keep = 0
    if drawn.fresh:
        network.reset_state()
    else:
        back = drawn.segment.back(len(new))
        keep = len(inputs) if back is None else min(len(inputs), back)
    if not keep:
        return new, 0
    drop = len(inputs) - keep
    network.drop(drop)
    return np.concatenate([inputs[drop:], new]), keep
