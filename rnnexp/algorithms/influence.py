"""The influence of the parameters on the state as a matrix, of which a pattern says what is kept."""

import copy
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from rnnexp.algorithms.carried import CarriedForward
from rnnexp.algorithms.influencing import Pattern, colours, patterns
from rnnexp.algorithms.step_derivatives import step_jacobians, step_vjp
from rnnexp.gradients.passes import QUIET, WINDOW
from rnnexp.layers import Network
from rnnexp.layers.base import Array, row_norms
from rnnexp.layers.recurrent import State
from rnnexp.state import Maybe, Shaped, copied, matching
from rnnexp.tasks import Task


@dataclass
class Blocks:
    """B parts of the influence matrix, each r units by p parameters, that no other part shares a parameter with.

    Attributes
    ----------
    rows, columns : integer arrays (B, r), (B, p)
    into, source : integer arrays
        Where in the flat (B, r, p) a step adds its direct derivatives, and where these are in a flat array of them.
    starts : integer array
        Where the influence of learned initial states is 1 at the beginning.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    into: NDArray[np.int64]
    source: NDArray[np.int64]
    starts: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, int, int]:
        """B, r, p."""
        return (*self.rows.shape, self.columns.shape[1])

    def carried(self, onward: Array, before: Array) -> Array:
        """D_t J_{t-1}, within the blocks: (N, S, S), (N, B, r, p) -> (N, B, r, p)."""
        if self.rows.shape == (1, onward.shape[-1]):
            return onward[:, np.newaxis] @ before
        return onward[:, self.rows[:, :, np.newaxis], self.rows[:, np.newaxis, :]] @ before


class InfluenceMatrix(CarriedForward):
    """A rule that keeps the entries of J that a pattern marks, and masks all others: J_t = mask(D_t J_{t-1} + M_t).

    Parameters with the same marked units make a block, and blocks of one shape are computed together.
    """

    @abstractmethod
    def pattern(self, direct: Pattern, onward: Pattern) -> Pattern:
        """The entries (S, P) that are kept, from where M and D are not zero."""

    def begin(self, network: Network, task: Task | None, *, rng: Generator) -> None:
        """Lay out the matrix."""
        super().begin(network, task, rng=rng)
        own = self.layout
        direct, onward = patterns(network, own)
        if self.exact and not network.design.cell.__module__.startswith("rnnexp."):
            direct[:] = True  # two random points may not show all of a cell that is not known
        self.colours = np.eye(len(direct), dtype=network.dtype)[colours(direct[:, own.embedding :])].T
        self.colours = self.colours[self.colours.any(axis=1)]
        starts = np.zeros_like(direct)
        starts[own.starts] = True
        kept = self.pattern(direct | starts, onward) & own.trained
        alike, which = np.unique(kept.T, axis=0, return_inverse=True)
        groups = defaultdict(list)
        for number, marked in enumerate(alike):
            columns = np.flatnonzero(which.ravel() == number)
            if marked.any():
                groups[int(marked.sum()), len(columns)].append((np.flatnonzero(marked), columns))
        self.blocks = []
        for group in groups.values():
            rows, columns = (np.array(part) for part in zip(*group, strict=True))
            place = (rows[:, :, np.newaxis], columns[:, np.newaxis, :])
            acts = direct[place]
            block, unit, parameter = np.nonzero(acts)
            source = self._source(rows[block, unit], columns[block, parameter])
            self.blocks.append(Blocks(rows, columns, np.flatnonzero(acts), source, np.flatnonzero(starts[place])))

    def _source(self, units: NDArray[np.int64], parameters: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the direct derivatives of units by parameters are in the flat array that `step` makes of them."""
        embedding, (number, _) = self.layout.embedding, self.colours.shape
        width = self.layout.count - embedding
        found: NDArray[np.int64] = np.where(
            parameters < embedding,
            number * width + units * embedding + parameters,
            self.colours.argmax(axis=0)[units] * width + parameters - embedding,
        )
        return found

    def start(self, count: int, dtype: Any, *, rng: Generator) -> None:
        """Zero, but for learned initial states."""
        self.influence = {}
        for number, blocks in enumerate(self.blocks):
            matrix = np.zeros((count, *blocks.shape), dtype)
            matrix.reshape(count, -1)[:, blocks.starts] = 1.0
            self.influence[str(number)] = matrix

    def step(self, network: Network, inputs: Array, x: Array, state: State, *, rng: Generator) -> None:
        """J_t = mask(D_t J_{t-1} + M_t)."""
        assert self.influence is not None
        count, layer = len(x), network.recurrent
        onward, dx = self.jacobians(network, x, state)
        vectors = np.broadcast_to(self.colours, (count, *self.colours.shape))
        direct = [step_vjp(layer, x, state, vectors)[0], self.layout.of_embedding(network, inputs, dx)]
        flat = np.concatenate([part.reshape(count, -1) for part in direct], axis=1)
        for (name, before), blocks in zip(self.influence.items(), self.blocks, strict=True):
            after = self.carried(network, blocks, onward, before)
            after.reshape(count, -1)[:, blocks.into] += flat[:, blocks.source]
            self.influence[name] = after

    def jacobians(self, network: Network, x: Array, state: State) -> tuple[Array, Array]:
        """D_t (N, S, S), and ds_t/dx_t (N, S, D), through which the embedding acts."""
        return step_jacobians(network.recurrent, x, state)

    def carried(self, network: Network, blocks: Blocks, onward: Array, before: Array) -> Array:
        """D_t J_{t-1}, or what a rule has in its place."""
        return blocks.carried(onward, before)

    def read(self, dstate: Array) -> Array:
        """dL/ds_t J_t, from the entries that are kept."""
        assert self.influence is not None
        total = np.zeros(self.layout.count, dstate.dtype)
        for matrix, blocks in zip(self.influence.values(), self.blocks, strict=True):
            total[blocks.columns] = (dstate[:, blocks.rows][:, :, np.newaxis] @ matrix).sum(axis=0)[:, 0]
        return total

    @np.errstate(**QUIET)
    def staleness(self, network: Network, inputs: Array, start: Sequence[Array] | None) -> float | None:
        """||J - J'|| / ||J'||, with J' from the present weights and zero before these steps; mean over sequences."""
        if self.influence is None or not len(inputs):
            return None
        apart, rng = copy.copy(self), np.random.default_rng(0)
        apart.influence = None
        network.reset_state()
        if start is not None:
            network.recurrent.set_state(*start)
        for first in range(0, len(inputs), WINDOW):
            network.forward(inputs[first : first + WINDOW], scored=slice(0, 0))
            apart.advance(network, rng=rng)
        network.reset_state()
        own, other = (_rows(one.influence) for one in (self, apart))
        return float(np.mean(row_norms(own - other) / row_norms(other)))

    def restore(self, state: dict[str, Any]) -> None:
        """Continue with that influence."""
        dtype = self.colours.dtype
        template = {str(number): Shaped((None, *blocks.shape), dtype) for number, blocks in enumerate(self.blocks)}
        self.influence = copied(matching({"influence": Maybe(template)}, state, "algorithm")["influence"])


def _rows(influence: dict[str, Array] | None) -> Array:
    """Every entry that is kept, (N, ...)."""
    return np.concatenate([array.reshape(len(array), -1) for array in (influence or {}).values()], axis=1)
