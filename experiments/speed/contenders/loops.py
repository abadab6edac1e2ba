"""The notebook's way: a cell object for every time step, and every product step by step."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapes import LEARNING_RATE, Shape, data, joined

Array = NDArray[Any]


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


class RNN:
    """h = tanh(x Wx + h_prev Wh + b)."""

    def __init__(self, Wx: Array, Wh: Array, b: Array) -> None:
        self.params = [Wx, Wh, b]

    def forward(self, x: Array, h_prev: Array) -> tuple[Array]:
        """One step."""
        Wx, Wh, b = self.params
        h = np.tanh(x @ Wx + h_prev @ Wh + b)
        self.cache = (x, h_prev, h)
        return (h,)

    def backward(self, dh: Array) -> tuple[Array, tuple[Array], list[Array]]:
        """Gradients of the input, the earlier state and the parameters."""
        Wx, Wh, _ = self.params
        x, h_prev, h = self.cache
        dz = dh * (1 - h**2)
        return dz @ Wx.T, (dz @ Wh.T,), [x.T @ dz, h_prev.T @ dz, dz.sum(axis=0)]


class GRU:
    """r, z, n concatenated in one matrix."""

    def __init__(self, Wx: Array, Wh: Array, b: Array, bn: Array) -> None:
        self.params = [Wx, Wh, b, bn]

    def forward(self, x: Array, h_prev: Array) -> tuple[Array]:
        """One step."""
        Wx, Wh, b, bn = self.params
        H = h_prev.shape[1]
        inputs, hidden = x @ Wx + b, h_prev @ Wh
        r = sigmoid(inputs[:, :H] + hidden[:, :H])
        z = sigmoid(inputs[:, H : 2 * H] + hidden[:, H : 2 * H])
        reset = hidden[:, 2 * H :] + bn
        n = np.tanh(inputs[:, 2 * H :] + r * reset)
        self.cache = (x, h_prev, r, z, n, reset)
        return ((1 - z) * n + z * h_prev,)

    def backward(self, dh: Array) -> tuple[Array, tuple[Array], list[Array]]:
        """Gradients of the input, the earlier state and the parameters."""
        Wx, Wh, _, _ = self.params
        x, h_prev, r, z, n, reset = self.cache
        dn = dh * (1 - z) * (1 - n**2)
        dr = dn * reset * r * (1 - r)
        dz = dh * (h_prev - n) * z * (1 - z)
        dinputs, dhidden = np.hstack((dr, dz, dn)), np.hstack((dr, dz, dn * r))
        grads = [x.T @ dinputs, h_prev.T @ dhidden, dinputs.sum(axis=0), (dn * r).sum(axis=0)]
        return dinputs @ Wx.T, (dh * z + dhidden @ Wh.T,), grads


class LSTM:
    """o, i, f, g concatenated in one matrix."""

    def __init__(self, Wx: Array, Wh: Array, b: Array) -> None:
        self.params = [Wx, Wh, b]

    def forward(self, x: Array, h_prev: Array, c_prev: Array) -> tuple[Array, Array]:
        """One step."""
        Wx, Wh, b = self.params
        H = h_prev.shape[1]
        A = x @ Wx + h_prev @ Wh + b
        o, i, f = sigmoid(A[:, :H]), sigmoid(A[:, H : 2 * H]), sigmoid(A[:, 2 * H : 3 * H])
        g = np.tanh(A[:, 3 * H :])
        c = f * c_prev + i * g
        h = o * np.tanh(c)
        self.cache = (x, h_prev, c_prev, o, i, f, g, c)
        return h, c

    def backward(self, dh: Array, dc: Array) -> tuple[Array, tuple[Array, Array], list[Array]]:
        """Gradients of the input, the earlier states and the parameters."""
        Wx, Wh, _ = self.params
        x, h_prev, c_prev, o, i, f, g, c = self.cache
        squashed = np.tanh(c)
        ds = dc + dh * o * (1 - squashed**2)
        do = dh * squashed * o * (1 - o)
        di, df, dg = ds * g * i * (1 - i), ds * c_prev * f * (1 - f), ds * i * (1 - g**2)
        dA = np.hstack((do, di, df, dg))
        return dA @ Wx.T, (dA @ Wh.T, ds * f), [x.T @ dA, h_prev.T @ dA, dA.sum(axis=0)]


CELLS: dict[str, tuple[Any, int]] = {"rnn": (RNN, 1), "gru": (GRU, 1), "lstm": (LSTM, 2)}


def make(cell: str, shape: Shape, weights: dict[str, Array]) -> Callable[[], float]:
    """A step: forward, loss and backward, one time step after the other."""
    inputs, targets = data(shape)
    Cell, states = CELLS[cell]
    names = ["Wx", "Wh", "b"] + ["bn"] * (cell == "gru")
    recurrent = [weights[f"recurrent.{name}"] for name in names]
    if cell != "rnn":
        recurrent[:3] = [joined(array) for array in recurrent[:3]]
    table = weights["embedding.W"] if shape.tokens else None
    W, b = weights["output.W"], weights["output.b"]
    N, T, H = shape.N, shape.T, shape.H

    def step() -> float:
        state = tuple(np.zeros((N, H), np.float32) for _ in range(states))
        layers, hs, douts, loss = [], [], [], 0.0
        for t in range(T):
            x = inputs[t] if table is None else table[inputs[t]]
            layer = Cell(*recurrent)
            state = layer.forward(x, *state)
            h = state[0]
            y = h @ W + b
            if table is None:
                error = y - targets[t]
                loss += float((error**2).sum()) / (T * N)
                dy = 2 * error / (T * N)
            else:
                p = np.exp(y - y.max(axis=1, keepdims=True))
                p /= p.sum(axis=1, keepdims=True)
                loss -= float(np.log(p[np.arange(N), targets[t]]).sum()) / (T * N)
                p[np.arange(N), targets[t]] -= 1
                dy = p / (T * N)
            layers.append(layer)
            hs.append(h)
            douts.append(dy)

        dtable = None if table is None else np.zeros_like(table)
        dW, db, grads = np.zeros_like(W), np.zeros_like(b), [np.zeros_like(array) for array in recurrent]
        dstate = tuple(np.zeros((N, H), np.float32) for _ in range(states))
        for t in reversed(range(T)):
            dW += hs[t].T @ douts[t]
            db += douts[t].sum(axis=0)
            dh = douts[t] @ W.T + dstate[0]
            dx, dstate, own = layers[t].backward(dh, *dstate[1:])
            for grad, value in zip(grads, own, strict=True):
                grad += value
            if dtable is not None:
                np.add.at(dtable, inputs[t], dx)

        params, all_grads = [*recurrent, W, b], [*grads, dW, db]
        if table is not None and dtable is not None:
            params, all_grads = [*params, table], [*all_grads, dtable]
        for param, grad in zip(params, all_grads, strict=True):
            param -= LEARNING_RATE * grad
        return loss

    return step
