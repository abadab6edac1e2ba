"""How many parameters a network of some size has, and which size comes nearest to a number of them."""

import math
from collections.abc import Callable, Mapping
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
    shortcut: bool = False,
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
    learn_initial_state, tie, shortcut : bool
    """
    features = embedding or inputs
    first, above = (sum(map(math.prod, cell.parameter_shapes(size, hidden).values())) for size in (features, hidden))
    starts = layers * hidden * len(cell.state_names) if learn_initial_state else 0
    ends = inputs * (embedding or 0) + (0 if tie else hidden * outputs) + outputs + inputs * outputs * shortcut
    return int(first + (layers - 1) * above + starts + ends)


#: Bytes of an entry of the influence matrix that it takes to lay it out.
LAID_OUT = 6


def influence_bytes(
    root: Mapping[str, Any], *, batch: int, units: int, parameters: int, embedding: int, layers: int, itemsize: int
) -> int:
    """Bytes of an influence that is carried forward, and of what a step makes of it; 0 for an algorithm with a window.

    Parameters
    ----------
    root : mapping
        The settings.
    batch, units, parameters, embedding : int
        N, S, P and how many of them are the embedding's.
    layers, itemsize : int
    """
    algorithm, order = str(root["algorithm"].get("_target_")).rpartition(".")[2], root["algorithm"].get("order")
    if algorithm not in ("RTRL", "SnAp", "RFLO", "UORO"):
        return 0
    jacobians, laid_out = 4 * batch * units * units, LAID_OUT * units * parameters
    if algorithm == "UORO":
        return itemsize * (jacobians + 4 * batch * parameters)
    kept = units * parameters
    if algorithm == "RFLO" or (algorithm == "SnAp" and (order == 1 or root.get("keep_zeros"))):
        own, above = units // layers, (layers - 1) / 2  # a lower layer acts on all units above within the step
        kept = int(units * embedding + (parameters - embedding) * (1 + above * own))
    return int(itemsize * (jacobians + 3 * batch * min(kept, units * parameters))) + laid_out


def nearest_size(count: Callable[[int], int], wanted: int) -> int:
    """The hidden size >= 1 whose `count`, which grows with it, comes nearest to a number; of two the smaller."""
    low, high = 1, 2
    while count(high) < wanted and high < LARGEST:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < wanted else (low, middle)
    return min((low, high), key=lambda size: abs(count(size) - wanted))
