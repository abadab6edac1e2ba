"""The first page: backpropagation through time in plain NumPy, to be read from top to bottom.

A recurrent network applies the same weights at every step, h_t = tanh(x_t Wx + h_{t-1} Wh + b). `RNN` is one step,
forward and back; `TimeRNN` runs a window of T steps forward and goes back through them. On the way back it keeps the
norm of dL/dh_t at every step, and these norms are the point: if they shrink towards t = 0, the gradient vanishes and
what happened long ago cannot be learned; if they grow, it explodes.

Time comes first, as everywhere in this project: inputs (T, N, D), states (T, N, H), for T steps, a batch of N
sequences, D features and H units. Numbers keep the dtype that they come in. The fast layers, `rnnexp.layers.TimeRNN`
and the others, compute the same.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class RNN:
    """One step: h = tanh(x Wx + h_prev Wh + b), for weights Wx (D, H), Wh (H, H) and b (H,)."""

    def __init__(self, Wx: Array, Wh: Array, b: Array) -> None:
        self.params = [Wx, Wh, b]  # the arrays themselves, never copies: all steps share them
        self.grads = [np.zeros_like(param) for param in self.params]

    def phi(self, pre: Array) -> Array:
        """phi(pre) = tanh(pre)."""
        return np.tanh(pre)

    def dphi(self, h: Array) -> Array:
        """phi'(pre) from h = phi(pre): 1 - h^2."""
        return 1.0 - h * h

    def forward(self, x: Array, h_prev: Array) -> Array:
        """x (N, D), h_prev (N, H) -> h (N, H)."""
        Wx, Wh, b = self.params
        h = self.phi(x @ Wx + h_prev @ Wh + b[..., np.newaxis, :])  # the bias is added to each row of the batch
        self.cache = (x, h_prev, h)
        return h

    def backward(self, dh_next: Array) -> tuple[Array, Array]:
        """dL/dh (N, H), as it comes from above and from the next step -> dL/dx (N, D), dL/dh_prev (N, H)."""
        Wx, Wh, _ = self.params
        x, h_prev, h = self.cache
        dpre = dh_next * self.dphi(h)  # pre = x Wx + h_prev Wh + b, h = phi(pre)
        self.grads = [
            x.mT @ dpre,  # dL/dWx = x^T dpre; .mT transposes the last two axes
            h_prev.mT @ dpre,  # dL/dWh = h_prev^T dpre
            dpre.sum(axis=-2),  # dL/db = sum of dpre over the batch
        ]
        return dpre @ Wx.mT, dpre @ Wh.mT  # dL/dx = dpre Wx^T, dL/dh_prev = dpre Wh^T


class TimeRNN:
    """A window of T steps; a stateful layer begins each window where the last one ended.

    After a window, `h` (N, H) is its last state; after its way back, `grads` are the gradients, summed over the steps,
    `dh` (N, H) is dL/dh_0, and `norms` (T + 1,) are ||dL/dh_t|| for t = 0 to T, averaged over the batch.
    """

    def __init__(self, Wx: Array, Wh: Array, b: Array, stateful: bool = False) -> None:
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(param) for param in self.params]
        self.stateful = stateful
        self.h: Array | None = None

    def set_state(self, h: Array) -> None:
        """Begin the next window from h (N, H), if the layer is stateful."""
        self.h = h

    def reset_state(self) -> None:
        """Begin the next window from zeros."""
        self.h = None

    def forward(self, xs: Array) -> Array:
        """xs (T, N, D) -> hs (T, N, H)."""
        if self.h is None or not self.stateful:
            self.h = np.zeros((xs.shape[1], len(self.params[1])), xs.dtype)  # h_0 = 0
        self.steps, hs = [RNN(*self.params) for _ in xs], []
        for step, x in zip(self.steps, xs, strict=True):
            self.h = step.forward(x, self.h)  # h_t = tanh(x_t Wx + h_{t-1} Wh + b)
            hs.append(self.h)
        return np.stack(hs)

    def backward(self, dhs: Array) -> Array:
        """dL/dhs (T, N, H), each state's own share of the loss -> dL/dxs (T, N, D)."""
        self.grads, dxs, norms = [np.zeros_like(param) for param in self.params], [], []
        dh_next = np.zeros_like(dhs[-1])  # what later steps hand back to h_t; nothing comes after h_T
        for step, dh in zip(reversed(self.steps), reversed(dhs), strict=True):
            dh_next = dh + dh_next  # dL/dh_t = share of step t + what step t + 1 passes back
            norms.append(np.linalg.norm(dh_next, axis=-1).mean())
            dx, dh_next = step.backward(dh_next)  # dh_{t-1} = (dh_t * phi'(pre_t)) Wh^T
            dxs.append(dx)
            self.grads = [total + grad for total, grad in zip(self.grads, step.grads, strict=True)]
        self.dh = dh_next
        self.norms = np.array([np.linalg.norm(self.dh, axis=-1).mean(), *reversed(norms)])
        return np.stack(dxs[::-1])
