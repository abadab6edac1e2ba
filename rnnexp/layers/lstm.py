"""Long short-term memory: one step (`LSTM`) and a window of steps (`TimeLSTM`)."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from ..checks import number
from .activations import sigmoid
from .base import Array, ShownArrays, as_parameter, overwrite, time_blocks
from .gates import TimeGated, all_gates, per_gate
from .recurrent import State
from .time_cell import check_parameters


class LSTM(ShownArrays):
    """One step, with the gates o (output), i (input), f (forget) and the candidate g.

    ::

        o, i, f = sigmoid(x Wx + h_prev Wh + b), each with its own matrices
        g = tanh(x Wx_g + h_prev Wh_g + b_g)
        c = f * c_prev + i * g
        h = o * tanh(c)

    A window of such steps, as a network is made of, is `TimeLSTM`.

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

    remark = "one step; a window of steps is TimeLSTM"

    def __init__(self, Wx: ArrayLike, Wh: ArrayLike, b: ArrayLike) -> None:
        self.params = [as_parameter(array) for array in (Wx, Wh, b)]
        self.grads = [np.zeros_like(array) for array in self.params]
        self.cache: tuple[Array, ...] = ()
        check_parameters(self, TimeLSTM, self.params)

    def forward(self, x: ArrayLike, h_prev: ArrayLike, c_prev: ArrayLike) -> tuple[Array, Array]:
        """x (..., N, D), h_prev and c_prev (..., N, H) -> h and c (..., N, H)."""
        Wx, Wh, b = self.params
        x, h_prev, c_prev = np.asarray(x), np.asarray(h_prev), np.asarray(c_prev)
        pre = per_gate(x, Wx) + per_gate(h_prev, Wh) + b[..., np.newaxis, :]
        o, i, f = (sigmoid(pre[..., gate, :, :]) for gate in range(3))
        g = np.tanh(pre[..., 3, :, :])
        c = f * c_prev + i * g
        tanh_c = np.tanh(c)
        self.cache = (x, h_prev, c_prev, o, i, f, g, tanh_c)
        return o * tanh_c, c

    def backward(self, dh_next: ArrayLike, dc_next: ArrayLike) -> tuple[Array, Array, Array]:
        """dL/dh and dL/dc (..., N, H) -> dL/dx (..., N, D), dL/dh_prev, dL/dc_prev (..., N, H).

        dL/dc given is the part that comes from the next step; the part that comes through h is added here.
        """
        Wx, Wh, _ = self.params
        x, h_prev, c_prev, o, i, f, g, tanh_c = self.cache
        dh: Array = np.asarray(dh_next)
        dc: Array = np.asarray(dc_next) + dh * o * (1.0 - tanh_c * tanh_c)
        do, di, df = dh * tanh_c * o * (1.0 - o), dc * g * i * (1.0 - i), dc * c_prev * f * (1.0 - f)
        dpre = np.stack([do, di, df, dc * i * (1.0 - g * g)], axis=-3)
        dWx, dWh = x[..., np.newaxis, :, :].mT @ dpre, h_prev[..., np.newaxis, :, :].mT @ dpre
        self.unsummed = (dWx, dWh, dpre.sum(axis=-2))
        overwrite(self.grads, self.unsummed)
        return (dpre @ Wx.mT).sum(axis=-3), (dpre @ Wh.mT).sum(axis=-3), dc * f


class TimeLSTM(TimeGated):
    """A window of steps of an `LSTM`, the same weights at every step.

    Parameters
    ----------
    Wx, Wh, b : arrays
        As for `LSTM`.
    activation : {"tanh"}
        Of the candidate and the output.
    forget_bias : float
        What the forget gate's bias starts at in a new network; 1 keeps the gate open at first (Gers, Schmidhuber &
        Cummins 2000; Jozefowicz, Zaremba & Sutskever 2015).
    **options
        Those of `Recurrent`: ``stateful``, ``grads``, ``batch_first``, ``reuse``, ``h0``, ``c0``.

    Notes
    -----
    ``norms["c"]`` is ||dL/dc_t|| of the whole gradient, including the part that comes through h_t.
    """

    remark = "a window of steps; one step is LSTM"
    state_names: ClassVar[tuple[str, ...]] = ("h", "c")
    gate_names: ClassVar[tuple[str, ...]] = ("output", "input", "forget")
    kept: ClassVar[tuple[str, ...]] = ("gates", "tanh_c")

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
        self.forget_bias = number("forget_bias", forget_bias)
        super().__init__((Wx, Wh, b), activation, stateful=stateful, **options)

    @staticmethod
    def parameter_shapes(input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arrays that the constructor takes, in its order."""
        return {"Wx": (4, input_size, hidden_size), "Wh": (4, hidden_size, hidden_size), "b": (4, hidden_size)}

    def initial_values(self) -> dict[str, Array]:
        """b: zero but for the forget gate's bias."""
        return {"b": np.array([[0.0], [0.0], [self.forget_bias], [0.0]])}

    @property
    def c(self) -> Array | None:
        """The cell state after the last window (..., N, H)."""
        return None if self.state is None else self.state[1]

    def _cell(self) -> LSTM:
        return LSTM(*self.params[:3])

    def _forward(self, first: int) -> None:
        """The formulas of `LSTM`: the inputs of all steps at once, then the recurrence."""
        xs, shape = self._xs, self._states[0].shape[1:]
        self._steps("tanh_c", (len(xs), *shape), self._dtype)
        self._gate_inputs(first)
        weights = self._halved(all_gates(self.params[1]))
        hidden, work = np.empty((4, *shape), self._dtype), np.empty(shape, self._dtype)
        each_h, each_c, each_tanh_c = (self._steps.views(name) for name in ("h", "c", "tanh_c"))
        each_gates, each_oif = self._steps.views("gates"), self._steps.views("gates", 0, 3)
        each_o, each_i, each_f, each_g = (self._steps.views("gates", gate) for gate in range(4))
        matmul, add, multiply, tanh = np.matmul, np.add, np.multiply, np.tanh
        for t in range(first, len(xs)):
            gates_t, oif, c, tanh_c = each_gates[t], each_oif[t], each_c[t + 1], each_tanh_c[t]
            matmul(each_h[t], weights, hidden)
            add(gates_t, hidden, gates_t)
            tanh(gates_t, gates_t)
            multiply(oif, 0.5, oif)
            add(oif, 0.5, oif)
            multiply(each_f[t], each_c[t], c)
            multiply(each_i[t], each_g[t], work)
            add(c, work, c)
            tanh(c, tanh_c)
            multiply(each_o[t], tanh_c, each_h[t + 1])

    def _backward(self, dhs: Array, dstates: list[Array], step_weights: Sequence[float] | None) -> Array:
        """dc_t += dh_t o_t (1 - tanh(c_t)^2), dc_{t-1} = dc_t f_t, dh_{t-1} = sum_g dgates_t Wh_g^T + dhs_{t-1}.

        Then the gradients of all steps at once.
        """
        (hs, cs), (dh, dc) = self._states, dstates
        steps, shape = len(hs) - 1, hs.shape[1:]
        gates, tanh_c = self._gates(), self._steps("tanh_c", (steps, *shape), self._dtype)
        # The gradients of o, i, f, g of all steps, and dc/dh; the factors dh_t and dc_t come in the recurrence.
        dgates = self._steps("dgates", (steps, *shape), dh.dtype, slabs=4)
        through = self._steps("through", (steps, *shape), dh.dtype)
        for block in time_blocks(hs[1:]):
            _slopes(gates[block].swapaxes(0, 1).copy(), cs[:-1][block], tanh_c[block], dgates[:, block], through[block])
        back, work = self._back(), np.empty(shape, dh.dtype)
        concatenated, times = self._concatenated(back, dh[0])
        each_dh, each_dc, each_through = (self._steps.views(name) for name in ("dh", "dc", "through"))
        each_dgates, each_f = self._steps.views("dgates"), self._steps.views("gates", 2)
        each_do, each_di, each_df, each_dg = (self._steps.views("dgates", gate) for gate in range(4))
        dh[-1], dc[-1] = dhs[-1], 0.0 if self._later is None else self._later[1]
        add, multiply, copy, incoming = np.add, np.multiply, np.copyto, self._each_incoming(dhs)
        for t in range(steps - 1, -1, -1):
            dh_t, dc_t, do, di, df, dg = each_dh[t + 1], each_dc[t + 1], each_do[t], each_di[t], each_df[t], each_dg[t]
            dh_prev, dc_prev = each_dh[t], each_dc[t]
            multiply(dh_t, each_through[t], work)
            add(dc_t, work, dc_t)
            multiply(dh_t, do, do)
            multiply(dc_t, di, di)
            multiply(dc_t, df, df)
            multiply(dc_t, dg, dg)
            multiply(dc_t, each_f[t], dc_prev)
            copy(concatenated, each_dgates[t])
            times(back, dh_prev)
            if step_weights is not None:
                multiply(dh_prev, step_weights[t], dh_prev)
                multiply(dc_prev, step_weights[t], dc_prev)
            if t:
                add(dh_prev, incoming[t - 1], dh_prev)
        return self._gate_gradients(list(dgates), list(dgates))

    def _through_next_step(self, through: State) -> None:
        """sum_g dgates_{t+1} Wh_g^T, and f_{t+1} dc_{t+1} with all of dc_{t+1}."""
        dc = self._dstates[1][1:]
        self._through_gates(list(self._steps("dgates", dc.shape, dc.dtype, slabs=4)), through[0][:-1])
        np.multiply(self._gates()[:, 2], dc, out=through[1][:-1])

    def step_slopes(self, t: int) -> tuple[Array, Array, Array | None]:
        """Those of o, i, f and g in h = o tanh(c) and in c, on which o has no effect; f of c_prev in c, and in h."""
        gates, c_prev = self._steps.views("gates")[t], self._states[1][t]
        count, units = c_prev.shape
        slopes, through = np.empty((4, count, units), c_prev.dtype), np.empty_like(c_prev)
        _slopes(gates, c_prev, self._steps.views("tanh_c")[t], slopes, through)
        by_gate, kept = np.empty((count, 2, 4, units), c_prev.dtype), np.zeros((count, 2, 2, units), c_prev.dtype)
        by_gate[:, 1] = slopes.swapaxes(0, 1)
        by_gate[:, 1, 0] = 0.0
        np.multiply(slopes.swapaxes(0, 1), through[:, np.newaxis], out=by_gate[:, 0])
        by_gate[:, 0, 0] = slopes[0]
        kept[:, 1, 1] = gates[2]
        np.multiply(gates[2], through, out=kept[:, 0, 1])
        return by_gate, by_gate, kept


def _slopes(gates: Array, c_prev: Array, tanh_c: Array, out: Array, through: Array) -> None:
    """Gradients of o, i, f, g before activation, without the factors dh and dc: out (4, T, ..., N, H); and dc/dh."""
    (o, i, _, g), dg = gates, out[3]
    for gate, factor, slope in zip(gates[:3], (tanh_c, g, c_prev), out[:3], strict=True):
        np.subtract(1.0, gate, out=slope)
        np.multiply(slope, gate, out=slope)
        np.multiply(slope, factor, out=slope)
    np.multiply(g, g, out=dg)
    np.subtract(1.0, dg, out=dg)
    np.multiply(dg, i, out=dg)
    np.multiply(tanh_c, tanh_c, out=through)
    np.subtract(1.0, through, out=through)
    np.multiply(through, o, out=through)
