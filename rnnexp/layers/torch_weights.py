"""Weights in PyTorch's layout: a network's numbers under the names of a ``state_dict``, from and to a file.

The module that such a dictionary belongs to has an embedding (or, for real-valued input, a linear map without bias),
an ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM``, and a linear output layer. PyTorch keeps its matrices (fan_out, fan_in), all
gates of a layer in one, and a second bias. Where the second bias only adds to the first, it is written as zero and
read as a sum; in a GRU that of the candidate is our ``bn``. With a shortcut the output layer's input is the state and,
behind it, the input of the step, one-hot for tokens. PyTorch itself is not needed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..checks import InvalidValue, UserError, one_of
from ..npz import DIGEST, TEXT, check_file, read_arrays
from .base import Array
from .gru import TimeGRU
from .lstm import TimeLSTM
from .network import Network, recurrent_names
from .rnn import TimeRNN

#: Our gates in PyTorch's order: i, f, g, o of our o, i, f, g; r, z, n are the same.
ORDER = {TimeLSTM: (1, 2, 3, 0), TimeGRU: (0, 1, 2), TimeRNN: None}
NAMES = {"embedding": "embedding", "recurrent": "rnn", "output": "output"}


def to_state_dict(network: Network, *, names: Mapping[str, str] | None = None) -> dict[str, Array]:
    """The network's parameters as PyTorch keeps them.

    Parameters
    ----------
    network : Network
        A single one, of `TimeRNN`, `TimeGRU` or `TimeLSTM` layers.
    names : mapping, optional
        What the modules are called, ``{"embedding": ..., "recurrent": ..., "output": ...}``, where it is not
        ``embedding``, ``rnn`` and ``output``.

    Returns
    -------
    dict of str to array
        Learned initial states are ``h0`` and ``c0`` (num_layers, 1, H), as ``nn.LSTM`` takes them.
    """
    called = _called(names)
    values, order = network.parameters.values, _order(network)
    state: dict[str, Array] = {}
    if "embedding.W" in values:
        table = values["embedding.W"]
        state[_key(called["embedding"], "weight")] = table if network.design.input_kind == "tokens" else table.T
    starts: dict[str, list[Array]] = {}
    for layer, name in enumerate(recurrent_names(network.design.num_layers)):
        for ours, theirs in (("Wx", "weight_ih"), ("Wh", "weight_hh")):
            weight = _joined(values[f"{name}.{ours}"].swapaxes(-1, -2), order)
            state[_key(called["recurrent"], f"{theirs}_l{layer}")] = weight
        bias = _joined(values[f"{name}.b"], order)
        second = np.zeros_like(bias)
        if f"{name}.bn" in values:
            second[-network.recurrent.layers[0].hidden_size :] = values[f"{name}.bn"]
        state[_key(called["recurrent"], f"bias_ih_l{layer}")] = bias
        state[_key(called["recurrent"], f"bias_hh_l{layer}")] = second
        for start in ("h0", "c0"):
            if f"{name}.{start}" in values:
                starts.setdefault(start, []).append(values[f"{name}.{start}"])
    output = values["embedding.W"] if network.tied else values["output.W"].T
    if network.shortcut is not None:
        output = np.concatenate([output, values["output.Wx"].T], axis=1)
    state[_key(called["output"], "weight")], state[_key(called["output"], "bias")] = output, values["output.b"]
    state.update({start: np.stack(rows)[:, np.newaxis] for start, rows in starts.items()})
    return {key: np.array(array) for key, array in state.items()}


def from_state_dict(
    network: Network, state: Mapping[str, ArrayLike], *, names: Mapping[str, str] | None = None
) -> None:
    """Write the parameters that PyTorch keeps in `state` into the network, in its own dtype.

    Parameters
    ----------
    network, names
        As for `to_state_dict`.
    state : mapping of str to array
        Nothing may be missing, left over or of another shape; without `names`, the modules are told apart by what they
        hold, whatever they are called.

    Raises
    ------
    UserError
        Naming the first array that does not fit; the network is then unchanged.
    """
    called = _called(names, _found_names(state))
    expected = to_state_dict(network, names=called)
    table, output = (_key(called[module], "weight") for module in ("embedding", "output"))
    either = {table: output, output: table} if network.tied else {}
    given: dict[str, Array] = {}
    for key, array in expected.items():
        found = key if key in state else either.get(key, key)
        if found not in state:
            raise UserError(f"the weights have no '{key}'", f"they have {', '.join(sorted(state)) or 'nothing'}")
        given[key] = _numbers(found, state[found], array)
    if left := sorted(set(state) - set(expected)):
        raise UserError(f"the weights also have '{left[0]}', for which this network has no place")
    if network.tied and not np.array_equal(given[table], given[output]):
        raise UserError("embedding and output weights differ, but this network ties them", "build it with tie=False")
    values, order = network.parameters.values, _order(network)
    if "embedding.W" in values:
        values["embedding.W"][...] = given[table] if network.design.input_kind == "tokens" else given[table].T
    for layer, name in enumerate(recurrent_names(network.design.num_layers)):
        part = {
            key: given[_key(called["recurrent"], f"{key}_l{layer}")]
            for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }
        for ours, theirs in (("Wx", "weight_ih"), ("Wh", "weight_hh")):
            values[f"{name}.{ours}"][...] = _parted(part[theirs], order).swapaxes(-1, -2)
        if f"{name}.bn" in values:
            hidden = network.recurrent.layers[0].hidden_size
            values[f"{name}.bn"][...] = part["bias_hh"][-hidden:]
            part["bias_hh"][-hidden:] = 0.0
        values[f"{name}.b"][...] = _parted(part["bias_ih"] + part["bias_hh"], order)
        for start in ("h0", "c0"):
            if f"{name}.{start}" in values:
                values[f"{name}.{start}"][...] = given[start][layer, 0]
    if not network.tied:
        units = len(values["output.W"])
        values["output.W"][...] = given[output][:, :units].T
        if network.shortcut is not None:
            values["output.Wx"][...] = given[output][:, units:].T
    values["output.b"][...] = given[_key(called["output"], "bias")]


def save_weights(network: Network, path: str | Path, *, names: Mapping[str, str] | None = None) -> None:
    """Write a network's parameters as PyTorch keeps them, to a file ``.npz`` or ``.safetensors``."""
    state = {key: np.ascontiguousarray(array) for key, array in to_state_dict(network, names=names).items()}
    if _kind(path) == ".npz":
        np.savez(path, **state)  # type: ignore[arg-type]
    else:
        _safetensors().save_file(state, path)


def load_weights(network: Network, path: str | Path, *, names: Mapping[str, str] | None = None) -> None:
    """Read a network's parameters from a ``state_dict`` saved as ``.npz`` or ``.safetensors``; nothing is unpickled.

    Raises
    ------
    UserError
        If the file can't be read, or does not fit the network, which is then unchanged.
    """
    kind = _kind(path)
    try:
        if kind == ".npz":
            state = read_arrays(Path(path))
        else:
            reader = _safetensors()
            check_file(Path(path))
            state = reader.load_file(path)
    except UserError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} can't be read as {kind[1:]} weights: {reason}") from None
    if {TEXT, DIGEST} <= state.keys():
        hint = f"rnnexp.load({str(path)!r}).network is its network; save_weights writes that one's weights"
        raise UserError(f"{path} is the checkpoint of a run, not a state_dict", hint)
    from_state_dict(network, state, names=names)


def _order(network: Network) -> tuple[int, ...] | None:
    if network.parameters.copies or network.design.cell not in ORDER:
        raise UserError(
            "only a single network of TimeRNN, TimeGRU or TimeLSTM layers has a counterpart in PyTorch",
            "network.parameters.values has the weights of any network as arrays, by name",
        )
    return ORDER[network.design.cell]


def _joined(array: Array, order: tuple[int, ...] | None) -> Array:
    """Gates (G, H, ...) one after the other in PyTorch's order, (G * H, ...)."""
    return array if order is None else np.concatenate([array[gate] for gate in order])


def _parted(array: Array, order: tuple[int, ...] | None) -> Array:
    """The reverse."""
    if order is None:
        return array
    parts = np.split(array, len(order))
    return np.stack([parts[order.index(gate)] for gate in range(len(order))])


def _numbers(key: str, array: ArrayLike, like: Array) -> Array:
    """A copy of `array` in the shape and dtype of `like`; UserError if it is not made of such numbers."""
    try:
        numbers = np.asarray(array)
    except Exception as error:  # ragged lists, tensors that keep a graph or have a type that NumPy lacks
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"'{key}' can't be read as an array: {reason}", "give tensors as .detach().numpy()") from None
    if numbers.dtype.kind not in "fiu":
        raise UserError(f"'{key}' must be numbers, got {numbers.dtype}")
    if numbers.shape != like.shape:
        raise UserError(
            f"'{key}' must have shape {like.shape} for this network, got {numbers.shape}",
            "build the network with the sizes that the weights were trained with",
        )
    with np.errstate(over="ignore"):
        # A sum of two arrays of a wider type would be rounded once where PyTorch rounds twice: no matter.
        cast = numbers.astype(np.result_type(numbers.dtype, like.dtype))
        if not np.array_equal(np.isfinite(cast), np.isfinite(cast.astype(like.dtype))):
            raise UserError(f"'{key}' holds numbers too large for {like.dtype}", "build the network with dtype=float64")
    return cast


def _called(names: Mapping[str, str] | None, found: Mapping[str, str] | None = None) -> dict[str, str]:
    """The modules' names: as told, else as found, else the usual ones."""
    for module in names or {}:
        one_of("names", module, list(NAMES))
    called = {**NAMES, **(found or {}), **(names or {})}
    if called["embedding"] == called["output"]:
        raise InvalidValue("names", called["output"], "another name for each module", "embedding and output share it")
    return called


def _key(module: str, name: str) -> str:
    """The name of an array in a state_dict; a module that was saved by itself has none."""
    return f"{module}.{name}" if module else name


def _found_names(state: Mapping[str, ArrayLike]) -> dict[str, str]:
    """What the modules are called that have no usual name, by what they hold: the output has a bias, or comes last."""
    held: dict[str, set[str]] = {}
    for key in state:
        module, _, name = key.rpartition(".")
        held.setdefault(module, set()).add(name)
    ends = [module for module in held if held[module] & {"weight", "bias"} and module not in NAMES.values()]
    with_bias = [module for module in ends if "bias" in held[module]]
    found = {}
    for module in held:
        if "weight_ih_l0" in held[module]:
            found["recurrent"] = module
    if NAMES["output"] not in held and (with_bias or len(ends) > 1 or NAMES["embedding"] in held):
        found.update(zip(["output"], reversed(with_bias or ends), strict=False))
    for module in ends:
        if NAMES["embedding"] not in held and module != found.get("output"):
            found["embedding"] = module
    return found


def _kind(path: str | Path) -> str:
    kind = Path(path).suffix
    if kind not in (".npz", ".safetensors"):
        raise InvalidValue("path", str(path), "the name of a file .npz or .safetensors")
    return kind


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise UserError(
            "files .safetensors need the package safetensors", "pip install safetensors, or use .npz"
        ) from None
    return safetensors.numpy
