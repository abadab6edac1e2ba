"""The states that a network visits, and the directions in which they vary most."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnnexp.checks import InvalidValue, integer
from rnnexp.gradients.spectra import run_forward
from rnnexp.layers import Network, Parameters
from rnnexp.tasks import Batch

Array = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class StateTrajectories:
    """The whole recurrent state at every step of some sequences.

    Attributes
    ----------
    values : array (T + 1, N, S)
        Index 0 is the state before the first step. S is the number of units of all states of all layers, in the order
        of `names`.
    names : tuple of str
        The states, each of H = S / len(names) units: ``h``, or ``h`` and ``c``; in a stack ``layer1.h`` and so on, the
        lowest layer first.
    """

    values: Array
    names: tuple[str, ...]

    def state(self, name: str) -> Array:
        """The part (T + 1, N, H) of one state, by its name."""
        if name not in self.names:
            raise InvalidValue("name", name, f"one of {', '.join(self.names)}")
        at, units = self.names.index(name), self.values.shape[-1] // len(self.names)
        return self.values[..., at * units : (at + 1) * units]

    def __repr__(self) -> str:
        steps, sequences, units = self.values.shape
        names = f"{', '.join(self.names)} of {units // len(self.names)} each" if len(self.names) > 1 else self.names[0]
        return f"StateTrajectories: {sequences} sequences of {steps - 1} steps, {units} units ({names})"


def in_float64(network: Network) -> Network:
    """A copy of a network in float64, with its own state.

    Raises
    ------
    InvalidValue
        If it is a stack of networks, or a weight is not finite.
    """
    given = network.parameters
    if given.copies:
        hint = "give one of them: build_network(rng=...) with one generator, and its row of parameters.vector"
        raise InvalidValue("network", f"{given.copies[0]} stacked networks", "one network", hint)
    vector = given.vector.astype(np.float64)
    if not np.isfinite(vector).all():
        raise InvalidValue("network", "NaN or infinity", "of finite weights", "training diverged: take an earlier one")
    return Network(Parameters(given.shapes, dtype=np.float64, vector=vector), network.design)


def state_trajectories(network: Network, batch: Batch) -> StateTrajectories:
    """Run whole sequences through a network, from its initial state, and keep the state of every step.

    Parameters
    ----------
    network : Network
        Of any cell, or a stack of layers. Its own state stays as it is.
    batch : Batch
        Sequences (T, N, ...); `Batch.sequences` takes the first few.
    """
    network = in_float64(network)
    run_forward(network, batch.cast(np.float64))
    recurrent, layers = network.recurrent, network.recurrent.layers
    values = np.stack([np.concatenate(recurrent.state_before(step), -1) for step in range(len(batch.inputs) + 1)])
    prefixes = [""] if len(layers) == 1 else [f"layer{at}." for at in range(1, len(layers) + 1)]
    names = [prefix + name for prefix, layer in zip(prefixes, layers, strict=True) for name in layer.state_names]
    return StateTrajectories(values, tuple(names))


@dataclass(frozen=True, repr=False)
class PrincipalComponents:
    """The orthogonal directions of largest variance.

    Attributes
    ----------
    mean : array (S,)
    directions : array (K, S)
        Of length 1, that of the largest variance first; the largest entry of each is positive.
    variances : array (K,)
        Of the states along each.
    explained : array (K,)
        The same as shares of the whole variance; NaN if that is 0.
    """

    mean: Array
    directions: Array
    variances: Array
    explained: Array

    def project(self, states: ArrayLike) -> Array:
        """States (..., S) in these coordinates: (..., K)."""
        projected: Array = (np.asarray(states, np.float64) - self.mean) @ self.directions.T
        return projected

    def __repr__(self) -> str:
        shares = ", ".join(f"{share:.1%}" for share in self.explained)
        return f"PrincipalComponents: {len(self.directions)} of {len(self.mean)}, with {shares} of the variance"


def principal_components(states: StateTrajectories | ArrayLike, count: int = 3) -> PrincipalComponents:
    """Principal components of states (..., S), by the singular values of the centred states.

    Raises
    ------
    InvalidValue
        If `count` is larger than S, or a state is not finite.
    """
    rows = as_rows(states)
    size = rows.shape[-1]
    if integer("count", count, at_least=1) > size:
        raise InvalidValue("count", count, f"<= {size}, the units of the state")
    mean = rows.mean(axis=0)
    _, singular, directions = np.linalg.svd(rows - mean, full_matrices=len(rows) < size)
    variances = np.zeros(size)
    variances[: len(singular)] = singular**2 / len(rows)
    total = variances.sum()
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=1)[:, np.newaxis], axis=1)
    explained = variances / total if total > 0 else np.full(size, np.nan)
    return PrincipalComponents(mean, (directions * np.sign(largest))[:count], variances[:count], explained[:count])


def as_rows(states: StateTrajectories | ArrayLike) -> Array:
    """States (..., S) as rows, at least one, all finite; `InvalidValue` otherwise."""
    values = np.asarray(states.values if isinstance(states, StateTrajectories) else states, np.float64)
    if values.ndim < 1 or not values.size:
        raise InvalidValue("states", f"an array {values.shape}", "an array (..., units) with at least one state")
    if not np.isfinite(values).all():
        raise InvalidValue("states", "NaN or infinity", "finite", "on these inputs the network diverges")
    return values.reshape(-1, values.shape[-1])
