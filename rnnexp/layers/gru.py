"""The gated recurrent unit: one step (`GRU`) and a window of steps (`TimeGRU`)."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from .activations import sigmoid
from .base import Array, ShownArrays, as_parameter, bias_gradient, overwrite, time_blocks
from .gates import TimeGated, all_gates, per_gate
from .recurrent import State
from .time_cell import check_parameters


class GRU(ShownArrays):
    """One step, with the gates r (reset), z (update) and the candidate n.

    ::

        r = sigmoid(x Wx_r + h_prev Wh_r + b_r)
        z = sigmoid(x Wx_z + h_prev Wh_z + b_z)
        n = tanh(x Wx_n + b_n + r * (h_prev Wh_n + bn))
        h = (1 - z) * n + z * h_prev

    A window of such steps, as a network is made of, is `TimeGRU`.

    Cho et al. 2014, section 2.3, with the reset gate after the product, as in cuDNN and PyTorch.

    Parameters
    ----------
    Wx : array (..., 3, D, H)
        One matrix each for r, z, n.
    Wh : array (..., 3, H, H)
    b : array (..., 3, H)
    bn : array (..., H)
        The candidate's second bias, which the reset gate multiplies.

    Attributes
    ----------
    params, grads : lists of four arrays
        ``[Wx, Wh, b, bn]`` and their gradients, which `backward` overwrites.
    """

    remark = "one step; a window of steps is TimeGRU"

    def __init__(self, Wx: ArrayLike, Wh: ArrayLike, b: ArrayLike, bn: ArrayLike) -> None:
        self.params = [as_parameter(array) for array in (Wx, Wh, b, bn)]
        self.grads = [np.zeros_like(array) for array in self.params]
        check_parameters(self, TimeGRU, self.params)

    def forward(self, x: ArrayLike, h_prev: ArrayLike) -> Array:
        """x (..., N, D), h_prev (..., N, H) -> h (..., N, H)."""
        Wx, Wh, b, bn = self.params
        x, h_prev = np.asarray(x), np.asarray(h_prev)
        inputs = per_gate(x, Wx) + b[..., np.newaxis, :]
        hidden = per_gate(h_prev, Wh)
        r = sigmoid(inputs[..., 0, :, :] + hidden[..., 0, :, :])
        z = sigmoid(inputs[..., 1, :, :] + hidden[..., 1, :, :])
        reset = hidden[..., 2, :, :] + bn[..., np.newaxis, :]
        n = np.tanh(inputs[..., 2, :, :] + r * reset)
        self.cache = (x, h_prev, r, z, n, reset)
        h: Array = (1.0 - z) * n + z * h_prev
        return h

    def backward(self, dh_next: ArrayLike) -> tuple[Array, Array]:
        """dL/dh (..., N, H) -> dL/dx (..., N, D), dL/dh_prev (..., N, H)."""
        Wx, Wh, _, _ = self.params
        x, h_prev, r, z, n, reset = self.cache
        dh = np.asarray(dh_next)
        dn = dh * (1.0 - z) * (1.0 - n * n)
        dreset = dn * r
        dr = dn * reset * r * (1.0 - r)
        dz = dh * (h_prev - n) * z * (1.0 - z)
        dinputs, dhidden = np.stack([dr, dz, dn], axis=-3), np.stack([dr, dz, dreset], axis=-3)
        dWx, dWh = x[..., np.newaxis, :, :].mT @ dinputs, h_prev[..., np.newaxis, :, :].mT @ dhidden
        self.unsummed = (dWx, dWh, dinputs.sum(axis=-2), dreset.sum(axis=-2))
        overwrite(self.grads, self.unsummed)
        return (dinputs @ Wx.mT).sum(axis=-3), dh * z + (dhidden @ Wh.mT).sum(axis=-3)


class TimeGRU(TimeGated):
    """A window of steps of a `GRU`, the same weights at every step.

    Parameters
    ----------
    Wx, Wh, b, bn : arrays
        As for `GRU`.
    activation : {"tanh"}
        Of the candidate.
    **options
        Those of `Recurrent`: ``stateful``, ``grads``, ``batch_first``, ``reuse``, ``h0``.
    """

    remark = "a window of steps; one step is GRU"
    gate_names: ClassVar[tuple[str, ...]] = ("reset", "update")
    kept: ClassVar[tuple[str, ...]] = ("gates", "reset")

    def __init__(
        self,
        Wx: ArrayLike,
        Wh: ArrayLike,
        b: ArrayLike,
        bn: ArrayLike,
        stateful: bool = False,
        *,
        activation: str = "tanh",
        **options: Any,
    ) -> None:
        super().__init__((Wx, Wh, b, bn), activation, stateful=stateful, **options)

    @staticmethod
    def parameter_shapes(input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arrays that the constructor takes, in its order."""
        return {
            "Wx": (3, input_size, hidden_size),
            "Wh": (3, hidden_size, hidden_size),
            "b": (3, hidden_size),
            "bn": (hidden_size,),
        }

    def _cell(self) -> GRU:
        return GRU(*self.params[:4])

    def _forward(self, first: int) -> None:
        """The formulas of `GRU`: the inputs of all steps at once, then the recurrence."""
        _, Wh, _, bn = self.params[:4]
        xs, shape = self._xs, self._states[0].shape[1:]
        self._steps("reset", (len(xs), *shape), self._dtype)
        self._gate_inputs(first)
        weights, bias = self._halved(all_gates(Wh)), np.broadcast_to(bn[..., np.newaxis, :], shape)
        hidden, work = np.empty((3, *shape), self._dtype), np.empty(shape, self._dtype)
        hidden_rz, hidden_n = hidden[:2], hidden[2]
        each_h, each_reset = self._steps.views("h"), self._steps.views("reset")
        each_rz, each_r, each_z, each_n = (self._steps.views("gates", *part) for part in ((0, 2), (0,), (1,), (2,)))
        matmul, add, multiply, tanh, subtract = np.matmul, np.add, np.multiply, np.tanh, np.subtract
        for t in range(first, len(xs)):
            h_prev, h, rz, n, reset = each_h[t], each_h[t + 1], each_rz[t], each_n[t], each_reset[t]
            matmul(h_prev, weights, hidden)
            add(rz, hidden_rz, rz)
            tanh(rz, rz)
            multiply(rz, 0.5, rz)
            add(rz, 0.5, rz)
            add(hidden_n, bias, reset)
            multiply(each_r[t], reset, work)
            add(n, work, n)
            tanh(n, n)
            subtract(h_prev, n, h)
            multiply(h, each_z[t], h)
            add(h, n, h)

    def _backward(self, dhs: Array, dstates: list[Array], step_weights: Sequence[float] | None) -> Array:
        """dh_{t-1} = z_t dh_t + sum_g dgates_t Wh_g^T + dhs_{t-1}; then the gradients of all steps at once."""
        hs, dh = self._states[0], dstates[0]
        steps, shape = len(hs) - 1, hs.shape[1:]
        gates, reset = self._gates(), self._steps("reset", (steps, *shape), self._dtype)
        # The gradients of r, z, (h_prev Wh_n + bn) and n of all steps; the factor dh_t comes in the recurrence.
        dgates = self._steps("dgates", (steps, *shape), dh.dtype, slabs=4)
        for block in time_blocks(hs[1:]):
            _slopes(gates[block].swapaxes(0, 1).copy(), reset[block], hs[:-1][block], dgates[:, block])
        back, work = self._back(), np.empty(shape, dh.dtype)
        concatenated, times = self._concatenated(back, dh[0])
        each_dh, each_z, each_dhidden = (self._steps.views(*part) for part in (("dh",), ("gates", 1), ("dgates", 0, 3)))
        each_dr, each_dz, each_dreset, each_dn = (self._steps.views("dgates", part) for part in range(4))
        dh[-1] = dhs[-1]
        add, multiply, copy, incoming = np.add, np.multiply, np.copyto, self._each_incoming(dhs)
        for t in range(steps - 1, -1, -1):
            dh_t, dr, dz, dreset, dn = each_dh[t + 1], each_dr[t], each_dz[t], each_dreset[t], each_dn[t]
            dh_prev = each_dh[t]
            multiply(dh_t, dr, dr)
            multiply(dh_t, dz, dz)
            multiply(dh_t, dreset, dreset)
            multiply(dh_t, dn, dn)
            copy(concatenated, each_dhidden[t])
            times(back, dh_prev)
            multiply(dh_t, each_z[t], work)
            add(dh_prev, work, dh_prev)
            if step_weights is not None:
                multiply(dh_prev, step_weights[t], dh_prev)
            if t:
                add(dh_prev, incoming[t - 1], dh_prev)
        dr, dz, dreset, dn = dgates
        bias_gradient(dreset, out=self.grads[3])
        return self._gate_gradients((dr, dz, dn), (dr, dz, dreset))

    def _through_next_step(self, through: State) -> None:
        """z_{t+1} dh_{t+1} + sum_g dgates_{t+1} Wh_g^T."""
        dh, before = self._dstates[0][1:], through[0][:-1]
        np.multiply(self._gates()[:, 1], dh, out=before)
        self._through_gates(list(self._steps("dgates", dh.shape, dh.dtype, slabs=4)[:3]), before)

    def step_slopes(self, t: int) -> tuple[Array, Array, Array | None]:
        """Those of r, z and n, and of r, z and (h_prev Wh_n + bn); z of the state before."""
        gates, h_prev = self._steps.views("gates")[t], self._states[0][t]
        slopes = np.empty((4, *h_prev.shape), h_prev.dtype)
        _slopes(gates, self._steps.views("reset")[t], h_prev, slopes)
        by_gate = slopes.swapaxes(0, 1)[:, np.newaxis]
        return by_gate[:, :, [0, 1, 3]], by_gate[:, :, :3], gates[1][:, np.newaxis, np.newaxis]


def _slopes(gates: Array, reset: Array, h_prev: Array, out: Array) -> None:
    """Gradients of r, z, (h_prev Wh_n + bn) and n before activation, without the factor dh: out (4, T, ..., N, H)."""
    (r, z, n), (dr, dz, dreset, dn) = gates, out
    np.subtract(1.0, z, out=dz)
    np.multiply(n, n, out=dn)
    np.subtract(1.0, dn, out=dn)
    np.multiply(dn, dz, out=dn)
    np.multiply(dn, r, out=dreset)
    np.subtract(1.0, r, out=dr)
    np.multiply(dr, dreset, out=dr)
    np.multiply(dr, reset, out=dr)
    np.multiply(dz, z, out=dz)
    np.multiply(dz, h_prev - n, out=dz)
