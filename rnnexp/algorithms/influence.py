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
from rnnexp.algorithms.step_derivatives import StepDerivatives, derivatives_at, has_formula
from rnnexp.checks import UserError
from rnnexp.gradients.passes import QUIET, WINDOW
from rnnexp.layers import Network
from rnnexp.layers.base import Array, row_norms
from rnnexp.state import Maybe, Shaped, copied, matching
from rnnexp.tasks import Task


@dataclass
class Blocks:
    """B parts of the influence matrix, each r units by p parameters, that no other part shares a parameter with.

    Attributes
    ----------
    rows, columns : integer arrays (B, r), (B, p)
    into, source : integer arrays
        Where in the flat (B, r, p) a step adds its direct derivatives, and where these are in a flat (C, P).
    embedded : list of (int, tuple)
        Blocks with columns of the embedding, always their first, and their units and features in ds_t/dx_t.
    starts : integer array
        Where the influence of learned initial states is 1 at the beginning.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    into: NDArray[np.int64]
    source: NDArray[np.int64]
    embedded: list[tuple[int, Any]]
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
        if self.exact and not has_formula(network.recurrent.layers[0]):
            direct[:] = True  # two random points may not show all of a cell that is not known
        self.colours = np.eye(len(direct), dtype=network.dtype)[colours(direct[:, own.embedding :])].T
        self.colours = self.colours[self.colours.any(axis=1)]
        starts = np.zeros_like(direct)
        starts[own.starts] = True
        kept = self.pattern(direct | starts, onward) & own.trained
        _, first, which = np.unique(np.packbits(kept, axis=0).T, axis=0, return_index=True, return_inverse=True)
        groups = defaultdict(list)
        for number, marked in enumerate(kept.T[first]):
            columns = np.flatnonzero(which.ravel() == number)
            if marked.any():
                groups[int(marked.sum()), len(columns)].append((np.flatnonzero(marked), columns))
        self.blocks = [self._blocks(group, direct, starts) for group in groups.values()]

    def _blocks(self, group: Any, direct: Pattern, starts: Pattern) -> Blocks:
        """Blocks of one shape from their rows and columns."""
        rows, columns = (np.array(part) for part in zip(*group, strict=True))
        place, embedding = (rows[:, :, np.newaxis], columns[:, np.newaxis, :]), self.layout.embedding
        acts = direct[place] & (columns >= embedding)[:, np.newaxis]
        block, unit, parameter = np.nonzero(acts)
        colour, number = self.colours.argmax(axis=0)[rows[block, unit]], columns[block, parameter] - embedding
        embedded: list[tuple[int, Any]] = []
        for one, (units, own) in enumerate(zip(rows, columns, strict=True)):
            # Of all columns of a feature, whatever the token.
            features = np.unique(own[own < embedding] % max(1, self.layout.features))
            if len(features):
                whole = (len(units), len(features)) == (len(direct), self.layout.features)
                embedded.append((one, (slice(None), *(() if whole else np.ix_(units, features)))))
        source = colour * (self.layout.count - embedding) + number
        return Blocks(rows, columns, np.flatnonzero(acts), source, embedded, np.flatnonzero(starts[place]))

    def start(self, count: int, dtype: Any, *, rng: Generator) -> None:
        """Zero, but for learned initial states."""
        self.influence = {}
        for number, blocks in enumerate(self.blocks):
            matrix = np.zeros((count, *blocks.shape), dtype)
            matrix.reshape(count, -1)[:, blocks.starts] = 1.0
            self.influence[str(number)] = matrix

    def step(self, network: Network, t: int, *, rng: Generator) -> None:
        """J_t = mask(D_t J_{t-1} + M_t)."""
        assert self.influence is not None
        step = derivatives_at(network.recurrent, t)
        onward, direct = self.onward(step), step.vjp(self.colours[np.newaxis])
        direct = direct.reshape(len(direct), -1)
        for (name, before), blocks in zip(self.influence.items(), self.blocks, strict=True):
            after = self.influence[name] = self.carried(network, blocks, onward, before)
            if after.shape != before.shape:
                raise UserError(
                    f"{type(self).__name__}.carried returned {after.shape}, and what it was given is {before.shape}",
                    "N sequences, B blocks of r units by p parameters; blocks.carried(D, J) is the product within them",
                )
            for own, added in zip(after.reshape(len(after), -1), direct, strict=True):
                own[blocks.into] += added[blocks.source]
            for block, place in blocks.embedded:
                self.layout.add_embedding(network.inputs[t], step.from_input[place], after[:, block])

    def onward(self, step: StepDerivatives) -> Array | None:
        """D_t (N, S, S), as `carried` takes it."""
        return step.onward

    def carried(self, network: Network, blocks: Blocks, onward: Any, before: Array) -> Array:
        """D_t J_{t-1}, or what a rule has in its place.

        Called at every step for each group of blocks. `onward` is what the method of that name returned, (N, S, S) by
        default, and `before` the kept part of J_{t-1}, (N, B, r, p): the entry of block b, its i-th unit and its j-th
        parameter is that of unit ``blocks.rows[b, i]``, parameter ``blocks.columns[b, j]``. The result has its shape;
        ``blocks.carried(D, before)`` is the product with any D (N, S, S), without what `pattern` leaves out.
        """
        return blocks.carried(onward, before)

    def read(self, dstate: Array) -> Array:
        """dL/ds_t J_t, from the entries that are kept."""
        assert self.influence is not None
        total = np.zeros(self.layout.count, dstate.dtype)
        for matrix, blocks in zip(self.influence.values(), self.blocks, strict=True):
            if len(blocks.rows) == 1:  # one product, also over the batch
                own = dstate if blocks.shape[1] == dstate.shape[1] else dstate[:, blocks.rows[0]]
                total[blocks.columns[0]] = own.ravel() @ matrix.reshape(-1, matrix.shape[-1])
            else:
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
