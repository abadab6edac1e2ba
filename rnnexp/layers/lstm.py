"""Long short-term memory: one step (`LSTM`) and a window of steps (`TimeLSTM`)."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import number
from .activations import sigmoid
from .base import as_parameter, check_shapes, one_step_sum, time_blocks, transposed
from .gates import (
    all_gates,
    gate_biases,
    gate_gradients,
    gate_inputs,
    half_for_sigmoids,
    input_gradient,
    only_tanh,
    per_gate,
)
from .recurrent import Recurrent, State

Array = NDArray[Any]


class LSTM:
    """One step, with the gates o (output), i (input), f (forget) and the candidate g.

    ::

        o, i, f = sigmoid(x Wx + h_prev Wh + b), each with its own matrices
        g = tanh(x Wx_g + h_prev Wh_g + b_g)
        c = f * c_prev + i * g
        h = o * tanh(c)

    Hochreiter & Schmidhuber 1997 with the forget gate of Gers, Schmidhuber & Cummins 2000; no peepholes.

    Parameters
    ----------
    Wx : array (..., 4, D, H)
        One matrix each for o, i, f, g, in this order.
    Wh : array (..., 4, H, H)
    b : array (..., 4, H)

    Attributes
    ----------
    params, grads : lists of three arrays
        ``[Wx, Wh, b]`` and their gradients, which `backward` overwrites.
    """

    def __init__(self, Wx: ArrayLike, Wh: ArrayLike, b: ArrayLike) -> None:
        self.params = [as_parameter(array) for array in (Wx, Wh, b)]
        self.grads = [np.zeros_like(array) for array in self.params]
        self.cache: tuple[Array, ...] = ()
        _check(self.params)

    def forward(self, x: ArrayLike, h_prev: ArrayLike, c_prev: ArrayLike) -> tuple[Array, Array]:
        """X (..., N, D), h_prev and c_prev (..., N, H) -> h and c (..., N, H)."""
        Wx, Wh, b = self.params
        x, h_prev, c_prev = np.asarray(x), np.asarray(h_prev), np.asarray(c_prev)
        pre = per_gate(x, Wx) + per_gate(h_prev, Wh) + b[..., np.newaxis, :]
        o, i, f = (sigmoid(pre[..., gate, :, :]) for gate in range(3))
        g = np.tanh(pre[..., 3, :, :])
        c = f * c_prev + i * g
        squashed = np.tanh(c)
        self.cache = (x, h_prev, c_prev, o, i, f, g, squashed)
        return o * squashed, c

    def backward(self, dh: ArrayLike, dc: ArrayLike) -> tuple[Array, Array, Array]:
        """dL/dh and dL/dc (..., N, H) -> dL/dx (..., N, D), dL/dh_prev, dL/dc_prev (..., N, H).

        dL/dc is what later steps add to it; what reaches c through h is added here.
        """
        Wx, Wh, _ = self.params
        x, h_prev, c_prev, o, i, f, g, squashed = self.cache
        at_h: Array = np.asarray(dh)
        at_c: Array = np.asarray(dc) + at_h * o * (1.0 - squashed * squashed)
        dpre = np.stack(
            [
                at_h * squashed * o * (1.0 - o),
                at_c * g * i * (1.0 - i),
                at_c * c_prev * f * (1.0 - f),
                at_c * i * (1.0 - g * g),
            ],
            axis=-3,
        )
        for grad, value in zip(
            self.grads,
            (
                x[..., np.newaxis, :, :].swapaxes(-1, -2) @ dpre,
                h_prev[..., np.newaxis, :, :].swapaxes(-1, -2) @ dpre,
                dpre.sum(axis=-2),
            ),
            strict=True,
        ):
            grad[...] = one_step_sum(value, grad)
        dx, dh_prev = ((dpre @ W.swapaxes(-1, -2)).sum(axis=-3) for W in (Wx, Wh))
        return dx, dh_prev, at_c * f


class TimeLSTM(Recurrent):
    """A window of steps of an `LSTM`, the same weights at every step.

    Parameters
    ----------
    Wx : array (..., 4, D, H)
    Wh : array (..., 4, H, H)
    b : array (..., 4, H)
    stateful : bool
        Carry the last state into the next window; otherwise every window starts from the initial state.
    activation : {"tanh"}
        Of the candidate and the output.
    forget_bias : float
        What the forget gate's bias starts at in a new network; 1 keeps the gate open at first (Gers, Schmidhuber &
        Cummins 2000; Jozefowicz, Zaremba & Sutskever 2015).
    **options
        Those of `Recurrent`: ``batch_first``, ``grads``, ``reuse``, ``h0``, ``c0``.

    Notes
    -----
    ``norms["c"]`` is of the whole gradient in c_t, what reaches it through h_t included.
    """

    state_names: ClassVar[tuple[str, ...]] = ("h", "c")

    def __init__(
        self,
        Wx: ArrayLike,
        Wh: ArrayLike,
        b: ArrayLike,
        stateful: bool = False,
        *,
        activation: str = "tanh",
        forget_bias: float = 1.0,
        **options: Any,
    ) -> None:
        only_tanh(activation)
        self.forget_bias = number("forget_bias", forget_bias)
        super().__init__((Wx, Wh, b), hidden_size=np.shape(Wh)[-1], stateful=stateful, **options)
        _check(self.params[:3])

    @staticmethod
    def parameter_shapes(input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arrays that the constructor takes, in its order."""
        return {
            "Wx": (4, input_size, hidden_size),
            "Wh": (4, hidden_size, hidden_size),
            "b": (4, hidden_size),
        }

    def initial_values(self) -> dict[str, Array]:
        """The forget gate's bias."""
        return {"b": np.array([[0.0], [0.0], [self.forget_bias], [0.0]])}

    @property
    def c(self) -> Array | None:
        """The cell state after the last window (..., N, H)."""
        return None if self.state is None else self.state[1]

    def step(self, x: Array, state: State) -> State:
        """One step, as `LSTM` takes it."""
        return LSTM(*self.params[:3]).forward(x, *state)

    def step_back(self, x: Array, state: State, dstate: State) -> tuple[Array, State, list[Array]]:
        """Back through one step, as `LSTM` goes."""
        one = LSTM(*self.params[:3])
        one.forward(x, *state)
        dx, *earlier = one.backward(*dstate)
        return dx, tuple(earlier), one.grads

    def _check_input(self, xs: Array) -> None:
        if xs.shape[-1] != self.params[0].shape[-2]:
            check_shapes("TimeLSTM", xs=(xs, (self.params[0].shape[-2],)))

    def _forward(self, first: int) -> None:
        Wx, Wh, b = self.params[:3]
        steps, shape, dtype = len(self._xs), self._states[0].shape[1:], self._dtype
        inputs = self._steps("gates", (steps, *shape), dtype, slabs=4)[:, first:]
        self._steps("squashed", (steps, *shape), dtype)
        gate_inputs(self._xs[first:], Wx, b, out=inputs, sigmoids=3)
        weights = half_for_sigmoids(all_gates(Wh), 3)
        hidden, work = np.empty((4, *shape), dtype), np.empty(shape, dtype)
        views = self._steps.views
        hs, cs, squashed = views("h"), views("c"), views("squashed")
        gates, sigmoids = views("gates"), views("gates", 0, 3)
        gates_o, gates_i, gates_f, gates_g = (views("gates", gate) for gate in range(4))
        matmul, add, multiply, tanh = np.matmul, np.add, np.multiply, np.tanh
        for t in range(first, steps):
            gate, half, c, squash = gates[t], sigmoids[t], cs[t + 1], squashed[t]
            matmul(hs[t], weights, hidden)
            add(gate, hidden, gate)
            tanh(gate, gate)
            multiply(half, 0.5, half)
            add(half, 0.5, half)
            multiply(gates_f[t], cs[t], c)
            multiply(gates_i[t], gates_g[t], work)
            add(c, work, c)
            tanh(c, squash)
            multiply(gates_o[t], squash, hs[t + 1])

    def _backward(self, dhs: Array, dstates: list[Array], step_weights: Sequence[float] | None) -> Array:
        Wx, Wh, _ = self.params[:3]
        xs, (hs, cs), (dh, dc) = self._xs, self._states, dstates
        steps, shape = len(xs), hs.shape[1:]
        o, i, f, g = self._gates()
        squashed = self._steps("squashed", (steps, *shape), self._dtype)
        # The gradients of o, i, f, g at every step, but for the factor dh or dc; and dc/dh.
        deltas = self._steps("deltas", (steps, *shape), dh.dtype, slabs=4)
        through = self._steps("through", (steps, *shape), dh.dtype)
        for block in time_blocks(hs[1:]):
            gates = o[block], i[block], f[block], g[block]
            _slopes(*gates, cs[:-1][block], squashed[block], deltas[:, block], through[block])
        work, step_work = np.empty((4, *shape), dh.dtype), np.empty(shape, dh.dtype)
        part_o, part_i, part_f, part_g = work
        views = self._steps.views
        dhidden, dcell, each, forget, throughs = (
            views("dh"),
            views("dc"),
            views("deltas"),
            views("gates", 2),
            views("through"),
        )
        each_o, each_ifg = views("deltas", 0), views("deltas", 1, 4)
        weights = transposed(all_gates(Wh))
        dh[-1], dc[-1] = dhs[-1], 0.0
        matmul, add, multiply, incoming = np.matmul, np.add, np.multiply, self._each_incoming(dhs)
        for t in range(steps - 1, -1, -1):
            dh_t, dc_t, delta_o, delta_ifg = dhidden[t + 1], dcell[t + 1], each_o[t], each_ifg[t]
            multiply(dh_t, throughs[t], step_work)
            add(dc_t, step_work, dc_t)
            multiply(dh_t, delta_o, delta_o)
            multiply(dc_t, delta_ifg, delta_ifg)
            multiply(dc_t, forget[t], dcell[t])
            matmul(each[t], weights, work)
            earlier = dhidden[t]
            add(part_o, part_i, earlier)
            add(earlier, part_f, earlier)
            add(earlier, part_g, earlier)
            if step_weights is not None:
                multiply(earlier, step_weights[t], earlier)
                multiply(dcell[t], step_weights[t], dcell[t])
            if t:
                add(earlier, incoming[t - 1], earlier)
        dWx, dWh, db = self.grads[:3]
        gate_gradients(xs, list(deltas), dWx)
        gate_gradients(hs[:-1], list(deltas), dWh)
        gate_biases(list(deltas), db)
        dxs, part = (self._steps(name, xs.shape, dh.dtype) for name in ("dxs", "part"))
        return input_gradient(list(deltas), Wx, dxs, part)

    def drop(self, steps: int) -> None:
        """Forget the oldest `steps` steps of the window; the later ones become its first."""
        super().drop(steps)
        for name in ("gates", "squashed"):
            self._steps.drop(name, steps)

    def slopes(self) -> Array:
        """Slope of the candidate's tanh, 1 - g^2, at every step of the last window: (T, ..., N, H)."""
        slopes: Array = 1.0 - self._gates()[3] ** 2
        return slopes

    def gates(self) -> dict[str, Array]:
        """The output, input and forget gates at every step of the last window, each (T, ..., N, H)."""
        o, i, f, _ = self._gates()
        return {"output": o, "input": i, "forget": f}

    def _gates(self) -> Array:
        return self._steps("gates", self._states[0][1:].shape, self._dtype, slabs=4)

    def recurrent_weights(self) -> list[Array]:
        """The candidate's matrix."""
        return [self.params[1][..., 3, :, :]]


def _slopes(o: Array, i: Array, f: Array, g: Array, c_prev: Array, squashed: Array, out: Array, through: Array) -> None:
    """Gradients of o, i, f, g at some steps, but for the factor dh or dc: out (4, T, ..., N, H); and dc/dh."""
    do, di, df, dg = out
    np.subtract(1.0, o, out=do)
    np.multiply(do, o, out=do)
    np.multiply(do, squashed, out=do)
    np.subtract(1.0, i, out=di)
    np.multiply(di, i, out=di)
    np.multiply(di, g, out=di)
    np.subtract(1.0, f, out=df)
    np.multiply(df, f, out=df)
    np.multiply(df, c_prev, out=df)
    np.multiply(g, g, out=dg)
    np.subtract(1.0, dg, out=dg)
    np.multiply(dg, i, out=dg)
    np.multiply(squashed, squashed, out=through)
    np.subtract(1.0, through, out=through)
    np.multiply(through, o, out=through)


def _check(params: list[Array]) -> None:
    Wx, Wh, b = params
    hidden = Wh.shape[-1]
    check_shapes(
        "LSTM",
        Wh=(Wh, (4, hidden, hidden)),
        Wx=(Wx, (4, Wx.shape[-2], hidden)),
        b=(b, (4, hidden)),
    )
