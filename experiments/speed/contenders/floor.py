"""The floor: the matrix products that no step can do without, their results laid out beforehand, and nothing else."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapes import GATES, Shape


def make(cell: str, shape: Shape, weights: dict[str, NDArray[Any]]) -> Callable[[], None]:
    """The products of a step; there is no loss."""
    N, T, D, H, O = shape.N, shape.T, shape.D, shape.H, shape.O  # noqa: E741
    GH, rows = GATES[cell] * H, N * T
    rng = np.random.default_rng(0)

    def numbers(*size: int) -> NDArray[Any]:
        return rng.standard_normal(size, dtype=np.float32)

    def empty(*size: int) -> NDArray[Any]:
        return np.empty(size, np.float32)

    xs, hs, dpre, dys = numbers(rows, D), numbers(rows, H), numbers(rows, GH), numbers(rows, O)
    Wx, Wh, W = numbers(D, GH), numbers(H, GH), numbers(H, O)
    pre, outputs, dhs, dxs = empty(rows, GH), empty(rows, O), empty(rows, H), empty(rows, D)
    dWx, dWh, dW = empty(D, GH), empty(H, GH), empty(H, O)
    hidden, back = empty(N, GH), empty(N, H)
    states, deltas = list(hs.reshape(T, N, H)), list(dpre.reshape(T, N, GH))
    WxT, WT, xsT, hsT = Wx.T, W.T, xs.T, hs.T
    WhT = np.ascontiguousarray(Wh.T)  # small products with a mere view take twice the time
    matmul, embedded = np.matmul, shape.tokens

    def step() -> None:
        matmul(xs, Wx, out=pre)
        for h in states:
            matmul(h, Wh, out=hidden)
        matmul(hs, W, out=outputs)
        matmul(dys, WT, out=dhs)
        matmul(hsT, dys, out=dW)
        for dz in deltas:
            matmul(dz, WhT, out=back)
        matmul(hsT, dpre, out=dWh)
        matmul(xsT, dpre, out=dWx)
        if embedded:
            matmul(dpre, WxT, out=dxs)

    return step
