"""Lyapunov exponents of the network driven by a sequence."""

from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnexp.checks import InvalidValue, integer
from rnnexp.gradients.passes import QUIET, Passes
from rnnexp.gradients.spectra import jacobian_blocks
from rnnexp.layers import Network, Recurrent, Stack
from rnnexp.tasks import Batch


def transient(steps: int) -> int:
    """Steps to discard: 10 + T / 10 as in Engelken 2023's code, but at most half of the sequence."""
    return min(10 + steps // 10, steps // 2)


@np.errstate(**QUIET)
def lyapunov_exponents(
    jacobians: NDArray[Any], count: int | None = None, *, discard: int | None = None
) -> NDArray[np.float64]:
    """The leading exponents, in nats per step, largest first.

    lambda_i = mean_t ln |R_ii(t)|, where Q(t) R(t) = J_t Q(t - 1) and J_t = dh_t/dh_{t-1} (Benettin et al. 1980;
    Engelken, Wolf & Abbott 2023; Vogt et al. 2022 use log2).

    Parameters
    ----------
    jacobians : array (T, H, H)
        Rows index the earlier state's units, as in `TimeRNN.jacobians`.
    count : int, optional
        k <= H, how many; all of them when not given.
    discard : int, optional
        First steps left out of the mean, while Q turns into the leading directions; `transient` when not given.

    Returns
    -------
    array (k,)
        -inf for a direction that a singular Jacobian kills, NaN if a Jacobian is not finite.

    Raises
    ------
    InvalidValue
        If `count` is larger than the number of units.
    """
    steps, size = jacobians.shape[0], jacobians.shape[-1]
    return _mean_growth(jacobians, size, count, transient(steps) if discard is None else discard)


def _mean_growth(jacobians: Iterable[NDArray[Any]], size: int, count: int | None, discard: int) -> NDArray[np.float64]:
    """The leading exponents from Jacobians (H, H) one after the other."""
    count = size if count is None else integer("lyapunov_exponents", count, at_least=1)
    if count > size:
        raise InvalidValue("lyapunov_exponents", count, f"<= hidden_size, which is {size}")
    # Any start in general position will do; a fixed one makes the result reproducible.
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((size, count)))
    total, used = np.zeros(count), 0
    for step, jacobian in enumerate(jacobians):
        if not np.isfinite(jacobian).all():
            return np.full(count, np.nan)
        q, r = np.linalg.qr(np.asarray(jacobian, np.float64).T @ q)
        if step >= discard:
            growth = np.abs(np.diagonal(r))
            # After a singular Jacobian, what remains of a direction is rounding noise, not growth.
            noise = size * np.finfo(float).eps * np.abs(r).max()
            total += np.log(np.where(growth > noise, growth, 0.0))
            used += 1
    return np.sort(total / used)[::-1] if used else np.full(count, np.nan)


@np.errstate(**QUIET)
def lyapunov(network: Network, batch: Batch, count: int | None = 3, sequence: int = 0) -> NDArray[np.float64]:
    """The leading exponents on one sequence of a batch, from a zero state: array (k,), nats per step.

    Of more than 200 steps, on the last 200, of which the first 30 are left out of the mean (`transient`).
    """
    passes, found = Passes(network, batch), np.empty(0)
    for window in passes.forward():
        if window is passes.windows[-1]:
            found = lyapunov_in(network.recurrent, window, count, sequence)
    return found


def lyapunov_in(layer: Recurrent | Stack, window: slice, count: int | None, sequence: int = 0) -> NDArray[np.float64]:
    """Those on the window that the layer has just computed."""
    steps = window.stop - window.start
    blocks = jacobian_blocks(layer, np.arange(steps), sequence)
    return _mean_growth(chain.from_iterable(blocks), layer.state_size, count, transient(steps))
