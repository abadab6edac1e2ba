"""The vanilla recurrent network: one step (`RNN`) and a window of steps (`TimeRNN`)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import textbook
from .activations import activation as find_activation
from .base import (
    Array,
    ShownArrays,
    as_parameter,
    bias_gradient,
    overwrite,
    time_blocks,
    transposed,
    weight_gradient,
    whole_window,
)
from .recurrent import State
from .time_cell import TimeCell, check_parameters


class RNN(ShownArrays, textbook.RNN):
    """One step: h = phi(x Wx + h_prev Wh + b). The textbook's, with any activation.

    A window of such steps, as a network is made of, is `TimeRNN`.

    Parameters
    ----------
    Wx : array (..., D, H)
    Wh : array (..., H, H)
    b : array (..., H)
    activation : {"tanh", "relu", "identity", "sigmoid"}

    Attributes
    ----------
    params, grads : lists of three arrays
        ``[Wx, Wh, b]`` and their gradients, which `backward` overwrites.
    """

    remark = "one step; a window of steps is TimeRNN"

    def __init__(self, Wx: ArrayLike, Wh: ArrayLike, b: ArrayLike, *, activation: str = "tanh") -> None:
        super().__init__(*(as_parameter(array) for array in (Wx, Wh, b)))
        check_parameters(self, TimeRNN, self.params)
        self.activation = find_activation(activation)
        self.phi, self.dphi = self.activation.forward, self.activation.derivative  # type: ignore[method-assign]

    def forward(self, x: ArrayLike, h_prev: ArrayLike) -> Array:
        """x (..., N, D), h_prev (..., N, H) -> h (..., N, H)."""
        return super().forward(np.asarray(x), np.asarray(h_prev))

    def backward(self, dh_next: ArrayLike) -> tuple[Array, Array]:
        """dL/dh (..., N, H) -> dL/dx (..., N, D), dL/dh_prev (..., N, H)."""
        grads = self.grads
        dx, dh_prev = super().backward(np.asarray(dh_next))
        self.unsummed = self.grads
        self.grads = overwrite(grads, self.unsummed)
        return dx, dh_prev


class TimeRNN(TimeCell):
    """A window of steps: h_t = phi(x_t Wx + h_{t-1} Wh + b), the same weights at every step.

    One such step by itself is `RNN`.

    Parameters
    ----------
    Wx, Wh, b : arrays
        As for `RNN`.
    activation : {"tanh", "relu", "identity", "sigmoid"}
    **options
        Those of `Recurrent`: ``stateful``, ``grads``, ``batch_first``, ``reuse``, ``h0``.

    Notes
    -----
    Werbos 1990, "Backpropagation through time"; `textbook.TimeRNN` with the products that do not depend on the
    recurrence taken over all steps at once.
    """

    remark = "a window of steps; one step is RNN"

    def __init__(
        self,
        Wx: ArrayLike,
        Wh: ArrayLike,
        b: ArrayLike,
        stateful: bool = False,
        *,
        activation: str = "tanh",
        **options: Any,
    ) -> None:
        super().__init__((Wx, Wh, b), stateful=stateful, **options)
        self.activation_name, self.activation = activation, find_activation(activation)
        self.max_slope = self.activation.max_slope

    @staticmethod
    def parameter_shapes(input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arrays that the constructor takes, in its order."""
        return {"Wx": (input_size, hidden_size), "Wh": (hidden_size, hidden_size), "b": (hidden_size,)}

    def _cell(self) -> RNN:
        return RNN(*self.params[:3], activation=self.activation_name)

    def _forward(self, first: int) -> None:
        """h_t = phi(x_t Wx + b + h_{t-1} Wh): the inputs of all steps at once, then the recurrence."""
        Wx, Wh, b = self.params[:3]
        xs, hs = self._xs, self._states[0]
        whole_window(xs[first:], Wx, b, out=hs[first + 1 :])
        work = np.empty_like(hs[0])
        each_h, times = self._steps.views("h"), self._steps.products("h", Wh, work)
        add, phi = np.add, self.activation.forward
        for t in range(first, len(xs)):
            h = each_h[t + 1]
            times[t](Wh, work)
            add(h, work, h)
            phi(h, h)

    def _backward(self, dhs: Array, dstates: list[Array], step_weights: Sequence[float] | None) -> Array:
        """dpre_t = dh_t phi'(h_t), dh_{t-1} = dpre_t Wh^T + dhs_{t-1}; then the gradients of all steps at once."""
        Wx, Wh, _ = self.params[:3]
        xs, hs, dh = self._xs, self._states[0], dstates[0]
        dpre = self._steps("dpre", hs[1:].shape, dh.dtype)
        for block in time_blocks(dpre):  # phi'(h_t) of all steps; the factor dh_t comes in the recurrence
            self.activation.derivative(hs[1:][block], out=dpre[block])
        back = transposed(Wh)
        each_dh, each_dpre = self._steps.views("dh"), self._steps.views("dpre")
        times = self._steps.products("dpre", back, dh[0])
        dh[-1] = dhs[-1]
        add, multiply, incoming = np.add, np.multiply, self._each_incoming(dhs)
        for t in range(len(xs) - 1, -1, -1):
            dpre_t, dh_prev = each_dpre[t], each_dh[t]
            multiply(each_dh[t + 1], dpre_t, dpre_t)
            times[t](back, dh_prev)
            if step_weights is not None:
                multiply(dh_prev, step_weights[t], dh_prev)
            if t:
                add(dh_prev, incoming[t - 1], dh_prev)
        weight_gradient(xs, dpre, out=self.grads[0])
        weight_gradient(hs[:-1], dpre, out=self.grads[1])
        bias_gradient(dpre, out=self.grads[2])
        self._flow = (dh[1:], dpre)
        dxs = self._steps("dxs", xs.shape, dh.dtype)
        return whole_window(dpre, Wx.mT, None, out=dxs)

    def _through_next_step(self, through: State) -> None:
        """dpre_{t+1} Wh^T."""
        whole_window(self._flow[1], self.params[1].mT, None, out=through[0][:-1])

    def step_slopes(self, t: int) -> tuple[Array, Array, Array | None]:
        """phi'(h_t) for both products."""
        slope = self.activation.derivative(self._states[0][t + 1])[:, np.newaxis, np.newaxis]
        return slope, slope, None

    def flow(self) -> tuple[Array, Array]:
        """dL/dh_t, and the same before the activation, for t = 1 to T, left by `backward`: (T, ..., N, H) each."""
        return self._flow

    def slopes(self) -> Array:
        """phi' of every unit at every step of the last window: (T, ..., N, H)."""
        return self.activation.derivative(self.states[1:])
