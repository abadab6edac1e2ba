"""How far the state that a window takes over is from the one that the present weights would have made."""

from collections.abc import Sequence

import numpy as np

from rnnexp.gradients.passes import QUIET
from rnnexp.layers import Network
from rnnexp.layers.base import Array, row_norms


@np.errstate(**QUIET)
def state_staleness(
    network: Network,
    inputs: Array,
    state: Sequence[Array],
    start: Sequence[Array] | None = None,
    *,
    window: int | None = None,
) -> Array:
    """||h_carried - h|| / ||h||, with h recomputed from earlier inputs by the network's present weights.

    Truncated BPTT updates the weights between two windows of a sequence, and the later window takes over a state that
    older weights have computed. The norms are of each sequence's whole state (h of all layers, and c of an LSTM); the
    mean is over the sequences. 0 where nothing differs, infinite where only h is zero.

    Parameters
    ----------
    network : Network
        Its state is overwritten.
    inputs : array (T, ..., N, D_in), or integer array (T, ..., N) for tokens
        The steps up to the state that is taken over.
    state : sequence of arrays (..., N, H)
        The state taken over, as ``network.recurrent.state`` has it.
    start : sequence of arrays (..., N, H), optional
        The state before the first of these steps; the initial state when not given.
    window : int, optional
        Steps computed at a time, all when not given: less memory, same result.

    Returns
    -------
    array (...)
        One number for each copy of the network.
    """
    network.reset_state()
    if start is not None:
        network.recurrent.set_state(*start)
    window = window or max(1, len(inputs))
    for first in range(0, len(inputs), window):
        network.forward(inputs[first : first + window], scored=slice(0, 0))
    recomputed, carried = (np.concatenate(each, axis=-1) for each in (network.recurrent.state or (), state))
    network.reset_state()
    distance = row_norms(carried - recomputed)
    relative = distance / row_norms(recomputed)
    return np.asarray(np.mean(np.where(distance == 0, 0.0, relative), axis=-1))
