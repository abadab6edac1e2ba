"""The effect of truncation on the gradient: its bias, and the sufficient window."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnexp.components import Shown
from rnnexp.gradients.norms import from_all_losses
from rnnexp.gradients.passes import QUIET, WINDOW, Passes, enter
from rnnexp.gradients.shape import fitted_line
from rnnexp.layers import CRITERIA, Network, Parameters
from rnnexp.layers.base import Array, row_norms
from rnnexp.layers.fit import check_batch
from rnnexp.tasks import Batch


@dataclass(frozen=True, repr=False)
class TruncationBias(Shown):
    """The truncated gradient compared with the full one, for the same losses and weights.

    Attributes
    ----------
    cosine : float
        Of the angle between them; NaN if one of them is zero or not finite.
    relative_error : float
        ||g_truncated - g_full|| / ||g_full||; NaN likewise.
    """

    cosine: float
    relative_error: float


@dataclass(frozen=True)
class Window:
    """A segment of a sequence whose newest losses are backpropagated together.

    Attributes
    ----------
    start, newest, end : int
        The losses of the steps from `newest` up to `end` are backpropagated to step `start`.
    step_weights : sequence of floats, or None
        A factor for the gradient that each step of the window passes to the previous one; 1 when None.
    """

    start: int
    newest: int
    end: int
    step_weights: Sequence[float] | None = None


def fixed_windows(steps: int, length: int | None, stride: int | None = None) -> list[Window]:
    """The windows of BPTT(length; stride) on `steps` steps; None is the whole sequence, and `length`, respectively."""
    length = steps if length is None else length
    stride = length if stride is None else stride
    ends = [min(newest + stride, steps) for newest in range(0, steps, stride)]
    return [Window(max(0, end - length), at * stride, end) for at, end in enumerate(ends)]


def truncation_bias(
    network: Network, batch: Batch, target_kind: str, length: int | None, stride: int | None = None
) -> TruncationBias:
    """Compare the gradient that training would use on whole sequences with the full gradient.

    Parameters
    ----------
    network, batch, target_kind
        As for `norms_by_lag`.
    length, stride : int or None
        k2 and k1 of BPTT(k2; k1) (Williams & Peng 1990): every k1 steps the newest k1 losses go back through the last
        k2 steps. None is the whole sequence, and k2, respectively.
    """
    windows = fixed_windows(len(batch.inputs), length, stride)
    return compare(*both_gradients(network, batch, target_kind, windows))


def parameter_bias(
    network: Network, batch: Batch, target_kind: str, length: int | None, stride: int | None = None
) -> dict[str, TruncationBias]:
    """The truncation's bias for each parameter, by name: the same comparison of its part of the gradient.

    The output layer's has none but rounding: its gradient does not go through time. Frozen parameters are left out.
    """
    windows = fixed_windows(len(batch.inputs), length, stride)
    return compare_each(network, *both_gradients(network, batch, target_kind, windows))


def both_gradients(
    network: Network, batch: Batch, target_kind: str, windows: Sequence[Window], full: Array | None = None
) -> tuple[Array, Array]:
    """The gradient (P,) of the losses of these windows, and the full one; the same array where nothing is cut."""
    full = full_gradient(network, batch, target_kind) if full is None else full
    return full if _whole(windows) else windowed_gradient(network, batch, target_kind, windows), full


def truncated_gradient(network: Network, batch: Batch, target_kind: str, windows: Sequence[Window]) -> Array:
    """Gradient (P,) as `windowed_gradient`, in one pass where nothing is cut."""
    if _whole(windows):
        return full_gradient(network, batch, target_kind)
    return windowed_gradient(network, batch, target_kind, windows)


def _whole(windows: Sequence[Window]) -> bool:
    """Whether there is one window, with all losses."""
    return len(windows) == 1 and windows[0].newest == 0 and windows[0].step_weights is None


def compare_each(network: Network, truncated: Array, full: Array) -> dict[str, TruncationBias]:
    """`compare` the parts (p,) of two gradients that belong to each trained parameter."""
    shapes = network.parameters.shapes
    ours, theirs = (Parameters(shapes, dtype=g.dtype, vector=g).values for g in (truncated, full))
    trained = [name for name in shapes if name not in network.design.frozen]
    return {name: compare(ours[name].ravel(), theirs[name].ravel()) for name in trained}


@np.errstate(**QUIET)
def compare(truncated: Array, full: Array) -> TruncationBias:
    """Cosine and relative error of a gradient (P,) against the full one."""
    norm, full_norm = float(row_norms(truncated)), float(row_norms(full))
    if not (np.isfinite(norm) and np.isfinite(full_norm) and full_norm > 0):
        return TruncationBias(float("nan"), float("nan"))
    error = float(row_norms(truncated - full)) / full_norm
    if norm == 0:
        return TruncationBias(float("nan"), error)
    # Divide by the norms first, in float64: a product of small numbers may underflow, a norm overflow float32.
    truncated, full = truncated.astype(np.float64), full.astype(np.float64)
    cosine = 1.0 if error == 0 else float((truncated / norm) @ (full / full_norm))
    return TruncationBias(min(1.0, max(-1.0, cosine)), error)


def full_gradient(network: Network, batch: Batch, target_kind: str) -> Array:
    """Gradient (P,) of the mean loss over all scored steps, through the whole sequences; a copy."""
    return from_all_losses(Passes(network, batch, target_kind))[0]


@np.errstate(**QUIET)
def windowed_gradient(network: Network, batch: Batch, target_kind: str, windows: Sequence[Window]) -> Array:
    """Gradient (P,) of the mean loss over all scored steps, each window's newest losses sent back through it only."""
    check_batch(network, batch, target_kind)
    total = batch.mask.sum()
    criterion: Any = CRITERIA[target_kind]()
    gradient = np.zeros_like(network.parameters.gradient)
    at, state = 0, None  # the state before step `at`; None is the initial one, which may be learned
    for window in windows:
        new = batch.steps(window.newest, window.end)
        share = new.mask.sum() / total
        if not share:
            continue
        if window.start < at:
            at, state = 0, None
        while at < window.start:
            stop = min(at + WINDOW, window.start)
            enter(network, state)
            network.forward(batch.inputs[at:stop], scored=slice(0, 0))
            at, state = stop, network.recurrent.state
        enter(network, state)
        scored = slice(window.newest - window.start, None)
        outputs = network.forward(batch.inputs[window.start : window.end], scored=scored)
        criterion.forward(outputs, new.targets, new.mask)
        gradient += share * network.backward(criterion.backward(), step_weights=window.step_weights)
        if window.newest == window.start:  # the next one begins behind it
            at, state = window.end, network.recurrent.state
    network.reset_state()
    return gradient


@dataclass(frozen=True, repr=False)
class AdaptiveWindow(Shown):
    """Aicher, Foti & Fox 2019: how far back the gradient has to go.

    Attributes
    ----------
    beta : float
        Estimated factor by which the norm of the gradient shrinks per step back, beyond lag `start`.
    relative_bias : array (K,)
        Estimated bound of the relative bias of a window of 1, 2, ..., K steps; NaN where there is no bound.
    window : int or None
        The smallest window whose estimated relative bias stays below the tolerance; None if there is none.
    """

    beta: float
    relative_bias: NDArray[np.float64]
    window: int | None


@np.errstate(**QUIET)
def adaptive_window(norms: NDArray[np.float64], tolerance: float = 0.1, start: int | None = None) -> AdaptiveWindow:
    """Estimate the bias of every window length from the norms by lag.

    phi_k is the mean norm at lag k. Beyond lag tau it is assumed to shrink by beta < 1 a step; beta is the
    exponential of the least-squares slope of ln phi there (values below exp(-50) left out). A window of K steps leaves
    out the lags from K on: err(K) = sum of phi_k for K <= k < tau, plus phi_max(K,tau) / (1 - beta), with
    phi_{tau+j} = phi_tau beta^j. Relative to the gradient: err(K) / max over j <= K of (g_j - err(j)), with g_j the sum
    of phi up to lag j - 1, the paper's approximation of the norm of the windowed gradient.

    It is a variant of the authors' estimator: their code (``adaptive_truncation.py``) has the maximum over all j in the
    denominator, also those beyond K, and its least squares are over all lags, also those below tau. Its lags count from
    the state before the last step, here, as in the paper, from the one after it. Without a decay it takes the longest
    window, which here is left to the caller.

    Parameters
    ----------
    norms : array (L,)
        phi of the whole recurrent state, as ``norms_by_lag(..., whole_state=True).common``: the bound needs all ways
        into the past. Their code, too, takes h and c of all layers of an LSTM together.
    tolerance : float
        Relative bias that is still accepted (delta in the paper), > 0.
    start : int, optional
        tau, the lag from which on the decay is geometric; a tenth of the lags when not given.
    """
    usable = np.isfinite(norms) & (norms > np.exp(-50.0))
    reach = int(np.argmin(usable)) if not usable.all() else len(norms)
    phi = norms[:reach]
    tau = len(phi) // 10 if start is None else min(start, max(len(phi) - 1, 0))
    slope, _ = fitted_line(phi[tau:])
    beta = float(np.exp(slope)) if np.isfinite(slope) else float("nan")
    windows = np.arange(1, len(norms) + 1)
    if not beta < 1.0:
        return AdaptiveWindow(beta, np.full(len(windows), np.nan), None)
    beyond = phi[tau] * beta ** np.maximum(windows - tau, 0) / (1.0 - beta)
    cumulated = np.concatenate(([0.0], np.cumsum(phi)))
    before = cumulated[tau] - cumulated[np.minimum(windows, tau)]
    error = before + beyond
    gradient = cumulated[np.minimum(windows, len(phi))]
    sure = np.maximum.accumulate(gradient - error)
    bias = np.divide(error, sure, out=np.full(len(windows), np.nan), where=sure > 0)
    enough = np.flatnonzero(bias < tolerance)
    return AdaptiveWindow(beta, bias, int(windows[enough[0]]) if len(enough) else None)
