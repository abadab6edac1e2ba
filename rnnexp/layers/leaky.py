"""The leaky recurrent network: one step (`Leaky`) and a window of steps (`TimeLeaky`)."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from ..checks import InvalidValue, number
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


class Leaky(ShownArrays):
    """One step: h = (1 - leak) h_prev + leak phi(x Wx + h_prev Wh + b).

    A window of such steps, as a network is made of, is `TimeLeaky`.

    Euler's method, with leak = dt / tau, for tau dh/dt = -h + phi(x Wx + h Wh + b), the network in continuous time
    (CTRNN) of neuroscience; Murray 2019, eLife 8:e43299, equation 1.

    Parameters
    ----------
    Wx : array (..., D, H)
    Wh : array (..., H, H)
    b : array (..., H)
    activation : {"tanh", "relu", "identity", "sigmoid"}
    leak : float
        In (0, 1]; 1 is the vanilla cell.

    Attributes
    ----------
    params, grads : lists of three arrays
        ``[Wx, Wh, b]`` and their gradients, which `backward` overwrites.
    """

    remark = "one step; a window of steps is TimeLeaky"

    def __init__(
        self, Wx: ArrayLike, Wh: ArrayLike, b: ArrayLike, *, activation: str = "tanh", leak: float = 0.5
    ) -> None:
        self.params = [as_parameter(array) for array in (Wx, Wh, b)]
        self.grads = [np.zeros_like(array) for array in self.params]
        check_parameters(self, TimeLeaky, self.params)
        self.activation, self.leak = find_activation(activation), _checked(leak)

    def forward(self, x: ArrayLike, h_prev: ArrayLike) -> Array:
        """x (..., N, D), h_prev (..., N, H) -> h (..., N, H)."""
        (Wx, Wh, b), x, h_prev = self.params, np.asarray(x), np.asarray(h_prev)
        f = self.activation.forward(x @ Wx + h_prev @ Wh + b[..., np.newaxis, :])
        self.cache = (x, h_prev, f)
        h: Array = f if self.leak == 1.0 else (1.0 - self.leak) * h_prev + self.leak * f
        return h

    def backward(self, dh_next: ArrayLike) -> tuple[Array, Array]:
        """dL/dh (..., N, H) -> dL/dx (..., N, D), dL/dh_prev (..., N, H)."""
        (Wx, Wh, _), (x, h_prev, f), dh = self.params, self.cache, np.asarray(dh_next)
        dpre = self.leak * dh * self.activation.derivative(f)
        self.unsummed = (x.mT @ dpre, h_prev.mT @ dpre, dpre.sum(axis=-2))
        overwrite(self.grads, self.unsummed)
        return dpre @ Wx.mT, dpre @ Wh.mT + (1.0 - self.leak) * dh


def _checked(leak: float) -> float:
    """The share of a step's new value, in (0, 1]."""
    if number("leak", leak, above=0) > 1:
        raise InvalidValue("leak", leak, "a number > 0 and <= 1", "cell=rnn is the same as a leak of 1")
    return float(leak)


class TimeLeaky(TimeCell):
    """A window of steps of `Leaky`, the same weights at every step.

    Parameters
    ----------
    Wx, Wh, b : arrays
        As for `Leaky`.
    activation : {"tanh", "relu", "identity", "sigmoid"}
    leak : float
        In (0, 1]; with 1 every number is, bit for bit, that of `TimeRNN`.
    **options
        Those of `Recurrent`: ``stateful``, ``grads``, ``batch_first``, ``reuse``, ``h0``.
    """

    remark = "a window of steps; one step is Leaky"
    kept: ClassVar[tuple[str, ...]] = ("fs",)

    def __init__(
        self,
        Wx: ArrayLike,
        Wh: ArrayLike,
        b: ArrayLike,
        stateful: bool = False,
        *,
        activation: str = "tanh",
        leak: float = 0.5,
        **options: Any,
    ) -> None:
        self.leak, self.activation_name, self.activation = _checked(leak), activation, find_activation(activation)
        super().__init__((Wx, Wh, b), stateful=stateful, **options)
        self.max_slope = self.activation.max_slope if self.leak == 1.0 else float("nan")

    @staticmethod
    def parameter_shapes(input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arrays that the constructor takes, in its order."""
        return {"Wx": (input_size, hidden_size), "Wh": (hidden_size, hidden_size), "b": (hidden_size,)}

    def _cell(self) -> Leaky:
        return Leaky(*self.params[:3], activation=self.activation_name, leak=self.leak)

    def _forward(self, first: int) -> None:
        """f_t = phi(x_t Wx + b + h_{t-1} Wh): the inputs of all steps at once, then the recurrence with the leak."""
        Wx, Wh, b = self.params[:3]
        xs, hs, leak = self._xs, self._states[0], self.leak
        fs = self._steps("fs", hs[1:].shape, self._dtype)
        whole_window(xs[first:], Wx, b, out=fs[first:])
        work = np.empty_like(hs[0])
        each_h, each_f, times = self._steps.views("h"), self._steps.views("fs"), self._steps.products("h", Wh, work)
        add, multiply, phi = np.add, np.multiply, self.activation.forward
        for t in range(first, len(xs)):
            f, h = each_f[t], each_h[t + 1]
            times[t](Wh, work)
            add(f, work, f)
            phi(f, f)
            if leak == 1.0:
                h[...] = f
            else:
                multiply(each_h[t], 1.0 - leak, work)
                multiply(f, leak, h)
                add(work, h, h)

    def _backward(self, dhs: Array, dstates: list[Array], step_weights: Sequence[float] | None) -> Array:
        """dpre_t = leak dh_t phi'_t, dh_{t-1} = dpre_t Wh^T + (1 - leak) dh_t + dhs_{t-1}; then all steps at once."""
        Wx, Wh, _ = self.params[:3]
        xs, hs, dh, leak = self._xs, self._states[0], dstates[0], self.leak
        fs, dpre = self._steps("fs", hs[1:].shape, self._dtype), self._steps("dpre", hs[1:].shape, dh.dtype)
        for block in time_blocks(dpre):  # leak phi'_t of all steps; the factor dh_t comes in the recurrence
            self.activation.derivative(fs[block], out=dpre[block])
            np.multiply(dpre[block], leak, out=dpre[block])
        back, work = transposed(Wh), np.empty_like(dh[0])
        each_dh, each_dpre = self._steps.views("dh"), self._steps.views("dpre")
        times = self._steps.products("dpre", back, dh[0])
        dh[-1] = dhs[-1]
        add, multiply, incoming = np.add, np.multiply, self._each_incoming(dhs)
        for t in range(len(xs) - 1, -1, -1):
            dh_t, dpre_t, dh_prev = each_dh[t + 1], each_dpre[t], each_dh[t]
            multiply(dh_t, dpre_t, dpre_t)
            times[t](back, dh_prev)
            if leak != 1.0:
                multiply(dh_t, 1.0 - leak, work)
                add(dh_prev, work, dh_prev)
            if step_weights is not None:
                multiply(dh_prev, step_weights[t], dh_prev)
            if t:
                add(dh_prev, incoming[t - 1], dh_prev)
        weight_gradient(xs, dpre, out=self.grads[0])
        weight_gradient(hs[:-1], dpre, out=self.grads[1])
        bias_gradient(dpre, out=self.grads[2])
        return whole_window(dpre, Wx.mT, None, out=self._steps("dxs", xs.shape, dh.dtype))

    def _through_next_step(self, through: State) -> None:
        """dpre_{t+1} Wh^T + (1 - leak) dh_{t+1}."""
        dh = self._dstates[0][1:]
        dpre = self._steps("dpre", dh.shape, dh.dtype)
        whole_window(dpre, self.params[1].mT, None, out=through[0][:-1])
        through[0][:-1] += (1.0 - self.leak) * dh

    def step_slopes(self, t: int) -> tuple[Array, Array, Array | None]:
        """leak phi'_t for both products; 1 - leak of the state before."""
        f = self._steps.views("fs")[t]
        slope = (self.leak * self.activation.derivative(f))[:, np.newaxis, np.newaxis]
        return slope, slope, np.asarray(1.0 - self.leak)

    def slopes(self) -> Array:
        """phi' of every unit at every step of the last window: (T, ..., N, H)."""
        shape = self._states[0][1:].shape
        return self.activation.derivative(self._steps("fs", shape, self._dtype))
