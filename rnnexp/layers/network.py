"""A whole network: embedding, recurrent layer, output layer, on one parameter vector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..components import Shown, short
from .base import Array, Layer, Steps
from .inputs import TimeEmbedding, TimeOneHot
from .linear import TimeLinear
from .parameters import Parameters
from .recurrent import Recurrent
from .rnn import TimeRNN
from .stack import Stack

INPUT_KINDS = ("tokens", "values")
#: What a network gives its layers itself.
HIDDEN = ("stateful", "batch_first", "reuse", "grads")


@dataclass(frozen=True, repr=False)
class Design(Shown):
    """What a network is made of, apart from its numbers.

    Attributes
    ----------
    input_kind, input_size, cell, cell_options, num_layers
        As for `build_network`.
    frozen : sequence of str
        Parameters that are not trained.
    keep_zeros : sequence of str
        Parameters whose zeros are not trained.
    """

    input_kind: str
    input_size: int
    cell: type[Recurrent] = TimeRNN
    cell_options: Mapping[str, Any] = field(default_factory=dict)
    num_layers: int = 1
    frozen: Sequence[str] = ()
    keep_zeros: Sequence[str] = ()


class Network:
    """embedding -> recurrent layer, or a stack of them -> output layer, over windows of a sequence.

    Parameters
    ----------
    parameters : Parameters
        With the names that `build_network` gives. Without ``output.W`` the output weights are the embedding's,
        transposed (weight tying; Press & Wolf 2017). With ``output.Wx`` the output layer also sees the input.
    design : Design

    Attributes
    ----------
    embedding, recurrent, output, shortcut : layers
        ``embedding`` is None when real-valued input goes straight into the cell; ``shortcut``, from the input to the
        output, where there is none.
    inputs : array
        Of the last window.
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
        self.shortcut: TimeEmbedding | TimeLinear | None = None
        if "Wx" in arrays:
            direct = TimeEmbedding if design.input_kind == "tokens" else TimeLinear
            self.shortcut = direct(arrays.pop("Wx"), grads=[arrays["grads"].pop()], reuse=True)
        self.output = TimeLinear(**arrays)
        self.inputs: Array = np.empty(0)
        self._scored: Any = slice(None)
        self._steps = Steps()

    def _arrays(self, layer: str) -> dict[str, Any]:
        names = [name for name in self.parameters.values if name.rpartition(".")[0] == layer]
        arrays: dict[str, Any] = {name.rpartition(".")[2]: self.parameters.values[name] for name in names}
        return {**arrays, "grads": [self.parameters.grads[name] for name in names], "reuse": True}

    @property
    def sizes(self) -> tuple[str, int, int]:
        """Kind of the input, its size, and that of the output."""
        return self.design.input_kind, self.design.input_size, self.parameters.shapes["output.b"][0]

    def __repr__(self) -> str:
        kind, inputs, outputs = self.sizes
        shapes, frozen, copies = self.parameters.shapes, self.design.frozen, self.parameters.copies
        zeros = self.design.keep_zeros
        many = f"{int(np.prod(copies))} networks of " if copies else ""
        fixed = sum(int(np.prod(shapes[name])) for name in frozen)
        lines = [
            f"Network: {many}{self.parameters.vector.shape[-1]} parameters, {self.dtype}"
            + (f", {fixed} of them frozen" if fixed else "")
        ]
        names = recurrent_names(self.design.num_layers)
        layers: list[tuple[str, Layer | None, str]] = [("embedding", self.embedding, f"{amount(inputs, kind)} in")]
        for name, layer in zip(names, self.recurrent.layers, strict=True):
            options = {key: value for key, value in layer.configuration().items() if key not in HIDDEN}
            told = [f"{key}={short(value)}" for key, value in options.items() if not hasattr(value, "shape")]
            layers.append((name, layer, ", ".join([f"{layer.hidden_size} units", *told])))
        layers.append(("output", self.output, f"{outputs} out"))
        rows = []
        for name, found, words in layers:
            own = {key.rpartition(".")[2]: key for key in shapes if key.rpartition(".")[0] == name}
            count = sum(int(np.prod(shapes[key])) for key in own.values())
            told = [
                f"{short_name} {shapes[key]}{' frozen' * (key in frozen)}{' zeros stay' * (key in zeros)}"
                for short_name, key in own.items()
            ]
            if name == "output" and self.tied:
                told.insert(0, "W = embedding.W transposed")
            rows.append((name, type(found).__name__ if found else "none", words, ", ".join(told), f"{count}"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            texts = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
            lines.append("  " + "  ".join([*texts, row[-1].rjust(widths[-1])]))
        return "\n".join(lines)

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
        self.inputs = inputs
        xs = inputs if self.embedding is None else self.embedding.forward(inputs, first)
        hs = self.recurrent.forward(xs, first)
        self._scored = slice(first, None) if scored is None else scored
        self._shape, self._hs_dtype = hs.shape, hs.dtype
        return self.read_out(hs[self._scored], inputs[self._scored])

    def read_out(self, hs: Array, inputs: Array) -> Array:
        """y_t = h_t W + b, and + x_t Wx with a shortcut: hs (S, ..., N, H), and the inputs of these steps."""
        outputs = self.output.forward(hs)
        if self.shortcut is not None:
            outputs += self.shortcut.forward(inputs)
        return outputs

    def read_back(self, doutputs: Array) -> Array:
        """dL/dhs of the last `read_out` (S, ..., N, H), and the gradients of its own parameters."""
        if self.shortcut is not None:
            self.shortcut.backward(doutputs)
        return self.output.backward(doutputs)

    def backward(self, doutputs: Array, **options: Any) -> Array:
        """Gradient of the parameters from dL/doutputs (S, ..., N, O); the vector (..., P) that it is written into.

        With ``norms=True``, ||dL/dh_t|| stays in ``recurrent.norms["h"]`` (T + 1, ..., N); this and the other options,
        `step_weights` and `later`, are those of `Recurrent.backward`. Frozen parameters have no gradient.
        """
        dxs = self.recurrent.backward(self.back_to_states(doutputs), **options)
        if self.embedding is not None:
            self.embedding.backward(dxs)
        return self.finish_backward()

    def back_to_states(self, doutputs: Array) -> Array:
        """The first part of `backward`: the output layer's gradient, and dL/dhs (T, ..., N, H) of the top layer."""
        dhs = self.read_back(doutputs)
        steps, scored = self._shape[0], self._scored
        if not (isinstance(scored, slice) and scored.indices(steps) == (0, steps, 1)):
            spread = self._steps("spread", self._shape, self._hs_dtype)
            spread[...] = 0.0
            if isinstance(scored, slice) or (np.diff(scored) > 0).all():
                spread[scored] = dhs
            else:
                np.add.at(spread, scored, dhs)
            dhs = spread
        return dhs

    def finish_backward(self) -> Array:
        """The last part, once the layers have their gradients: what is tied is added up, what is frozen has none."""
        grads = self.parameters.grads
        if self.tied:
            grads["embedding.W"] += self.output.grads[0].mT
        self.hold()
        return self.parameters.gradient

    def hold(self) -> None:
        """Leave no gradient where nothing is trained: in frozen parameters, and in zeros that stay."""
        grads, values = self.parameters.grads, self.parameters.values
        for name in self.design.frozen:
            grads[name][...] = 0.0
        for name in self.design.keep_zeros:
            grads[name] *= values[name] != 0


def amount(size: int, kind: str) -> str:
    """``7 tokens``, ``1 value``."""
    return f"{size} {kind if size != 1 else kind.removesuffix('s')}"


def recurrent_names(num_layers: int) -> list[str]:
    """Names of the recurrent layers, the lowest first."""
    return ["recurrent"] if num_layers == 1 else [f"recurrent.{layer}" for layer in range(1, num_layers + 1)]
