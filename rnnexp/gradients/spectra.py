"""Spectra of the recurrent weights and of the Jacobians along a trajectory."""

from dataclasses import dataclass

import numpy as np

from rnnexp.components import Shown
from rnnexp.gradients.norms import QUIET
from rnnexp.layers import Network
from rnnexp.layers.base import Array
from rnnexp.layers.fit import check_batch
from rnnexp.tasks import Batch


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
    values : array (T, H)
        Largest first at every step.
    """

    also = ("mean", "largest", "smallest")

    values: Array

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
    """Singular values of every step's Jacobian on one sequence of a batch, from a zero state.

    Dynamical isometry asks for all of them near 1 (Pennington, Schoenholz & Ganguli 2017).
    """
    run_forward(network, batch)
    return StepJacobians(singular_values(network.recurrent.jacobians(sequence)))


@np.errstate(**QUIET)
def run_forward(network: Network, batch: Batch) -> None:
    """Forward through whole sequences from a zero state, without outputs; the states stay in the layer."""
    check_batch(network, batch)
    network.reset_state()
    network.forward(batch.inputs, scored=slice(0, 0))
    network.reset_state()
