"""A linear map of every step: the embedding of real-valued input, and the output layer."""

from typing import Any, ClassVar

from numpy.typing import ArrayLike

from .base import Array, Layer, bias_gradient, check_shapes, common_dtype, weight_gradient, whole_window


class TimeLinear(Layer):
    """y_t = x_t W + b, all steps in one product.

    Parameters
    ----------
    W : array (..., D, O)
    b : array (..., O), optional
    **options
        Those of `Layer`: ``grads``, ``batch_first``, ``reuse``.
    """

    kept: ClassVar[tuple[str, ...]] = ("ys",)

    def __init__(self, W: ArrayLike, b: ArrayLike | None = None, **options: Any) -> None:
        super().__init__((W,) if b is None else (W, b), **options)

    def forward(self, xs: ArrayLike, first: int = 0) -> Array:
        """Inputs (T, ..., N, D) -> outputs (T, ..., N, O)."""
        xs = self._given(xs)
        W, b = self.params if len(self.params) == 2 else (self.params[0], None)
        if xs.shape[-1] != W.shape[-2]:
            check_shapes("TimeLinear", xs=(xs, (W.shape[-2],)))
        self._xs = xs
        ys = self._steps("ys", (*xs.shape[:-1], W.shape[-1]), common_dtype(xs, self.params))
        whole_window(xs[first:], W, b, out=ys[first:])
        return self._returned(ys)

    def backward(self, dys: ArrayLike) -> Array:
        """dL/dys (T, ..., N, O) -> dL/dxs (T, ..., N, D)."""
        dys = self._given(dys)
        W = self.params[0]
        weight_gradient(self._xs, dys, out=self.grads[0])
        if len(self.params) == 2:
            bias_gradient(dys, out=self.grads[1])
        dxs = self._steps("dxs", self._xs.shape, common_dtype(dys, [W]))
        return self._returned(whole_window(dys, W.mT, None, out=dxs))
