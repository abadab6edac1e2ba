"""A whole network: embedding, recurrent layer, output layer, on one parameter vector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import DTypeLike

from ..checks import InvalidValue, integer, one_of
from .base import Array, Steps
from .init import Glorot, Initializer, Normal, Orthogonal, Values
from .inputs import TimeEmbedding, TimeOneHot
from .linear import TimeLinear
from .parameters import Parameters
from .recurrent import Recurrent
from .rnn import TimeRNN
from .stack import Stack

INPUT_KINDS = ("tokens", "values")


@dataclass(frozen=True)
class Initializers:
    """Which initialiser draws which weights, one matrix at a time (of a gated cell, one for each gate).

    Attributes
    ----------
    embedding : embedding of tokens or values (V or D_in, D)
    input : input weights of a cell (D, H)
    recurrent : recurrent weights (H, H)
    output : output weights (H, O); also draws the embedding where it is tied to them
    state : learned initial states, each as a row (1, H)
    """

    embedding: Initializer = field(default_factory=Normal)
    input: Initializer = field(default_factory=Glorot)
    recurrent: Initializer = field(default_factory=Orthogonal)
    output: Initializer = field(default_factory=Glorot)
    state: Initializer = field(default_factory=lambda: Values(0.0))


@dataclass(frozen=True)
class Design:
    """What a network is made of, apart from its numbers.

    Attributes
    ----------
    input_kind, input_size, cell, cell_options, num_layers
        As for `build_network`.
    frozen : sequence of str
        Parameters that are not trained.
    """

    input_kind: str
    input_size: int
    cell: type[Recurrent] = TimeRNN
    cell_options: Mapping[str, Any] = field(default_factory=dict)
    num_layers: int = 1
    frozen: Sequence[str] = ()


class Network:
    """embedding -> recurrent layer, or a stack of them -> output layer, over windows of a sequence.

    Parameters
    ----------
    parameters : Parameters
        With the names that `build_network` gives. Without ``output.W`` the output weights are the embedding's,
        transposed (weight tying; Press & Wolf 2017).
    design : Design

    Attributes
    ----------
    embedding, recurrent, output : layers
        ``embedding`` is None when real-valued input goes straight into the cell.
    """

    def __init__(self, parameters: Parameters, design: Design) -> None:
        self.parameters, self.design = parameters, design
        self.embedding: TimeEmbedding | TimeLinear | TimeOneHot | None = None
        if "embedding.W" in parameters.values:
            learned = TimeEmbedding if design.input_kind == "tokens" else TimeLinear
            self.embedding = learned(**self._arrays("embedding"))
        elif design.input_kind == "tokens":
            self.embedding = TimeOneHot(design.input_size, dtype=parameters.vector.dtype, reuse=True)
        layers = [
            design.cell(**self._arrays(name), stateful=True, **design.cell_options)
            for name in recurrent_names(design.num_layers)
        ]
        self.recurrent: Recurrent | Stack = layers[0] if len(layers) == 1 else Stack(layers, reuse=True)
        arrays = self._arrays("output")
        self.tied = "W" not in arrays
        if self.tied:
            table = parameters.values["embedding.W"].mT
            arrays = {**arrays, "W": table, "grads": [np.zeros_like(table), *arrays["grads"]]}
        self.output = TimeLinear(**arrays)
        self._scored: Any = slice(None)
        self._steps = Steps()

    def _arrays(self, layer: str) -> dict[str, Any]:
        names = [name for name in self.parameters.values if name.rpartition(".")[0] == layer]
        arrays: dict[str, Any] = {name.rpartition(".")[2]: self.parameters.values[name] for name in names}
        return {**arrays, "grads": [self.parameters.grads[name] for name in names], "reuse": True}

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the parameters."""
        return self.parameters.vector.dtype

    def replica(self) -> "Network":
        """A second network on the same parameter vector, with its own state, buffers and gradients."""
        return Network(self.parameters.replica(), self.design)

    def reset_state(self) -> None:
        """Let the next window start from zero."""
        self.recurrent.reset_state()

    def drop(self, steps: int) -> None:
        """Forget the oldest `steps` steps of the window, so that `forward(first=...)` can add new ones."""
        for layer in (self.embedding, self.recurrent):
            if layer is not None:
                layer.drop(steps)

    def forward(self, inputs: Array, *, scored: Any = None, first: int = 0) -> Array:
        """Outputs of a window's scored steps.

        Parameters
        ----------
        inputs : array (T, ..., N, D_in), or integer array (T, ..., N) for tokens
            The whole window, old steps included.
        scored : slice or index array into the window's steps, optional
            Steps whose output is wanted; all from `first` on when not given.
        first : int
            Steps before it were computed by an earlier call.

        Returns
        -------
        array (S, ..., N, O)
        """
        xs = inputs if self.embedding is None else self.embedding.forward(inputs, first)
        hs = self.recurrent.forward(xs, first)
        self._scored = slice(first, None) if scored is None else scored
        self._shape, self._hs_dtype = hs.shape, hs.dtype
        return self.output.forward(hs[self._scored])

    def backward(self, doutputs: Array, *, norms: bool = False, step_weights: Sequence[float] | None = None) -> Array:
        """Gradient of the parameters from dL/doutputs (S, ..., N, O); the vector (..., P) that it is written into.

        With ``norms=True``, ||dL/dh_t|| stays in ``recurrent.norms["h"]`` (T + 1, ..., N). `step_weights` holds a
        factor for the gradient that each step passes back to the one before it. Frozen parameters have no gradient.
        """
        dhs = self.output.backward(doutputs)
        steps, scored = self._shape[0], self._scored
        if not (isinstance(scored, slice) and scored.indices(steps) == (0, steps, 1)):
            spread = self._steps("spread", self._shape, self._hs_dtype)
            spread[...] = 0.0
            if isinstance(scored, slice) or (np.diff(scored) > 0).all():
                spread[scored] = dhs
            else:
                np.add.at(spread, scored, dhs)
            dhs = spread
        dxs = self.recurrent.backward(dhs, norms=norms, step_weights=step_weights)
        if self.embedding is not None:
            self.embedding.backward(dxs)
        grads = self.parameters.grads
        if self.tied:
            grads["embedding.W"] += self.output.grads[0].mT
        for name in self.design.frozen:
            grads[name][...] = 0.0
        return self.parameters.gradient


def recurrent_names(num_layers: int) -> list[str]:
    """Names of the recurrent layers, the lowest first."""
    return ["recurrent"] if num_layers == 1 else [f"recurrent.{layer}" for layer in range(1, num_layers + 1)]


def build_network(
    *,
    hidden_size: int,
    output_size: int,
    rng: Generator | Sequence[Generator],
    embedding_dim: int | None = None,
    input_size: int | None = None,
    input_kind: str = "tokens",
    cell: type[Recurrent] = TimeRNN,
    cell_options: Mapping[str, Any] | None = None,
    num_layers: int = 1,
    learn_initial_state: bool = False,
    tie: bool = False,
    freeze: str | Sequence[str] = (),
    init: Initializers | None = None,
    dtype: DTypeLike = np.float32,
) -> Network:
    """A network with freshly drawn weights.

    Parameters
    ----------
    hidden_size, output_size : int
        H and O, >= 1.
    rng : numpy Generator, or a sequence of them
        Draws the weights, in float64 whatever the dtype. A sequence makes one network a generator, stacked along a
        leading axis, each identical to the one made alone.
    embedding_dim : int, optional
        Size of the embedding; without one, one-hot or raw input goes straight into the cell.
    input_size : int, optional
        V tokens, or D_in values per step; `output_size` when not given.
    input_kind : {"tokens", "values"}
    cell, cell_options : class, mapping
        A `Recurrent`, and further keyword arguments for it.
    num_layers : int
        Recurrent layers, one on top of the other, >= 1.
    learn_initial_state : bool
        Train the state before the first step; it is zero otherwise.
    tie : bool
        Weight tying: one matrix for embedding and output, for tokens with ``output_size == input_size`` and
        ``embedding_dim == hidden_size`` (Press & Wolf 2017; Inan, Khosravi & Socher 2017).
    freeze : str, or sequence of str
        Parameters, or layers with all of theirs, that are not trained: ``"recurrent.Wh"``, ``"embedding"``.
    init : Initializers
    dtype : float32 or float64

    Raises
    ------
    InvalidValue
        If a size is not a whole number >= 1, the sizes can't be tied, or there is nothing of a name to freeze.
    """
    hidden_size = integer("hidden_size", hidden_size, at_least=1)
    output_size = integer("output_size", output_size, at_least=1)
    input_size = integer("input_size", output_size if input_size is None else input_size, at_least=1)
    num_layers = integer("num_layers", num_layers, at_least=1)
    one_of("input_kind", input_kind, INPUT_KINDS)
    init = init or Initializers()
    shapes: dict[str, tuple[int, ...]] = {}
    draws: dict[str, Initializer] = {"output.W": init.output, "embedding.W": init.embedding}
    features = input_size
    if embedding_dim is not None:
        features = integer("embedding_dim", embedding_dim, at_least=1)
        shapes["embedding.W"] = (input_size, features)
    if tie:
        _check_tie(embedding_dim, hidden_size, input_kind, input_size, output_size)
        draws["embedding.W"] = lambda shape, *, rng: init.output((shape[1], shape[0]), rng=rng).T
    for name in recurrent_names(num_layers):
        cell_shapes = cell.parameter_shapes(features, hidden_size)
        shapes.update({f"{name}.{parameter}": shape for parameter, shape in cell_shapes.items()})
        draws.update({f"{name}.Wx": init.input, f"{name}.Wh": init.recurrent})
        if learn_initial_state:
            shapes.update({f"{name}.{state}0": (hidden_size,) for state in cell.state_names})
            draws.update({f"{name}.{state}0": init.state for state in cell.state_names})
        features = hidden_size
    if not tie:
        shapes["output.W"] = (hidden_size, output_size)
    shapes["output.b"] = (output_size,)

    generators = [rng] if isinstance(rng, Generator) else list(rng)
    copies = () if isinstance(rng, Generator) else (len(generators),)
    parameters = Parameters(shapes, copies=copies, dtype=dtype)
    design = Design(input_kind, input_size, cell, cell_options or {}, num_layers, frozen_names(freeze, list(shapes)))
    network = Network(parameters, design)
    for name, layer in zip(recurrent_names(num_layers), network.recurrent.layers, strict=True):
        for parameter, value in layer.initial_values().items():
            parameters.values[f"{name}.{parameter}"][...] = value
    for copy, generator in enumerate(generators):
        for name in shapes:
            if name in draws:
                target = parameters.values[name]
                _draw(target[copy] if copies else target, draws[name], generator)
    return network


def _draw(target: Array, initializer: Initializer, rng: Generator) -> None:
    """Draw one parameter into `target`, every matrix of it by itself."""
    for matrix in target.reshape(-1, *target.shape[-2:]) if target.ndim > 1 else target.reshape(1, 1, -1):
        matrix[...] = initializer((matrix.shape[0], matrix.shape[1]), rng=rng)


def _check_tie(embedding_dim: int | None, hidden_size: int, input_kind: str, input_size: int, output_size: int) -> None:
    """Refuse to tie weights whose sizes differ."""
    if input_kind != "tokens" or input_size != output_size:
        allowed = f"false here ({input_size} {input_kind} in, {output_size} out)"
        hint = f"one table serves both ends only where they are the same tokens: task=text embedding_dim={hidden_size}"
        raise InvalidValue("tie", True, allowed, hint)
    if embedding_dim != hidden_size:
        allowed = f"{hidden_size}, the hidden_size, with tie=true"
        raise InvalidValue("embedding_dim", embedding_dim, allowed, "or give tie=false")


def frozen_names(freeze: str | Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The parameters among `names` that `freeze` gives by their own name or their layer's."""
    wanted = [freeze] if isinstance(freeze, str) else list(freeze)
    known = sorted({name.rpartition(".")[0] for name in names} | {name.partition(".")[0] for name in names})
    for entry in wanted:
        if entry not in names:
            one_of("freeze", entry, [*known, *names])
    frozen = tuple(name for name in names if any(name == entry or name.startswith(f"{entry}.") for entry in wanted))
    if len(frozen) == len(names):
        raise InvalidValue("freeze", ", ".join(wanted), "less than the whole network", "nothing would be trained")
    return frozen
