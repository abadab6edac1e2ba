"""What every layer over a window shares: its arrays, its buffers, and the products over all steps at once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]


def as_parameter(array: ArrayLike) -> Array:
    """`array` itself if it is floating or complex (never a copy), else converted to float64."""
    array = np.asarray(array)
    return array if array.dtype.kind in "fc" else array.astype(np.float64)


def rows(sequence: Array) -> Array:
    """Every step of every sequence as a row: (T, ..., N, D) -> (..., T * N, D)."""
    steps, batch, features = sequence.shape[0], sequence.shape[-2], sequence.shape[-1]
    if sequence.ndim == 3:
        return sequence.reshape(steps * batch, features)
    # Contiguous, so that each network's rows are summed in the same order as if it were alone.
    moved = np.ascontiguousarray(np.moveaxis(sequence, 0, -3))
    return moved.reshape(*moved.shape[:-3], steps * batch, features)


def whole_window(xs: Array, weight: Array, bias: Array | None, out: Array) -> Array:
    """x_t W + b for all steps in one product per network.

    Parameters
    ----------
    xs : array (T, ..., N, D)
    weight : array (..., D, H)
    bias : array (..., H) or None
    out : array (T, ..., N, H), written and returned
    """
    if xs.ndim == 3:
        np.matmul(rows(xs), weight, out=out.reshape(-1, out.shape[-1]))
    else:
        product = np.matmul(rows(xs), weight)
        steps, batch = xs.shape[0], xs.shape[-2]
        parted = product.reshape(*product.shape[:-2], steps, batch, product.shape[-1])
        out[...] = np.moveaxis(parted, -3, 0)
    if bias is not None:
        np.add(out, bias[..., np.newaxis, :], out=out)
    return out


def weight_gradient(xs: Array, dys: Array, out: Array) -> Array:
    """DW = sum over steps and batch of x^T dy, in one product: (T, ..., N, D), (T, ..., N, H) -> (..., D, H)."""
    return np.matmul(rows(xs).swapaxes(-1, -2), rows(dys), out=out)


def bias_gradient(dys: Array, out: Array) -> Array:
    """Sum over steps and batch, (T, ..., N, H) -> (..., H), as a product, whose order does not depend on copies."""
    flat = rows(dys)
    np.matmul(np.ones(flat.shape[-2], flat.dtype), flat, out=out)
    return out


def mean_over_scored(values: Array, weights: Array) -> Any:
    """Weighted sum over steps and batch, (T, ..., N) -> (...): each network's numbers side by side, then summed."""
    weighted = np.ascontiguousarray(np.moveaxis(values * weights, 0, -2))
    return weighted.reshape(*weighted.shape[:-2], -1).sum(axis=-1)


def row_norms(vectors: Array) -> Array:
    """Euclidean norms over the last axis, summed in float64 so that float32 cannot under- or overflow."""
    wide = np.result_type(vectors.dtype, np.float64)
    squares: Array = np.asarray(np.einsum("...i,...i->...", vectors, vectors, dtype=wide))
    if vectors.dtype == wide and not ((squares > 1e-280) & (squares < np.inf)).all() and np.isfinite(vectors).all():
        # The squares over- or underflow, the norms need not.
        largest = np.abs(vectors).max(axis=-1, keepdims=True)
        vectors = vectors / np.where(largest > 0, largest, 1.0)
        return np.asarray(largest[..., 0] * np.sqrt(np.einsum("...i,...i->...", vectors, vectors)))
    return np.sqrt(squares, out=squares)


class Steps:
    """Time-first buffers that live from window to window, and one view per step made once for each buffer."""

    def __init__(self) -> None:
        self._arrays: dict[str, Array] = {}
        self._views: dict[str, list[Array]] = {}

    def __call__(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """A buffer of `shape` (time first); its contents stay as long as only the number of steps changes."""
        old = self._arrays.get(name)
        if old is None or old.dtype != dtype or old.shape[1:] != shape[1:] or old.shape[0] < shape[0]:
            new = np.zeros(shape, dtype)
            if old is not None and old.dtype == dtype and old.shape[1:] == shape[1:]:
                new[: old.shape[0]] = old
            self._arrays[name], self._views[name] = new, list(new)
        return self._arrays[name][: shape[0]]

    def views(self, name: str) -> list[Array]:
        """The buffer's steps as a list of views."""
        return self._views[name]

    def drop(self, name: str, steps: int) -> None:
        """Forget the oldest `steps` steps: what follows moves to the front."""
        array = self._arrays.get(name)
        if array is not None and steps:
            array[:-steps] = array[steps:]


class Layer:
    """A layer over a window.

    Parameters
    ----------
    params : sequence of arrays (..., fan_in, fan_out) or (..., features)
        Kept, never copied or rebound: an optimizer writes into them.
    grads : sequence of arrays, optional
        Where `backward` writes the gradients; made like `params` when not given.
    batch_first : bool
        Sequences come and go as (N, T, ...) instead of (T, ..., N, ...).
    reuse : bool
        Return the layer's own buffers, which the next call overwrites, instead of copies.
    """

    params: list[Array]
    grads: list[Array]

    def __init__(
        self,
        params: Sequence[ArrayLike],
        grads: Sequence[Array] | None,
        *,
        batch_first: bool,
        reuse: bool,
    ) -> None:
        self.params = [as_parameter(array) for array in params]
        self.grads = [np.zeros_like(array) for array in self.params] if grads is None else list(grads)
        self.batch_first = batch_first
        self.reuse = reuse
        self._steps = Steps()

    def _given(self, sequence: ArrayLike, features: bool = True) -> Array:
        """A sequence as it came, with time first."""
        array = np.asarray(sequence)
        return array.swapaxes(0, -2 if features else -1) if self.batch_first else array

    def _returned(self, sequence: Array) -> Array:
        """A time-first result as the caller expects it."""
        result = sequence.swapaxes(0, -2) if self.batch_first else sequence
        return result if self.reuse else result.copy()

    def drop(self, steps: int) -> None:
        """Forget the oldest `steps` steps of the window, so that a longer past can be kept while new steps come."""


def check_shapes(layer: str, **arrays: tuple[Array, tuple[int, ...]]) -> None:
    """Raise a ValueError that names the first array whose trailing shape is not the expected one."""
    for name, (array, expected) in arrays.items():
        if array.shape[array.ndim - len(expected) :] != expected:
            raise ValueError(f"{layer}: {name} must end in shape {expected}, got {array.shape}")
