"""Spectra of the recurrent weights and of the Jacobians along a trajectory."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnnexp.components import Shown
from rnnexp.gradients.passes import QUIET, Passes
from rnnexp.layers import Network, Recurrent, Stack
from rnnexp.layers.base import Array
from rnnexp.layers.fit import check_batch
from rnnexp.tasks import Batch

#: Steps at most whose Jacobians are computed: their number is bounded, whatever the sequence's length.
SAMPLED = 200
#: Numbers of the Jacobians that are computed at once, unless one has more.
JACOBIAN_NUMBERS = 2**18


def eigenvalues(recurrent_weights: Array) -> Array:
    """Eigenvalues of Wh (H, H), largest modulus first: complex array (H,); NaN if Wh is not finite."""
    if not np.isfinite(recurrent_weights).all():
        return np.full(len(recurrent_weights), complex(np.nan, np.nan))
    values = np.linalg.eigvals(recurrent_weights)
    return values[np.argsort(-np.abs(values), kind="stable")].astype(complex)


def spectral_radius(recurrent_weights: Array) -> float:
    """Largest modulus of an eigenvalue of Wh (H, H); NaN if Wh is not finite.

    For a linear recurrence the gradient grows by this factor a step in the long run; rho > 1 is necessary for it
    to explode (Pascanu, Mikolov & Bengio 2013, section 2.1, for the linear case).
    """
    return float(np.abs(eigenvalues(recurrent_weights)[0]))


def singular_values(matrices: Array) -> Array:
    """Singular values (..., H) of matrices (..., H, H), largest first; NaN for a matrix that is not finite."""
    finite = np.isfinite(matrices).all(axis=(-2, -1))
    if finite.all():
        return np.linalg.svd(matrices, compute_uv=False)
    values = np.full(matrices.shape[:-1], np.nan)
    values[finite] = np.linalg.svd(matrices[finite], compute_uv=False)
    return values


def pascanu_bound(spectral_norm: float, max_slope: float) -> float:
    """ln(sigma_max(Wh) * gamma): an upper bound for the growth of the gradient's norm per step back in time.

    gamma is the largest slope of the activation. Below 0 the bound is sufficient for vanishing: ||dL_T/dh_t|| shrinks
    at least this fast. Above 0 it says nothing. Pascanu, Mikolov & Bengio 2013, section 2.1. NaN if sigma is 0.
    """
    factor = spectral_norm * max_slope
    return float(np.log(factor)) if factor > 0 else float("nan")


@dataclass(frozen=True, repr=False)
class StepJacobians(Shown):
    """Singular values of dh_t/dh_{t-1} along one trajectory.

    Attributes
    ----------
    values : array (K, H)
        Largest first at every step.
    steps : integer array (K,)
        The steps t they are of, 1 to T: of a long sequence 200 at equal distances, the first and the last among them;
        40,000 / S of a state of S > 200 units.
    """

    also = ("mean", "largest", "smallest")

    values: Array
    steps: NDArray[np.int64]

    @property
    def mean(self) -> float:
        """Mean over units and steps."""
        return float(self.values.mean())

    @property
    def largest(self) -> float:
        """The largest at any step: the largest factor by which one step can stretch a gradient."""
        return float(self.values.max())

    @property
    def smallest(self) -> float:
        """The smallest at any step."""
        return float(self.values.min())


@np.errstate(**QUIET)
def step_jacobians(network: Network, batch: Batch, sequence: int = 0) -> StepJacobians:
    """Singular values of a step's Jacobian on one sequence of a batch, from a zero state, at up to 200 steps.

    Dynamical isometry asks for all of them near 1 (Pennington, Schoenholz & Ganguli 2017).
    """
    passes = Passes(network, batch)
    return together([singular_values_in(passes, window, sequence) for window in passes.forward()])


def singular_values_in(passes: Passes, window: slice, sequence: int = 0) -> StepJacobians:
    """Those of the sampled steps in the window that the network has just computed."""
    total, size = len(passes.batch.inputs), passes.network.recurrent.state_size
    count = min(total, SAMPLED, max(1, SAMPLED**2 // size))
    sampled = np.unique(np.round(np.linspace(0, total - 1, count)).astype(np.int64))
    steps = sampled[(sampled >= window.start) & (sampled < window.stop)]
    blocks = jacobian_blocks(passes.network.recurrent, steps - window.start, sequence)
    values = [singular_values(block) for block in blocks]
    return StepJacobians(np.concatenate(values) if values else np.empty((0, 0)), steps + 1)


def together(parts: list[StepJacobians]) -> StepJacobians:
    """Those of all windows, the first one first."""
    parts = [part for part in parts if len(part.steps)]
    return StepJacobians(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("values", "steps")))


def jacobian_blocks(layer: Recurrent | Stack, steps: NDArray[np.int64], sequence: int = 0) -> Iterator[Array]:
    """Jacobians (B, S, S) at some steps of the last window, a few steps at a time: one would be large with many."""
    each = max(1, JACOBIAN_NUMBERS // layer.state_size**2)
    for start in range(0, len(steps), each):
        yield layer.jacobians(sequence, steps[start : start + each])


@np.errstate(**QUIET)
def run_forward(network: Network, batch: Batch) -> None:
    """Forward through whole sequences from a zero state, without outputs; the states stay in the layer."""
    check_batch(network, batch)
    network.reset_state()
    network.forward(batch.inputs, scored=slice(0, 0))
    network.reset_state()
