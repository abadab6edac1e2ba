"""How far a small change of a state still matters later, whatever the loss."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnexp.analysis.state_space import in_float64
from rnnexp.gradients import NormsByLag
from rnnexp.gradients.norms import by_lag, last_scored
from rnnexp.gradients.passes import QUIET
from rnnexp.gradients.spectra import run_forward, singular_values
from rnnexp.layers import Network
from rnnexp.tasks import Batch

Array = NDArray[np.float64]


@np.errstate(**QUIET)
def sensitivity(network: Network, batch: Batch) -> NormsByLag:
    """||dh_T/dh_t|| for each lag T - t: the most by which a small change of h_t can have grown at step T.

    The spectral norm of J_T ... J_{t+1}, the product of the steps' Jacobians, with h the whole state (of an LSTM h and
    c, of a stack all layers). It needs no loss. `norms_by_lag` asks how the gradient of one loss shrinks on this way:
    ||dL_T/dh_t|| <= ||dh_T/dh_t|| ||dL_T/dh_T|| (in one layer): where this norm vanishes, every gradient does;
    where only the other one does, it is the loss that has no use for what the state still holds (Pascanu, Mikolov &
    Bengio 2013, section 2.1, have the product and its bound).

    Parameters
    ----------
    network : Network
        Its own state stays as it is.
    batch : Batch
        Sequences (T, N, ...); T is the last scored step of each. A sequence costs T singular value decompositions:
        `Batch.sequences` takes the first few.

    Returns
    -------
    NormsByLag
        1 at lag 0; `decay_rate` and the other numbers as for a gradient.
    """
    network = in_float64(network)
    run_forward(network, batch.cast(np.float64))
    by_step = np.full((len(batch.inputs) + 1, batch.mask.shape[1]), np.nan)
    for sequence, last in zip(*last_scored(batch), strict=True):
        by_step[: last + 2, sequence] = norms_to_the_end(network.recurrent.jacobians(sequence)[: last + 1])
    return by_lag(by_step, batch)


def norms_to_the_end(jacobians: NDArray[Any]) -> Array:
    """Spectral norms of J_t ... J_T for every t, and 1 for none: (T, S, S), rows the earlier units -> (T + 1,)."""
    products = np.empty((len(jacobians) + 1, *jacobians.shape[1:]))
    products[-1] = np.eye(jacobians.shape[-1])
    for step in range(len(jacobians) - 1, -1, -1):
        np.matmul(jacobians[step], products[step + 1], out=products[step])
    return singular_values(products)[:, 0]
