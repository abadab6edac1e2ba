"""Unbiased online recurrent optimization: a random product of two vectors whose mean is the influence."""

from typing import Any, ClassVar

import numpy as np
from numpy.random import Generator

from rnnexp.algorithms.carried import CarriedForward
from rnnexp.algorithms.step_derivatives import derivatives_at
from rnnexp.layers import Network
from rnnexp.layers.base import Array, row_norms
from rnnexp.state import Maybe, Shaped, copied, matching
from rnnexp.tasks import Task

#: Keeps the factors finite where there is no influence yet.
TINY = 1e-7


class UORO(CarriedForward):
    """Tallec & Ollivier 2017, "Unbiased online recurrent optimization", arXiv 1702.05043, algorithm 1.

    ::

        s_t = rho0 D_t s_{t-1} + rho1 nu,   theta_t = theta_{t-1} / rho0 + nu^T M_t / rho1,   E s_t theta_t^T = J_t

    s_t (N, S) and theta_t (N, P) are one pair of vectors for each of N sequences, nu (N, S) random signs, new ones
    at each step. rho0 = sqrt(|theta_{t-1}| / |D_t s_{t-1}|) and rho1 = sqrt(|nu^T M_t| / |nu|) make both terms of equal
    size, for the least variance. With unchanged weights the gradient has no bias; its variance grows with S.

    A step costs N (S^2 + P) multiplications (S^3 in a stack, or for a cell without formulas) and N (S + P) numbers of
    memory.

    Parameters
    ----------
    stride : int or None
        Steps between updates, >= 1; None is 1.
    """

    random: ClassVar[bool] = True

    def begin(self, network: Network, task: Task | None, *, rng: Generator) -> None:
        """Look at the network's sizes."""
        super().begin(network, task, rng=rng)
        self.size, self.dtype = network.recurrent.state_size, network.dtype

    def start(self, count: int, dtype: Any, *, rng: Generator) -> None:
        """Zero; of learned initial states nu nu^T, whose mean is the identity."""
        units, learned = self.layout.starts
        signs = self._signs((count, self.size), dtype, rng)
        state, theta = np.zeros_like(signs), np.zeros((count, self.layout.count), dtype)
        state[:, units] = theta[:, learned] = signs[:, units]
        self.influence = {"state": state, "theta": theta * self.layout.trained}

    def step(self, network: Network, t: int, *, rng: Generator) -> None:
        """s_t and theta_t."""
        assert self.influence is not None
        step = derivatives_at(network.recurrent, t)
        signs = self._signs(self.influence["state"].shape, self.dtype, rng)
        each, embedding = signs[:, np.newaxis], self.layout.embedding
        direct = np.zeros((len(signs), 1, self.layout.count), self.dtype)
        direct[:, :, embedding:] = step.vjp(each)
        if embedding:
            self.layout.add_embedding(network.inputs[t], each @ step.from_input, direct)
        direct = direct[:, 0] * self.layout.trained
        passed, theta = (step.onward @ self.influence["state"][..., np.newaxis])[..., 0], self.influence["theta"]
        rho0, rho1 = _balance(theta, passed), _balance(direct, signs)
        self.influence = {"state": rho0 * passed + rho1 * signs, "theta": theta / rho0 + direct / rho1}

    def read(self, dstate: Array) -> Array:
        """(dL/ds_t s_t) theta_t."""
        assert self.influence is not None
        found: Array = (dstate * self.influence["state"]).sum(axis=-1) @ self.influence["theta"]
        return found

    def restore(self, state: dict[str, Any]) -> None:
        """Continue with these vectors."""
        template = {
            "state": Shaped((None, self.size), self.dtype),
            "theta": Shaped((None, self.layout.count), self.dtype),
        }
        self.influence = copied(matching({"influence": Maybe(template)}, state, "algorithm")["influence"])

    def _signs(self, shape: tuple[int, int], dtype: Any, rng: Generator) -> Array:
        """nu: +1 or -1, with equal probability."""
        return (2 * rng.integers(0, 2, shape) - 1).astype(dtype)


def _balance(one: Array, other: Array) -> Array:
    """sqrt(|one| / |other|) (N, 1)."""
    found: Array = np.sqrt((row_norms(one) + TINY) / (row_norms(other) + TINY)).astype(one.dtype)
    return found[:, np.newaxis]
