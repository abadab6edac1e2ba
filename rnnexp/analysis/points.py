"""Fixed and slow points of a network: what is known of one, and all of them together."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

#: An eigenvalue is on the unit circle, or real, up to this.
MARGIN = 1e-6


@dataclass(frozen=True, repr=False)
class FixedPoint:
    """A state that one step leaves where it is, or moves only slowly, and the linearised dynamics around it.

    Attributes
    ----------
    state : array (S,)
        All states of all layers, in the order of `StateTrajectories`.
    q : float
        1/2 |F(h, x) - h|^2.
    fixed : bool
        Whether q is within the tolerance of a fixed point; otherwise the point is slow.
    converged : bool
        Whether the optimiser came to a minimum of q; otherwise it ran out of evaluations.
    jacobian : array (S, S)
        dF/dh, rows the earlier state's units.
    eigenvalues : complex array (S,)
        Of the Jacobian, the largest modulus first.
    output : array (O,)
        The network's output at this state: logits of classes, or values.
    starts : int
        Starts that ended here.
    """

    state: Array
    q: float
    fixed: bool
    converged: bool
    jacobian: Array
    eigenvalues: NDArray[np.complex128]
    output: Array
    starts: int

    @property
    def speed(self) -> float:
        """|F(h, x) - h| = sqrt(2 q), a step."""
        return float(np.sqrt(2.0 * self.q))

    @property
    def unstable(self) -> int:
        """Unstable directions: eigenvalues outside the unit circle."""
        return int((np.abs(self.eigenvalues) > 1.0 + MARGIN).sum())

    @property
    def spiral(self) -> bool:
        """Whether the leading eigenvalue, which prevails in the long run, is complex."""
        return bool(abs(self.eigenvalues[0].imag) > MARGIN * abs(self.eigenvalues[0]))

    @property
    def kind(self) -> str:
        """``stable node``, ``stable spiral``, ``saddle, 2 unstable directions``, ``unstable node``, ``marginal``, ...

        A point is stable if all eigenvalues are inside the unit circle, unstable if all are outside, a saddle if some
        are outside; marginal if none is outside, but the leading one lies on it (within 1e-6). It is a spiral if the
        leading eigenvalue is complex.
        """
        form = "spiral" if self.spiral else "node"
        if self.unstable == len(self.eigenvalues):
            return f"unstable {form}"
        if self.unstable:
            directions = "direction" if self.unstable == 1 else "directions"
            return f"saddle, {self.unstable} unstable {directions}" + ", spiral" * self.spiral
        return "marginal" if abs(self.eigenvalues[0]) >= 1.0 - MARGIN else f"stable {form}"

    @property
    def unstable_directions(self) -> Array:
        """Unit vectors (unstable, S) along which states leave; of a complex pair two that span its plane."""
        values, vectors = np.linalg.eig(self.jacobian.T)
        order = np.argsort(-np.abs(values), kind="stable")[: self.unstable]
        real = np.where(values[order].imag < 0, vectors[:, order].imag, vectors[:, order].real).T
        return np.asarray(real / np.linalg.norm(real, axis=1, keepdims=True))

    def __repr__(self) -> str:
        what = "fixed" if self.fixed else "slow"
        leading = self.eigenvalues[0] if self.spiral else self.eigenvalues[0].real
        starts = f"{self.starts} start{'s' * (self.starts != 1)}" + ", not converged" * (not self.converged)
        return f"FixedPoint: {what}, {self.kind}, q = {self.q:.2g}, leading eigenvalue {leading:.4g}, from {starts}"


@dataclass(frozen=True, repr=False)
class FixedPoints:
    """The distinct points that a search found: fixed ones first, those with the fewest unstable directions first.

    A sequence of `FixedPoint`: it has a length, an index and an order.

    Attributes
    ----------
    points : tuple of FixedPoint
    x : array (D_in,), or () for a token
        The constant input.
    starts : int
        States from which q was minimised.
    left_out : int
        Starts that ended at a q above `slow`, or far from the visited states; they make no point.
    tolerance : float
        Largest q of a fixed point.
    slow : float
        Largest q of a slow point.
    distance : float
        Two ends nearer to one another than this are the same point.
    """

    points: tuple[FixedPoint, ...]
    x: NDArray[np.generic]
    starts: int
    left_out: int
    tolerance: float
    slow: float
    distance: float

    def __len__(self) -> int:
        return len(self.points)

    def __iter__(self) -> Iterator[FixedPoint]:
        return iter(self.points)

    def __getitem__(self, index: int) -> FixedPoint:
        return self.points[index]

    @property
    def fixed(self) -> list[FixedPoint]:
        """The fixed points, without the slow ones."""
        return [point for point in self.points if point.fixed]

    @property
    def states(self) -> Array:
        """Their states, (K, S)."""
        return np.stack([point.state for point in self.points])

    @property
    def kinds(self) -> dict[str, int]:
        """How many fixed points of each kind there are."""
        return dict(Counter(point.kind for point in self.fixed))

    def table(self) -> "pd.DataFrame":
        """One row a point: what it is, its q, its leading eigenvalue, and the network's output there."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "kind": point.kind,
                    "fixed": point.fixed,
                    "converged": point.converged,
                    "unstable": point.unstable,
                    "spiral": point.spiral,
                    "q": point.q,
                    "speed": point.speed,
                    "leading_modulus": abs(point.eigenvalues[0]),
                    "starts": point.starts,
                    **{f"output_{index}": value for index, value in enumerate(point.output)},
                }
                for point in self.points
            ]
        ).rename_axis("point")

    def __repr__(self) -> str:
        slow = [point for point in self.points if not point.fixed]
        lines = [f"FixedPoints at x = {self.x}: {len(self.fixed)} fixed, {len(slow)} slow, from {self.starts} starts"]
        lines += [f"{count:5d}  {kind}" for kind, count in self.kinds.items()]
        lines += [f"{len(slow):5d}  slow, q from {slow[0].q:.2g} to {slow[-1].q:.2g}"] if slow else []
        lines.append(f"fixed: q <= {self.tolerance:g}; slow: q <= {self.slow:g}; distinct: {self.distance:g} apart")
        if self.left_out:
            lines.append(f"{self.left_out} starts ended at a larger q, or far away, and are left out")
        return "\n".join(lines)
