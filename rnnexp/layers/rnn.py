"""The vanilla recurrent network: one step (`RNN`) and a window of steps (`TimeRNN`)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .activations import activation as find_activation
from .base import (
    as_parameter,
    bias_gradient,
    check_shapes,
    one_step_sum,
    time_blocks,
    transposed,
    weight_gradient,
    whole_window,
)
from .recurrent import Recurrent, State

Array = NDArray[Any]


class RNN:
    """One step: h = phi(x Wx + h_prev Wh + b).

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

    def __init__(self, Wx: ArrayLike, Wh: ArrayLike, b: ArrayLike, *, activation: str = "tanh") -> None:
        self.params = [as_parameter(array) for array in (Wx, Wh, b)]
        self.grads = [np.zeros_like(array) for array in self.params]
        self.activation = find_activation(activation)
        _check(self.params)

    def forward(self, x: ArrayLike, h_prev: ArrayLike) -> Array:
        """X (..., N, D), h_prev (..., N, H) -> h (..., N, H)."""
        Wx, Wh, b = self.params
        x, h_prev = np.asarray(x), np.asarray(h_prev)
        h = self.activation.forward(x @ Wx + h_prev @ Wh + b[..., np.newaxis, :])
        self.cache = (x, h_prev, h)
        return h

    def backward(self, dh: ArrayLike) -> tuple[Array, Array]:
        """dL/dh (..., N, H) -> dL/dx (..., N, D), dL/dh_prev (..., N, H)."""
        Wx, Wh, _ = self.params
        x, h_prev, h = self.cache
        dpre = np.asarray(dh) * self.activation.derivative(h)
        for grad, value in zip(
            self.grads,
            (x.swapaxes(-1, -2) @ dpre, h_prev.swapaxes(-1, -2) @ dpre, dpre.sum(axis=-2)),
            strict=True,
        ):
            grad[...] = one_step_sum(value, grad)
        return dpre @ Wx.swapaxes(-1, -2), dpre @ Wh.swapaxes(-1, -2)


class TimeRNN(Recurrent):
    """A window of steps: h_t = phi(x_t Wx + h_{t-1} Wh + b), the same weights at every step.

    Parameters
    ----------
    Wx : array (..., D, H)
    Wh : array (..., H, H)
    b : array (..., H)
    stateful : bool
        Carry the last state into the next window; otherwise every window starts from the initial state.
    activation : {"tanh", "relu", "identity", "sigmoid"}
    **options
        Those of `Recurrent`: ``batch_first``, ``grads``, ``reuse``, ``h0``.

    Notes
    -----
    Werbos 1990, "Backpropagation through time", with the products that do not depend on the recurrence taken over
    all steps at once.
    """

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
        super().__init__((Wx, Wh, b), hidden_size=np.shape(Wh)[-1], stateful=stateful, **options)
        _check(self.params[:3])
        self.activation_name, self.activation = activation, find_activation(activation)
        self.max_slope = self.activation.max_slope

    @staticmethod
    def parameter_shapes(input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arrays that the constructor takes, in its order."""
        return {
            "Wx": (input_size, hidden_size),
            "Wh": (hidden_size, hidden_size),
            "b": (hidden_size,),
        }

    def step(self, x: Array, state: State) -> State:
        """One step, as `RNN` takes it."""
        return (self._one_step().forward(x, *state),)

    def step_back(self, x: Array, state: State, dstate: State) -> tuple[Array, State, list[Array]]:
        """Back through one step, as `RNN` goes."""
        one = self._one_step()
        one.forward(x, *state)
        dx, dh_prev = one.backward(*dstate)
        return dx, (dh_prev,), one.grads

    def _one_step(self) -> RNN:
        return RNN(*self.params[:3], activation=self.activation_name)

    def _check_input(self, xs: Array) -> None:
        if xs.shape[-1] != self.params[0].shape[-2]:
            check_shapes("TimeRNN", xs=(xs, (self.params[0].shape[-2],)))

    def _forward(self, first: int) -> None:
        Wx, Wh, b = self.params[:3]
        xs, hs = self._xs, self._states[0]
        whole_window(xs[first:], Wx, b, out=hs[first + 1 :])
        states, work = self._steps.views("h"), np.empty_like(hs[0])
        add, phi = np.add, self.activation.forward
        times = self._steps.products("h", Wh, work)
        for h_prev_times, h in zip(times[first : len(xs)], states[first + 1 :], strict=False):
            h_prev_times(Wh, work)
            add(h, work, h)
            phi(h, h)

    def _backward(self, dhs: Array, dstates: list[Array], step_weights: Sequence[float] | None) -> Array:
        Wx, Wh, _ = self.params[:3]
        xs, hs, dh = self._xs, self._states[0], dstates[0]
        dpre = self._steps("dpre", hs[1:].shape, dh.dtype)
        for block in time_blocks(dpre):
            self.activation.derivative(hs[1:][block], out=dpre[block])
        dh[-1] = dhs[-1]
        dhidden, dinputs, incoming = self._steps.views("dh"), self._steps.views("dpre"), self._each_incoming(dhs)
        add, multiply, last, back = np.add, np.multiply, len(xs), transposed(Wh)
        times = self._steps.products("dpre", back, dh[0])
        backwards = slice(last - 1, None, -1)
        for t, delta, delta_times, h, h_prev in zip(
            range(last - 1, -1, -1),
            dinputs[backwards],
            times[backwards],
            dhidden[last:0:-1],
            dhidden[backwards],
            strict=True,
        ):
            multiply(h, delta, delta)
            delta_times(back, h_prev)
            if step_weights is not None:
                multiply(h_prev, step_weights[t], h_prev)
            if t:
                add(h_prev, incoming[t - 1], h_prev)
        weight_gradient(xs, dpre, out=self.grads[0])
        weight_gradient(hs[:-1], dpre, out=self.grads[1])
        bias_gradient(dpre, out=self.grads[2])
        self._flow = (dh[1:], dpre)
        dxs = self._steps("dxs", xs.shape, dh.dtype)
        return whole_window(dpre, Wx.swapaxes(-1, -2), None, out=dxs)

    def flow(self) -> tuple[Array, Array]:
        """dL/dh_t, and the same before the activation, for t = 1 to T, left by `backward`: (T, ..., N, H) each."""
        return self._flow

    def slopes(self) -> Array:
        """phi'(.) of every unit at every step of the last window: (T, ..., N, H)."""
        return self.activation.derivative(self.states[1:])


def _check(params: list[Array]) -> None:
    Wx, Wh, b = params
    hidden = Wh.shape[-1]
    check_shapes("RNN", Wh=(Wh, (hidden, hidden)), Wx=(Wx, (Wx.shape[-2], hidden)), b=(b, (hidden,)))
