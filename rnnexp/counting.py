"""How many parameters a network of some size has, and which size comes nearest to a number of them."""

import math
from collections.abc import Callable
from typing import Any

#: Hidden sizes are searched up to this one.
LARGEST = 2**40


def parameter_count(
    cell: Any,
    hidden: int,
    *,
    inputs: int,
    outputs: int,
    embedding: int | None = None,
    layers: int = 1,
    learn_initial_state: bool = False,
    tie: bool = False,
) -> int:
    """The parameters of the network that `rnnexp.layers.build_network` makes.

    Parameters
    ----------
    cell : class
        A `Recurrent`.
    hidden : int
        H.
    inputs, outputs : int
        V tokens or D_in values per step, and O.
    embedding : int, optional
        D; None without one.
    layers : int
    learn_initial_state, tie : bool
    """
    features = embedding or inputs
    first, above = (sum(map(math.prod, cell.parameter_shapes(size, hidden).values())) for size in (features, hidden))
    starts = layers * hidden * len(cell.state_names) if learn_initial_state else 0
    ends = inputs * (embedding or 0) + (0 if tie else hidden * outputs) + outputs
    return int(first + (layers - 1) * above + starts + ends)


def nearest_size(count: Callable[[int], int], wanted: int) -> int:
    """The hidden size >= 1 whose `count`, which grows with it, comes nearest to a number; of two the smaller."""
    low, high = 1, 2
    while count(high) < wanted and high < LARGEST:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < wanted else (low, middle)
    return min((low, high), key=lambda size: abs(count(size) - wanted))
