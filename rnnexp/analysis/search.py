"""The search for fixed and slow points, by minimising q."""

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from rnnexp.analysis.points import FixedPoint, FixedPoints
from rnnexp.analysis.state_space import StateTrajectories, as_rows, state_trajectories
from rnnexp.analysis.step_map import StepMap
from rnnexp.checks import InvalidValue, integer, number
from rnnexp.gradients.spectra import eigenvalues
from rnnexp.layers import Network
from rnnexp.tasks import Batch

Array = NDArray[np.float64]

#: Where the optimiser stops: relative change of q or of the state, or gradient of q.
PRECISION = 1e-14


def fixed_points(
    network: Network,
    visited: Batch | StateTrajectories | ArrayLike,
    *,
    rng: Generator,
    x: ArrayLike | None = None,
    starts: int = 500,
    noise: float = 1.0,
    tolerance: float = 1e-20,
    slow: float = 1e-4,
    distance: float = 1e-3,
    reach: float = 10.0,
    max_evaluations: int = 100,
) -> FixedPoints:
    """Fixed and slow points of h -> F(h, x), one step of a network at a constant input.

    From each start q(h) = 1/2 |F(h, x) - h|^2 is minimised (Sussillo & Barak 2013, section 2), as the least-squares
    problem that it is: by SciPy's trust-region method, with the Jacobian dF/dh - 1 that the cell's own backward pass
    gives. It finds saddles as well as stable points, since it does not follow the dynamics; all in float64. An
    evaluation costs a singular value decomposition (S, S), a start some ten of them.

    Parameters
    ----------
    network : Network
        Of any cell, or a stack of layers; a fixed point is one of the whole state.
    visited : Batch, StateTrajectories, or array (..., S)
        Where to start: sequences to run the network on, or states.
    rng : numpy Generator
        Draws starts and noise.
    x : array (D_in,), or int
        The input that is held constant: values, 0 when not given, or a token.
    starts : int
        States drawn from those visited, without repetition if there are as many.
    noise : float
        Standard deviation of the Gaussian noise that is added to the starts, in units of the visited states' own.
        Saddles lie between the states that a network visits, and are rarely found without any.
    tolerance, slow : float
        Largest q of a fixed point, and of a slow one.
    distance : float
        Ends within this Euclidean distance of one another are one point, that of the smaller q.
    reach : float
        Ends farther from the mean of the visited states than `reach` times their own root mean square distance are
        left out: gates that close far away (a GRU's) make q small there without a point.
    max_evaluations : int
        Of F, from one start.

    Returns
    -------
    FixedPoints

    Raises
    ------
    InvalidValue
        If an argument is not allowed, or no start leads to a q <= `slow`.
    """
    starts, max_evaluations = (
        integer(name, value, at_least=1) for name, value in (("starts", starts), ("max_evaluations", max_evaluations))
    )
    noise, tolerance = number("noise", noise, at_least=0), number("tolerance", tolerance, above=0)
    slow, distance = number("slow", slow, at_least=tolerance), number("distance", distance, above=0)
    reach = number("reach", reach, above=0)
    if not isinstance(rng, Generator):
        raise InvalidValue("rng", rng, "a numpy Generator", "try rng=numpy.random.default_rng(0)")
    step = StepMap(network, x)
    rows = as_rows(state_trajectories(network, visited) if isinstance(visited, Batch) else visited)
    if rows.shape[-1] != step.size:
        raise InvalidValue("visited", f"states of {rows.shape[-1]} units", f"states of the network's {step.size} units")
    chosen = rows[rng.choice(len(rows), starts, replace=starts > len(rows))]
    centre, variance = rows.mean(axis=0), float(rows.var(axis=0).sum())
    chosen = chosen + noise * np.sqrt(variance / step.size) * rng.standard_normal(chosen.shape)
    ends = [_minimise(step, start, max_evaluations) for start in chosen]
    farthest = reach * np.sqrt(variance) if variance > 0 else np.inf
    within = [end for end in ends if np.linalg.norm(end[0] - centre) <= farthest]
    near = [end for end in within if end[1] <= slow]
    if not near:
        least = float(f"{min((q for _, q, _ in within), default=np.inf):.3g}")
        out, far = sum(not converged for _, _, converged in ends), len(ends) - len(within)
        hint = f"{out} starts ran out of max_evaluations={max_evaluations}, {far} ended beyond reach={reach:g}"
        hint = f"try another x, more starts or noise=0: {hint}"
        raise InvalidValue("q", least, f"<= {slow:g} (slow) at the end of at least one of {starts} starts", hint)
    points = [
        _point(step, state, q, converged, count, tolerance)
        for (state, q, converged), count in _distinct(near, distance)
    ]
    points.sort(key=lambda point: (not point.fixed, point.unstable, -point.starts if point.fixed else point.q))
    return FixedPoints(tuple(points), step.x, starts, len(ends) - len(near), tolerance, slow, distance)


def _minimise(step: StepMap, start: Array, max_evaluations: int) -> tuple[Array, float, bool]:
    """The state where the minimisation of q ends, its q, and whether that is a minimum."""
    from scipy.optimize import least_squares  # type: ignore[import-untyped]

    identity = np.eye(step.size)
    result: Any = least_squares(
        step.displacement,
        start,
        lambda state: step.jacobian(state).T - identity,
        ftol=PRECISION,
        xtol=PRECISION,
        gtol=PRECISION,
        max_nfev=max_evaluations,
    )
    return result.x, float(result.cost), result.status > 0


def _distinct(ends: list[tuple[Array, float, bool]], distance: float) -> list[tuple[tuple[Array, float, bool], int]]:
    """Ends no nearer to one another than `distance`, the smallest q first, each with the number that it stands for."""
    kept: list[tuple[Array, float, bool]] = []
    counts: list[int] = []
    for end in sorted(ends, key=lambda end: end[1]):
        gaps = [float(np.linalg.norm(end[0] - other[0])) for other in kept]
        nearest = int(np.argmin(gaps)) if gaps else 0
        if gaps and gaps[nearest] <= distance:
            counts[nearest] += 1
        else:
            kept.append(end)
            counts.append(1)
    return list(zip(kept, counts, strict=True))


def _point(step: StepMap, state: Array, q: float, converged: bool, starts: int, tolerance: float) -> FixedPoint:
    jacobian = step.jacobian(state)
    return FixedPoint(state, q, q <= tolerance, converged, jacobian, eigenvalues(jacobian), step.output(state), starts)
