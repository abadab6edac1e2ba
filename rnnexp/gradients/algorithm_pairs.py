"""How well the gradients of several algorithms point in each other's direction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from rnnexp.components import Shown, checked
from rnnexp.gradients.passes import QUIET
from rnnexp.gradients.truncation import compare, full_gradient
from rnnexp.layers import Network
from rnnexp.layers.base import Array, row_norms
from rnnexp.tasks import Batch

FULL = "full"


class HasGradient(Protocol):
    """An `Algorithm` of `rnnexp.algorithms`."""

    def gradient(self, network: Network, batch: Batch, target_kind: str, *, rng: Generator) -> Array:
        """The gradient (P,) of the mean loss of whole sequences, with unchanged weights."""


@dataclass(frozen=True, repr=False)
class AlignmentMatrix(Shown):
    """Gradients of the same losses with the same weights, compared in pairs.

    Attributes
    ----------
    names : tuple of str
        ``full`` and the algorithms.
    cosines : array (A, A)
        Of the angle between two of them; NaN with one that is zero or not finite.
    norms : array (A,)
    """

    names: tuple[str, ...]
    cosines: NDArray[np.float64]
    norms: NDArray[np.float64]

    def __repr__(self) -> str:
        width = max(map(len, self.names))
        rows = [" ".join(f"{value:7.3f}" for value in row) for row in self.cosines]
        return "\n".join(f"{name:<{width}} {row}" for name, row in zip(self.names, rows, strict=True))


@checked
@np.errstate(**QUIET)
def alignment_matrix(
    network: Network,
    batch: Batch,
    algorithms: Mapping[str, HasGradient] | Sequence[HasGradient],
    target_kind: str | None = None,
    *,
    rng: Generator | None = None,
) -> AlignmentMatrix:
    """Cosines between the full gradient and those that algorithms make of it, in all pairs.

    The weights are unchanged, the gradients summed over the steps, and an influence that is carried forward begins with
    the sequences (Marschall, Cho & Savin 2020, section 5.2, who compare gradients step by step).

    Parameters
    ----------
    network : Network
        Left as it is.
    batch : Batch
        Whole sequences.
    algorithms : mapping of str to Algorithm, or a sequence of them
        By name; by what `repr` shows of them where they have none.
    target_kind : {"classes", "values"}, optional
        Classes where the targets are integers, when not given.
    rng : numpy Generator, optional
        Of random algorithms; one of seed 0 when not given.
    """
    batch, rng = batch.cast(network.dtype), np.random.default_rng(0) if rng is None else rng
    kind = target_kind or ("classes" if batch.targets.dtype.kind in "iu" else "values")
    named: Any = algorithms if isinstance(algorithms, Mapping) else {repr(one): one for one in algorithms}
    found = {FULL: full_gradient(network.replica(), batch, kind)}
    for name, algorithm in named.items():
        found[str(name)] = np.array(algorithm.gradient(network.replica(), batch, kind, rng=rng))
    cosines = [[compare(one, other).cosine for other in found.values()] for one in found.values()]
    return AlignmentMatrix(tuple(found), np.array(cosines), np.array([float(row_norms(one)) for one in found.values()]))
