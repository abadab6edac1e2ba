"""The recurrent layers that the contract is checked on, each with its formulas written out once more, independently."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from rnnexp.layers import ACTIVATIONS, Recurrent, Stack, TimeGRU, TimeLeaky, TimeLSTM, TimeRNN
from rnnexp.layers.base import one_step_sum

D, H = 2, 3
LEAK = 0.3
STEP = 1e-20


def steps_back(layer, dstates):
    """`step_back` at all steps of the last window at once, with nothing passed on: dxs, earlier, grads of `params`."""
    xs, before = layer.layers[0]._xs, layer.state_before(slice(None, -1))
    dxs, earlier, grads = layer.step_back(xs, before, dstates)
    own, starts, found = iter(grads), iter(earlier), []
    for one in layer.layers:
        found += [one_step_sum(next(own), param) for param in one.own_params]
        reached = [next(starts)[0].sum(axis=-2) * one.from_start for _ in one.state_names]
        found += reached[: len(one.initial_states)]
    return dxs, earlier, found


class Leaky(Recurrent):
    """As a user writes one: nothing but the parameters and one step, forward and back."""

    @staticmethod
    def parameter_shapes(input_size, hidden_size):
        return {"Wx": (input_size, hidden_size), "Wh": (hidden_size, hidden_size), "b": (hidden_size,)}

    def _candidate(self, x, h):
        Wx, Wh, b = self.params[:3]
        return np.tanh(x @ Wx + h @ Wh + b[..., np.newaxis, :])

    def step(self, x, state):
        (h,) = state
        return ((1 - LEAK) * h + LEAK * self._candidate(x, h),)

    def step_back(self, x, state, dstate):
        (h,), (dh,) = state, dstate
        Wx, Wh, b = self.params[:3]
        dpre = LEAK * dh * (1 - self._candidate(x, h) ** 2)
        grads = [x.swapaxes(-1, -2) @ dpre, h.swapaxes(-1, -2) @ dpre, dpre.sum(axis=-2)]
        grads = [
            grad.sum(axis=tuple(range(grad.ndim - like.ndim))) for grad, like in zip(grads, (Wx, Wh, b), strict=True)
        ]
        return dpre @ Wx.swapaxes(-1, -2), ((1 - LEAK) * dh + dpre @ Wh.swapaxes(-1, -2),), grads


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


PHI = {
    "tanh": np.tanh,
    "relu": lambda x: np.where(np.real(x) > 0, x, 0),
    "identity": lambda x: x,
    "sigmoid": sigmoid,
}


# Formulas of one step without copies: p by name, `added` is what disturbs each state where it is computed.


def rnn_formula(activation):
    def formula(p, x, state, added):
        return (PHI[activation](x @ p["Wx"] + state[0] @ p["Wh"] + p["b"]) + added[0],)

    return formula


def leaky_formula(p, x, state, added):
    return ((1 - LEAK) * state[0] + LEAK * np.tanh(x @ p["Wx"] + state[0] @ p["Wh"] + p["b"]) + added[0],)


def gru_gates(p, x, state):
    (h,) = state
    r, z = (sigmoid(x @ p["Wx"][gate] + h @ p["Wh"][gate] + p["b"][gate]) for gate in (0, 1))
    n = np.tanh(x @ p["Wx"][2] + p["b"][2] + r * (h @ p["Wh"][2] + p["bn"]))
    return {"reset": r, "update": z, "candidate": n}


def gru_formula(p, x, state, added):
    _, z, n = gru_gates(p, x, state).values()
    return ((1 - z) * n + z * state[0] + added[0],)


def lstm_gates(p, x, state):
    pre = [x @ p["Wx"][gate] + state[0] @ p["Wh"][gate] + p["b"][gate] for gate in range(4)]
    o, i, f = map(sigmoid, pre[:3])
    return {"output": o, "input": i, "forget": f, "candidate": np.tanh(pre[3])}


def lstm_formula(p, x, state, added):
    o, i, f, g = lstm_gates(p, x, state).values()
    c = f * state[1] + i * g + added[1]
    return o * np.tanh(c) + added[0], c


def generic(cell):
    """The same cell with the loops that it would have if it gave nothing but its step."""
    loops = {"_forward": Recurrent._forward, "_backward": Recurrent._backward}
    return type(f"Generic{cell.__name__}", (cell,), loops)


@dataclass(frozen=True)
class Case:
    """A layer, or a stack of equal ones, and its formula. Parameters are called 1.Wx, ..., 2.Wx, ..."""

    cell: type[Recurrent]
    formula: Callable[..., tuple[Any, ...]]
    options: Mapping[str, Any] = field(default_factory=dict)
    layers: int = 1
    gates: Callable[..., dict[str, Any]] | None = None

    @property
    def states(self):
        return len(self.cell.state_names) * self.layers

    def draw(self, rng, *, copies=(), dtype=np.float64, sizes=(D, H), scale=0.6, learned=False):
        """Parameters of all layers by name, the learned initial states of each last."""
        arrays, (features, hidden) = {}, sizes
        for layer in range(1, self.layers + 1):
            shapes = self.cell.parameter_shapes(features, hidden)
            if learned:
                shapes = shapes | {f"{name}0": (hidden,) for name in self.cell.state_names}
            for name, shape in shapes.items():
                array = scale * rng.standard_normal((*copies, *shape)) + 0.5 * (name == "b")  # a relu needs some on
                arrays[f"{layer}.{name}"] = array.astype(dtype)
            features = hidden
        return arrays

    def make(self, arrays, *, stateful=True, batch_first=False, reuse=False, cell=None):
        """The layer on these very arrays."""
        cell, layers = cell or self.cell, []
        whole = {"batch_first": batch_first, "reuse": reuse}
        for layer in range(1, self.layers + 1):
            own = part(arrays, layer)
            starts = {name: own.pop(name) for name in list(own) if name in ("h0", "c0")}
            options = {**self.options, **starts, "stateful": stateful, **(whole if self.layers == 1 else {})}
            user = cell.__init__ is Recurrent.__init__
            given = (list(own.values()),) if user else own.values()
            layers.append(cell(*given, **options, **({"hidden_size": own["Wh"].shape[-1]} if user else {})))
        return layers[0] if self.layers == 1 else Stack(layers, **whole)

    def start(self, rng, batch, *, copies=(), dtype=np.float64, hidden=H):
        """A random state of all layers."""
        return tuple(rng.standard_normal((*copies, batch, hidden)).astype(dtype) for _ in range(self.states))

    def learned_start(self, arrays, batch):
        """The learned initial states of all layers, one row for each sequence."""
        starts = [array for name, array in arrays.items() if name[-2:] in ("h0", "c0")]
        return tuple(np.stack([start] * batch) for start in starts)

    def one_step(self, arrays, x, state, added=None):
        """The formulas of all layers, the next one fed with the h of the one below."""
        added, new, each = added if added is not None else [0.0] * self.states, [], len(self.cell.state_names)
        for layer in range(self.layers):
            own = slice(layer * each, (layer + 1) * each)
            new += self.formula(part(arrays, layer + 1), x, state[own], added[own])
            x = new[-each]
        return tuple(new)

    def run(self, arrays, xs, start, *, added=None, step_weights=None):
        """States before the first step and after each; `step_weights` scales what each hands back.

        The imaginary part is the derivative on its way, so it is what `step_weights` scales.
        """
        added = np.zeros((len(xs) + 1, self.states, 1, 1)) if added is None else added
        states = [tuple(before + more for before, more in zip(start, added[0], strict=True))]
        for t, x in enumerate(xs):
            state = states[t]
            if step_weights is not None:
                state = tuple(before.real + 1j * step_weights[t] * before.imag for before in state)
            states.append(self.one_step(arrays, x, state, added[t + 1]))
        return states

    def outputs(self, states):
        """The top layer's h after each step, (T, N, H)."""
        return np.stack([state[-len(self.cell.state_names)] for state in states[1:]])


def part(arrays, layer):
    """One layer's arrays, by their own names."""
    return {name.partition(".")[2]: array for name, array in arrays.items() if name.startswith(f"{layer}.")}


def descend(*layers, rate=0.1):
    for layer in layers:
        for param, grad in zip(layer.params, layer.grads, strict=True):
            param -= np.asarray(rate, param.dtype) * grad


def run_windows(case, layer, arrays, rng, windows=((4, 3), (2, 2))):
    """Windows on one object, its parameters changed in between: xs, dhs and the states of the written formulas."""
    for steps, batch in windows:
        xs, dhs = rng.standard_normal((steps, batch, D)), rng.standard_normal((steps, batch, H))
        start = case.start(rng, batch)
        layer.set_state(*start)
        layer.forward(xs)
        layer.backward(dhs, norms=True)
        yield xs, dhs, case.run(arrays, xs, start)
        descend(layer)


CASES = {name: Case(TimeRNN, rnn_formula(name), {"activation": name}) for name in ACTIVATIONS}
CASES |= {
    "leaky": Case(Leaky, leaky_formula),
    "leaky cell": Case(TimeLeaky, leaky_formula, {"leak": LEAK}),
    "two leaky": Case(TimeLeaky, leaky_formula, {"leak": LEAK}, layers=2),
    "gru": Case(TimeGRU, gru_formula, gates=gru_gates),
    "lstm": Case(TimeLSTM, lstm_formula, gates=lstm_gates),
    "two rnn": Case(TimeRNN, rnn_formula("tanh"), layers=2),
    "two gru": Case(TimeGRU, gru_formula, layers=2, gates=gru_gates),
    "two lstm": Case(TimeLSTM, lstm_formula, layers=2, gates=lstm_gates),
}

every_layer = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
DTYPES = {"float32": np.float32, "float64": np.float64}
both_dtypes = pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
