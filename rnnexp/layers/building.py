"""From sizes, or a task, to a network with freshly drawn weights."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import DTypeLike

from ..checks import InvalidValue, check_known, check_rng, integer, nearest, one_of
from ..components import known_arguments
from .base import Array
from .fit import TaskSizes, check_sizes
from .gru import TimeGRU
from .init import Glorot, Initializer, Normal, Orthogonal, Values
from .leaky import TimeLeaky
from .lstm import TimeLSTM
from .network import INPUT_KINDS, Design, Network, recurrent_names
from .parameters import Parameters
from .recurrent import Recurrent
from .rnn import TimeRNN

#: The cells by their names in the group `cell`.
CELLS: dict[str, type[Recurrent]] = {"rnn": TimeRNN, "gru": TimeGRU, "lstm": TimeLSTM, "leaky": TimeLeaky}


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


@known_arguments
def build_network(
    task: TaskSizes | None = None,
    *,
    hidden_size: int,
    rng: Generator | Sequence[Generator],
    embedding_dim: int | None = None,
    input_kind: str | None = None,
    input_size: int | None = None,
    output_size: int | None = None,
    cell: str | type[Recurrent] = TimeRNN,
    cell_options: Mapping[str, Any] | None = None,
    num_layers: int = 1,
    learn_initial_state: bool = False,
    tie: bool = False,
    shortcut: bool = False,
    freeze: str | Sequence[str] = (),
    keep_zeros: str | Sequence[str] = (),
    init: Initializers | None = None,
    dtype: DTypeLike = np.float32,
) -> Network:
    """A network with freshly drawn weights.

    Parameters
    ----------
    task : Task, optional
        Gives the kind and size of the input and the size of the output.
    hidden_size : int
        H, >= 1.
    rng : numpy Generator, or a sequence of them
        Draws the weights, in float64 whatever the dtype. A sequence makes one network a generator, stacked along a
        leading axis, each identical to the one made alone.
    embedding_dim : int, optional
        Size of the embedding; without one, one-hot or raw input goes straight into the cell.
    input_kind : {"tokens", "values"}, optional
        The task's, or tokens.
    input_size : int, optional
        V tokens, or D_in values per step: the task's, or `output_size`.
    output_size : int, optional
        O: the task's; must be given without a task.
    cell : str, or class
        ``"rnn"``, ``"gru"``, ``"lstm"``, ``"leaky"``, or a `Recurrent`: a layer over a window, such as `TimeRNN`, not
        the one step `RNN`.
    cell_options : mapping, optional
        Further keyword arguments for the cell: ``{"activation": "relu"}``.
    num_layers : int
        Recurrent layers, one on top of the other, >= 1.
    learn_initial_state : bool
        Train the state before the first step; it is zero otherwise.
    tie : bool
        Weight tying: one matrix for embedding and output, for tokens with ``output_size == input_size`` and
        ``embedding_dim == hidden_size`` (Press & Wolf 2017; Inan, Khosravi & Socher 2017).
    shortcut : bool
        The output layer also sees the input of its step, before any embedding: y_t = h_t W + x_t Wx + b, with x_t
        one-hot for tokens. `output.Wx` is drawn as the output weights are.
    freeze : str, or sequence of str
        Parameters, or layers with all of theirs, that are not trained: ``"recurrent.Wh"``, ``"embedding"``.
    keep_zeros : str, or sequence of str
        Parameters, or layers, whose weights that are drawn as zero stay zero, as of a sparse initialiser:
        ``"recurrent.Wh"``.
    init : Initializers
    dtype : float32 or float64

    Raises
    ------
    InvalidValue
        If a size is not a whole number >= 1 or not the task's, the sizes can't be tied or are with a shortcut, there is
        no such cell, `rng` is no Generator, or there is nothing of a name to freeze.
    UserError
        If the cell has no such option.
    """
    generators: list[Any] = list(rng) if isinstance(rng, list | tuple) else [rng]
    for generator in generators:
        check_rng(generator)
    hidden_size = integer("hidden_size", hidden_size, at_least=1)
    input_kind, input_size, output_size = _sizes(task, input_kind, input_size, output_size)
    num_layers = integer("num_layers", num_layers, at_least=1)
    cell = find_cell(cell)
    check_known("cell_options", dict(cell_options or {}), cell_settings(cell))
    init = init or Initializers()
    shapes: dict[str, tuple[int, ...]] = {}
    draws: dict[str, Initializer] = {"output.W": init.output, "output.Wx": init.output, "embedding.W": init.embedding}
    features = input_size
    if embedding_dim is not None:
        features = integer("embedding_dim", embedding_dim, at_least=1)
        shapes["embedding.W"] = (input_size, features)
    if tie:
        _check_tie(embedding_dim, hidden_size, input_kind, input_size, output_size)
        if shortcut:
            raise InvalidValue("shortcut", True, "false with tie=true", "or give tie=false")
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
    if shortcut:  # last, so that all others are drawn as they are without one
        shapes["output.Wx"] = (input_size, output_size)

    copies = () if isinstance(rng, Generator) else (len(generators),)
    parameters = Parameters(shapes, copies=copies, dtype=dtype)
    names = list(shapes)
    fixed = {"frozen": frozen_names(freeze, names), "keep_zeros": chosen_names("keep_zeros", keep_zeros, names)}
    design = Design(input_kind, input_size, cell, cell_options or {}, num_layers, **fixed)
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


def _sizes(task: Any, kind: str | None, inputs: int | None, outputs: int | None) -> tuple[str, int, int]:
    """Kind and size of the input, size of the output: the task's, or as given."""
    if task is not None:
        check_sizes(task)
        for key, given in (("input_kind", kind), ("input_size", inputs), ("output_size", outputs)):
            if given not in (None, getattr(task, key)):
                allowed = f"{getattr(task, key)} for the task {type(task).__name__}"
                raise InvalidValue(key, given, allowed, "leave it out")
        return task.input_kind, task.input_size, task.output_size
    hint = "or give a task: build_network(task, hidden_size=10, rng=rng)"
    outputs = integer("output_size", outputs, at_least=1, hint=hint)
    inputs = integer("input_size", outputs if inputs is None else inputs, at_least=1)
    return one_of("input_kind", "tokens" if kind is None else kind, INPUT_KINDS), inputs, outputs


def find_cell(cell: Any) -> type[Recurrent]:
    """The class of a cell, given itself or its name in the group `cell`."""
    if isinstance(cell, str) and cell in CELLS:
        return CELLS[cell]
    if isinstance(cell, type) and issubclass(cell, Recurrent):
        return cell
    name = cell if isinstance(cell, str) else getattr(cell, "__name__", type(cell).__name__)
    hint = ""
    if isinstance(cell, str):
        hint = nearest(cell.lower().removeprefix("time"), CELLS)  # also for LSTM and TimeLSTM
    elif isinstance(cell, Recurrent):
        hint = f"the class, not an object of it: {name}"
    elif window := CELLS.get(name.lower()):
        hint = f"{name} is one step: a window of steps is {window.__name__}"
    raise InvalidValue("cell", name, f"one of {', '.join(CELLS)}, or a subclass of Recurrent", hint)


def cell_settings(cell: type[Recurrent]) -> list[str]:
    """The keyword arguments of a cell that are settings: those that a network passes itself are left out."""
    own = {*cell.parameter_shapes(1, 1), *(f"{state}0" for state in cell.state_names)}
    own |= {"stateful", "batch_first", "grads", "reuse"}
    named = [key for key, item in inspect.signature(cell).parameters.items() if item.kind is not item.VAR_KEYWORD]
    return [key for key in named if key not in own]


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
    """The parameters among `names` that are not trained; all of them are too many."""
    frozen = chosen_names("freeze", freeze, names)
    if len(frozen) == len(names):
        wanted = [freeze] if isinstance(freeze, str) else list(freeze)
        raise InvalidValue("freeze", ", ".join(wanted), "less than the whole network", "nothing would be trained")
    return frozen


def chosen_names(key: str, chosen: str | Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The parameters among `names` that are chosen by their own name or their layer's."""
    wanted = [chosen] if isinstance(chosen, str) else list(chosen)
    known = sorted({name.rpartition(".")[0] for name in names} | {name.partition(".")[0] for name in names})
    for entry in wanted:
        if entry not in names:
            one_of(key, entry, [*known, *names])
    return tuple(name for name in names if any(name == entry or name.startswith(f"{entry}.") for entry in wanted))
