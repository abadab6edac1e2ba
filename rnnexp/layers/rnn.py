"""The vanilla recurrent network: one step (`RNN`) and a window of steps (`TimeRNN`)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnnexp.layers.activations import activation as find_activation
from rnnexp.layers.base import (
    Layer,
    as_parameter,
    bias_gradient,
    check_shapes,
    row_norms,
    weight_gradient,
    whole_window,
)

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
            grad[...] = value
        return dpre @ Wx.swapaxes(-1, -2), dpre @ Wh.swapaxes(-1, -2)


class TimeRNN(Layer):
    """A window of steps: h_t = phi(x_t Wx + h_{t-1} Wh + b), the same weights at every step.

    Parameters
    ----------
    Wx : array (..., D, H)
    Wh : array (..., H, H)
    b : array (..., H)
    stateful : bool
        Carry the last state into the next window; otherwise every window starts from zero.
    activation : {"tanh", "relu", "identity", "sigmoid"}
    batch_first : bool
        Sequences as (N, T, D) instead of (T, ..., N, D).

    Attributes
    ----------
    params, grads : lists of three arrays
        ``[Wx, Wh, b]`` and their gradients, which `backward` overwrites.
    h : array (..., N, H) or None
        The state after the last window.
    dh : array (..., N, H) or None
        dL/dh for the state before the window's first step, left by `backward`.
    dh_norms : array (T + 1, ..., N)
        ||dL/dh_t|| of each sequence for t = 0 (the state before the window) to T, left by ``backward(norms=True)``.

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
        batch_first: bool = False,
        grads: Sequence[Array] | None = None,
        reuse: bool = False,
    ) -> None:
        super().__init__((Wx, Wh, b), grads, batch_first=batch_first, reuse=reuse)
        _check(self.params)
        self.activation = find_activation(activation)
        self.stateful = stateful
        self.h: Array | None = None
        self.dh: Array | None = None
        self.dh_norms: Array | None = None

    @staticmethod
    def parameter_shapes(input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arrays that the constructor takes, in its order."""
        return {
            "Wx": (input_size, hidden_size),
            "Wh": (hidden_size, hidden_size),
            "b": (hidden_size,),
        }

    def set_state(self, h: ArrayLike) -> None:
        """Let the next window of a stateful layer start from `h` (..., N, H)."""
        self.h = np.array(h)

    def reset_state(self) -> None:
        """Let the next window start from zero."""
        self.h = None

    def forward(self, xs: ArrayLike, first: int = 0) -> Array:
        """States of a window: xs (T, ..., N, D) -> hs (T, ..., N, H).

        Parameters
        ----------
        xs : array (T, ..., N, D)
        first : int
            Steps before `first` were computed by an earlier call and are kept as they are (see `drop`).

        Raises
        ------
        ValueError
            If `xs` does not fit the weights, or the carried state has another batch size.
        """
        xs = self._given(xs)
        Wx, Wh, b = self.params
        check_shapes("TimeRNN", xs=(xs, (Wx.shape[-2],)))
        steps, batch, hidden = xs.shape[0], xs.shape[-2], Wh.shape[-1]
        shape = (*Wx.shape[:-2], batch, hidden)
        carried = self.h if self.stateful else None
        if carried is not None and carried.shape != shape:
            raise ValueError(
                f"the carried state has shape {carried.shape}, the window needs {shape}: call reset_state() first"
            )
        dtype = np.result_type(xs, *self.params, *(() if carried is None else (carried,)))
        hs = self._steps("hs", (steps + 1, *shape), dtype)
        pre = self._steps("pre", (steps, *shape), dtype)
        if first == 0:
            hs[0] = 0.0 if carried is None else carried
        whole_window(xs[first:], Wx, b, out=pre[first:])
        phi, states, inputs = self.activation.forward, self._steps.views("hs"), self._steps.views("pre")
        for t in range(first, steps):
            h = states[t + 1]
            np.matmul(states[t], Wh, out=h)
            np.add(h, inputs[t], out=h)
            phi(h, out=h)
        self._window = (xs, hs)
        self.h = hs[steps].copy()
        return self._returned(hs[1:])

    def backward(self, dhs: ArrayLike, *, norms: bool = False) -> Array:
        """Gradients of a window: dL/dhs (T, ..., N, H) -> dL/dxs (T, ..., N, D).

        Parameters
        ----------
        dhs : array (T, ..., N, H)
            The loss's derivative in each state, apart from what later states add.
        norms : bool
            Also leave ||dL/dh_t|| of every step and sequence in `dh_norms`.
        """
        dhs = self._given(dhs)
        xs, hs = self._window
        Wx, Wh, _ = self.params
        dWx, dWh, db = self.grads
        if dhs.shape != hs[1:].shape:
            raise ValueError(f"TimeRNN: dhs must have shape {hs[1:].shape}, got {dhs.shape}")
        steps = len(xs)
        dtype = np.result_type(dhs, hs)
        dh = self._steps("dh", hs.shape, dtype)
        dpre = self._steps("dpre", hs[1:].shape, dtype)
        self.activation.derivative(hs[1:], out=dpre)
        dstates, dinputs = self._steps.views("dh"), self._steps.views("dpre")
        back = Wh.swapaxes(-1, -2)
        dh[:-1] = 0.0
        dh[-1] = dhs[-1]
        for t in range(steps - 1, -1, -1):
            np.multiply(dstates[t + 1], dinputs[t], out=dinputs[t])
            np.matmul(dinputs[t], back, out=dstates[t])
            if t:
                np.add(dstates[t], dhs[t - 1], out=dstates[t])
        weight_gradient(xs, dpre, out=dWx)
        weight_gradient(hs[:-1], dpre, out=dWh)
        bias_gradient(dpre, out=db)
        self.dh = dh[0].copy()
        self.dh_norms = row_norms(dh) if norms else None
        dxs = self._steps("dxs", xs.shape, dtype)
        return self._returned(whole_window(dpre, Wx.swapaxes(-1, -2), None, out=dxs))

    @property
    def states(self) -> Array:
        """States of the last window, the one before its first step included: (T + 1, ..., N, H); a view."""
        return self._window[1]

    def slopes(self) -> Array:
        """phi'(.) of every unit at every step of the last window: (T, ..., N, H)."""
        return self.activation.derivative(self.states[1:])

    def jacobians(self, sequence: int = 0) -> Array:
        """dh_t / dh_{t-1} of one sequence of the last window: (T, ..., H, H), rows the earlier state's units."""
        return self.params[1] * self.slopes()[..., sequence, :][..., np.newaxis, :]

    def backward_each(self, dhs: Array) -> tuple[Array, list[Array]]:
        """Every step on its own: dL/dh_t -> dL/dh_{t-1} and the gradients through that one step.

        Parameters
        ----------
        dhs : array (T, ..., N, H)
            Gradients in the states of the last window; none of them is passed on to an earlier one.

        Returns
        -------
        dh_prev : array (T, ..., N, H)
        grads : list of arrays, shaped as `params`
            Summed over the steps; `self.grads` is left alone.
        """
        xs, hs = self._window
        dpre = dhs * self.slopes()
        grads = [np.zeros_like(grad, dtype=dpre.dtype) for grad in self.grads]
        weight_gradient(xs, dpre, out=grads[0])
        weight_gradient(hs[:-1], dpre, out=grads[1])
        bias_gradient(dpre, out=grads[2])
        return dpre @ self.params[1].swapaxes(-1, -2), grads

    def inputs_each(self, dhs: Array) -> Array:
        """dL/dx_t through step t alone, from gradients dL/dh_t as for `backward_each`: (T, ..., N, D)."""
        return (dhs * self.slopes()) @ self.params[0].swapaxes(-1, -2)

    def drop(self, steps: int) -> None:
        """Forget the oldest `steps` steps of the window; the later ones become its first."""
        self._steps.drop("hs", steps)


def _check(params: list[Array]) -> None:
    Wx, Wh, b = params
    hidden = Wh.shape[-1]
    check_shapes("RNN", Wh=(Wh, (hidden, hidden)), Wx=(Wx, (Wx.shape[-2], hidden)), b=(b, (hidden,)))
