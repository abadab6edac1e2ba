"""The same networks as a PyTorch user writes them, and what it takes to hold ours against them."""

from dataclasses import dataclass

import numpy as np
import pytest

from rnnexp.layers import CRITERIA, Network, Parameters, TimeGRU, TimeLSTM, TimeRNN, build_network, to_state_dict

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

RTOL, ATOL = 1e-10, 1e-12


@dataclass(frozen=True)
class Sizes:
    """T, N, D, H, O, and the tokens or values that come in."""

    steps: int = 6
    batch: int = 3
    features: int = 4
    hidden: int = 5
    outputs: int = 3
    inputs: int = 7


@dataclass(frozen=True)
class Cell:
    """A cell of ours and the module that it is to agree with."""

    ours: type
    module: type
    one_step: type
    activation: str = "tanh"

    @property
    def has_c(self):
        return self.ours is TimeLSTM

    @property
    def module_options(self):
        return {"nonlinearity": self.activation} if self.ours is TimeRNN else {}


CELLS = {
    "rnn": Cell(TimeRNN, torch.nn.RNN, torch.nn.RNNCell),
    "relu": Cell(TimeRNN, torch.nn.RNN, torch.nn.RNNCell, "relu"),
    "gru": Cell(TimeGRU, torch.nn.GRU, torch.nn.GRUCell),
    "lstm": Cell(TimeLSTM, torch.nn.LSTM, torch.nn.LSTMCell),
}
#: What comes in: tokens through a table or as one-hot vectors, values through a linear map or as they are.
KINDS = ("embedding", "one-hot", "linear", "raw")

every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
every_kind = pytest.mark.parametrize("kind", KINDS)
every_depth = pytest.mark.parametrize("layers", [1, 2, 3])


class Twin(torch.nn.Module):
    """Input map, recurrent layers, output layer; the modules have the names that `to_state_dict` gives them."""

    def __init__(self, cell, kind, sizes, *, layers=1, learned=False, tie=False):
        super().__init__()
        self.kind, self.inputs = kind, sizes.inputs
        if kind == "embedding":
            self.embedding = torch.nn.Embedding(sizes.inputs, sizes.features)
        elif kind == "linear":
            self.embedding = torch.nn.Linear(sizes.inputs, sizes.features, bias=False)
        features = sizes.features if kind in ("embedding", "linear") else sizes.inputs
        self.rnn = cell.module(features, sizes.hidden, num_layers=layers, **cell.module_options)
        self.output = torch.nn.Linear(sizes.hidden, sizes.outputs)
        if tie:
            self.output.weight = self.embedding.weight
        if learned:
            self.h0 = torch.nn.Parameter(torch.randn(layers, 1, sizes.hidden))
        if learned and cell.has_c:
            self.c0 = torch.nn.Parameter(torch.randn(layers, 1, sizes.hidden))
        self.double()

    def forward(self, inputs, state=None):
        """Outputs (T, N, O), and the final states, a tuple of one or two, each (layers, N, H)."""
        if state is None and hasattr(self, "h0"):
            starts = (self.h0, self.c0) if hasattr(self, "c0") else (self.h0,)
            state = tuple(start.expand(-1, inputs.shape[1], -1).contiguous() for start in starts)
        if state is not None and len(state) == 1:
            state = state[0]
        hs, last = self.rnn(self.features(inputs), state)
        return self.output(hs), last if isinstance(last, tuple) else (last,)

    def features(self, inputs):
        """What the recurrent layer is given."""
        if self.kind == "one-hot":
            return torch.nn.functional.one_hot(inputs, self.inputs).double()
        return self.embedding(inputs) if hasattr(self, "embedding") else inputs


def draw(cell, kind, sizes=None, *, layers=1, learned=False, tie=False, seed=0, dtype=np.float64):
    """A network of ours with every number drawn, biases and starts too, and its twin with the same ones."""
    sizes, rng = sizes or Sizes(), np.random.default_rng(seed)
    network = build_network(
        hidden_size=sizes.hidden,
        output_size=sizes.outputs,
        input_size=sizes.inputs,
        input_kind="tokens" if kind in ("embedding", "one-hot") else "values",
        embedding_dim=sizes.features if kind in ("embedding", "linear") else None,
        cell=cell.ours,
        cell_options={"activation": cell.activation},
        num_layers=layers,
        learn_initial_state=learned,
        tie=tie,
        rng=rng,
        dtype=dtype,
    )
    vector = network.parameters.vector
    vector += (0.3 * rng.standard_normal(vector.shape)).astype(dtype)
    if cell.activation == "relu":  # neither dead nor growing without bound
        vector *= 0.5
        for name, value in network.parameters.values.items():
            value += 0.4 * name.startswith("recurrent") * name.endswith(".b")
    torch.manual_seed(seed)
    twin = Twin(cell, kind, sizes, layers=layers, learned=learned, tie=tie)
    load(twin, network)
    return network, twin


def load(twin, network):
    """Our numbers into the twin."""
    state = {name: torch.from_numpy(array) for name, array in to_state_dict(network).items()}
    twin.load_state_dict(state, strict=True)


def arrays_of(tensors):
    """A state_dict in NumPy."""
    return {name: tensor.detach().numpy() for name, tensor in tensors.items()}


def draw_inputs(kind, sizes, rng, steps=None):
    shape = (sizes.steps if steps is None else steps, sizes.batch)
    if kind in ("embedding", "one-hot"):
        return rng.integers(sizes.inputs, size=shape)
    return rng.standard_normal((*shape, sizes.inputs))


def draw_targets(loss, sizes, rng, steps=None):
    shape = (sizes.steps if steps is None else steps, sizes.batch)
    if loss == "classes":
        return rng.integers(sizes.outputs, size=shape)
    return rng.standard_normal((*shape, sizes.outputs))


def torch_loss(outputs, targets, mask=None):
    """The mean over the scored steps, as PyTorch computes it."""
    targets = torch.from_numpy(targets)
    if mask is not None:
        outputs, targets = outputs[torch.from_numpy(mask)], targets[torch.from_numpy(mask)]
    if targets.dtype == torch.int64:
        return torch.nn.functional.cross_entropy(outputs.reshape(-1, outputs.shape[-1]), targets.reshape(-1))
    return torch.nn.functional.mse_loss(outputs, targets)


def our_step(network, inputs, targets, mask=None, *, norms=False):
    """Outputs, loss and gradient of a window."""
    criterion = CRITERIA["classes" if targets.dtype.kind == "i" else "values"]()
    outputs = network.forward(inputs).copy()
    loss = float(criterion.forward(outputs, targets, mask))
    return outputs, loss, network.backward(criterion.backward(), norms=norms).copy()


def their_step(twin, inputs, targets, mask=None, state=None):
    """Outputs, loss and final states; the gradients stay in the twin's parameters."""
    twin.zero_grad()
    outputs, last = twin(torch.from_numpy(inputs), state)
    loss = torch_loss(outputs, targets, mask)
    loss.backward()
    return outputs.detach().numpy(), loss.item(), [part.detach().numpy() for part in last]


def as_state_dict(network, vector):
    """Any vector of the parameters' kind, such as a gradient, as `to_state_dict` lays parameters out."""
    parameters = Parameters(network.parameters.shapes, dtype=vector.dtype, vector=vector)
    return to_state_dict(Network(parameters, network.design))


def gradient_dict(network, gradient):
    """Our gradient as PyTorch has it: the second bias is as good as the first, but for a GRU's candidate."""
    state, hidden = as_state_dict(network, gradient), network.recurrent.layers[0].hidden_size
    for name in [name for name in state if ".bias_hh_" in name]:
        second = state[name.replace("_hh_", "_ih_")].copy()
        if network.design.cell is TimeGRU:
            second[-hidden:] = state[name][-hidden:]
        state[name] = second
    return state


def same_gradients(network, gradient, twin, *, zero=()):
    """Every gradient agrees, and none is all zero but those of a name in `zero`."""
    ours = gradient_dict(network, gradient)
    theirs = {name: value.grad for name, value in twin.named_parameters()}
    if network.tied:
        del ours["output.weight"]  # the same parameter as embedding.weight
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        agree(ours[name], tensor.numpy(), name, zero=any(part in name for part in zero))


def agree(actual, expected, what="", *, zero=False, rtol=RTOL):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, what
    scale = np.abs(expected).max()
    assert scale > 0 or zero, f"{what} is all zero: this comparison would prove nothing"
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=ATOL * scale, err_msg=what)


def without_second_biases(twin):
    """Take the gradients of what only PyTorch has, so that an update moves the sum of the two biases once."""
    for name, value in twin.named_parameters():
        if "bias_hh" in name:
            stop = -twin.rnn.hidden_size if isinstance(twin.rnn, torch.nn.GRU) else None
            value.grad[:stop] = 0.0
