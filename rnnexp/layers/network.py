"""A whole network: input map, recurrent layer, output layer, on one parameter vector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import DTypeLike, NDArray

from rnnexp.checks import integer, one_of
from rnnexp.layers.base import Steps
from rnnexp.layers.init import Glorot, Initializer, Normal, Orthogonal
from rnnexp.layers.inputs import TimeEmbedding, TimeOneHot
from rnnexp.layers.linear import TimeLinear
from rnnexp.layers.parameters import Parameters
from rnnexp.layers.rnn import TimeRNN

Array = NDArray[Any]
INPUT_KINDS = ("tokens", "values")


@dataclass(frozen=True)
class Initializers:
    """Which initialiser draws which weights; biases start at zero.

    Attributes
    ----------
    embedding : the learned input map (V or D_in, D)
    input : input weights of the cell (D, H)
    recurrent : recurrent weights (H, H)
    output : output weights (H, O)
    """

    embedding: Initializer = field(default_factory=Normal)
    input: Initializer = field(default_factory=Glorot)
    recurrent: Initializer = field(default_factory=Orthogonal)
    output: Initializer = field(default_factory=Glorot)


class Network:
    """input map -> recurrent layer -> output layer, over windows of a sequence.

    Parameters
    ----------
    parameters : Parameters
        With the names that `parameter_shapes` gives.
    input_kind : {"tokens", "values"}
    input_size : int
        V for tokens, D_in for values.
    cell : class
        The recurrent layer's class; `TimeRNN` or one with the same contract.
    cell_options : mapping
        Further keyword arguments for `cell`.

    Attributes
    ----------
    embedding, recurrent, output : layers
        ``embedding`` is None when real-valued input goes straight into the cell.
    """

    def __init__(
        self,
        parameters: Parameters,
        *,
        input_kind: str,
        input_size: int,
        cell: type = TimeRNN,
        cell_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.parameters = parameters
        self.input_kind = input_kind
        self.input_size = input_size
        self.cell = cell
        self.cell_options = dict(cell_options or {})
        self.embedding: TimeEmbedding | TimeLinear | TimeOneHot | None = None
        if "embedding.W" in parameters.values:
            learned = TimeEmbedding if input_kind == "tokens" else TimeLinear
            self.embedding = learned(**self._arrays("embedding"))
        elif input_kind == "tokens":
            self.embedding = TimeOneHot(input_size, dtype=parameters.vector.dtype, reuse=True)
        self.recurrent: TimeRNN = cell(**self._arrays("recurrent"), stateful=True, **self.cell_options)
        self.output = TimeLinear(**self._arrays("output"))
        self._scored: Any = slice(None)
        self._steps = Steps()

    def _arrays(self, layer: str) -> dict[str, Any]:
        names = [name for name in self.parameters.values if name.startswith(f"{layer}.")]
        arrays: dict[str, Any] = {name.split(".")[1]: self.parameters.values[name] for name in names}
        return {**arrays, "grads": [self.parameters.grads[name] for name in names], "reuse": True}

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the parameters."""
        return self.parameters.vector.dtype

    def replica(self) -> "Network":
        """A second network on the same parameter vector, with its own state, buffers and gradients."""
        return Network(
            self.parameters.replica(),
            input_kind=self.input_kind,
            input_size=self.input_size,
            cell=self.cell,
            cell_options=self.cell_options,
        )

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

    def backward(self, doutputs: Array, *, norms: bool = False) -> Array:
        """Gradient of the parameters from dL/doutputs (S, ..., N, O); the vector (..., P) that it is written into.

        With ``norms=True``, ||dL/dh_t|| stays in ``recurrent.dh_norms`` (T + 1, ..., N).
        """
        dhs = self.output.backward(doutputs)
        steps, scored = self._shape[0], self._scored
        if not (isinstance(scored, slice) and scored.indices(steps) == (0, steps, 1)):
            spread = self._steps("spread", self._shape, self._hs_dtype)
            spread[...] = 0.0
            if isinstance(scored, slice):
                spread[scored] = dhs
            else:
                np.add.at(spread, scored, dhs)
            dhs = spread
        dxs = self.recurrent.backward(dhs, norms=norms)
        if self.embedding is not None:
            self.embedding.backward(dxs)
        return self.parameters.gradient


def build_network(
    *,
    hidden_size: int,
    output_size: int,
    rng: Generator | Sequence[Generator],
    embedding_dim: int | None = None,
    input_size: int | None = None,
    input_kind: str = "tokens",
    cell: type = TimeRNN,
    cell_options: Mapping[str, Any] | None = None,
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
        leading axis, each the same as if made alone.
    embedding_dim : int, optional
        Size of the learned input map; without one, one-hot or raw input goes straight into the cell.
    input_size : int, optional
        Tokens or values per input step; `output_size` when not given.
    input_kind : {"tokens", "values"}
    cell, cell_options : class, mapping
        The recurrent layer and its options.
    init : Initializers
    dtype : float32 or float64

    Raises
    ------
    InvalidValue
        If a size is not a whole number >= 1.
    """
    hidden_size = integer("hidden_size", hidden_size, at_least=1)
    output_size = integer("output_size", output_size, at_least=1)
    input_size = integer("input_size", output_size if input_size is None else input_size, at_least=1)
    one_of("input_kind", input_kind, INPUT_KINDS)
    shapes: dict[str, tuple[int, ...]] = {}
    features = input_size
    if embedding_dim is not None:
        features = integer("embedding_dim", embedding_dim, at_least=1)
        shapes["embedding.W"] = (input_size, features)
    cell_shapes: dict[str, tuple[int, ...]] = cell.parameter_shapes(features, hidden_size)  # type: ignore[attr-defined]
    shapes.update({f"recurrent.{name}": shape for name, shape in cell_shapes.items()})
    shapes.update({"output.W": (hidden_size, output_size), "output.b": (output_size,)})

    generators = [rng] if isinstance(rng, Generator) else list(rng)
    copies = () if isinstance(rng, Generator) else (len(generators),)
    parameters = Parameters(shapes, copies=copies, dtype=dtype)
    init = init or Initializers()
    draw: dict[str, Initializer] = {
        "embedding.W": init.embedding,
        "recurrent.Wx": init.input,
        "recurrent.Wh": init.recurrent,
        "output.W": init.output,
    }
    for copy, generator in enumerate(generators):
        for name, shape in shapes.items():
            if name in draw:
                target = parameters.values[name]
                (target[copy] if copies else target)[...] = draw[name]((shape[0], shape[1]), rng=generator)
    return Network(parameters, input_kind=input_kind, input_size=input_size, cell=cell, cell_options=cell_options)
