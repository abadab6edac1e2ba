"""What all layers over a window share: their arrays, their buffers, and the products over all steps at once."""

import inspect
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..components import Shown

Array = NDArray[Any]
#: Of one network, or of each.
Loss = np.floating[Any] | Array

#: Numbers per block in passes over all steps, so that a block stays in the cache between the passes.
BLOCK = 2**14
#: Numbers per partial sum of a long sum.
PART = 2**13
WIDE = (np.dtype(np.float64), np.dtype(np.complex128), np.dtype(np.longdouble))


def as_parameter(array: ArrayLike) -> Array:
    """`array` itself if it is floating or complex (never a copy), else converted to float64."""
    array = np.asarray(array)
    return array if array.dtype.kind in "fc" else array.astype(np.float64)


def time_blocks(steps: Array) -> list[slice]:
    """Blocks of the steps of an array (T, ..., N, H), for several passes over each."""
    each = max(1, BLOCK * len(steps) // max(1, steps.size))
    return [slice(start, start + each) for start in range(0, len(steps), each)]


def rows(sequence: Array) -> Array:
    """Every step of every sequence of the batch as a row: (T, ..., N, D) -> (..., T * N, D)."""
    if sequence.ndim == 3:
        steps, batch, features = sequence.shape
        return sequence.reshape(steps * batch, features)
    # Contiguous, so that each network's rows are summed in the same order as if it were alone.
    moved = np.ascontiguousarray(np.moveaxis(sequence, 0, -3))
    return moved.reshape(*moved.shape[:-3], -1, moved.shape[-1])


def product(left: Array, right: Array, out: Array) -> Array:
    """left @ right, written into `out`."""
    if _single(left, right, out):
        return left.dot(right, out)
    return np.matmul(left, right, out)


def multiplier(left: Array, right: Array, out: Array) -> Callable[[Array, Array], Any]:
    """A function (right, out) that multiplies `left` with such matrices as these, looked up once for a recurrence."""
    return left.dot if _single(left, right, out) else partial(np.matmul, left)


def transposed(weight: Array) -> Array:
    """W^T of each matrix (..., fan_in, fan_out) as a contiguous copy: small products with a view take twice as long."""
    return np.ascontiguousarray(weight.mT)


def _single(left: Array, right: Array, out: Array) -> bool:
    """Whether `dot` can do it: one network, and a contiguous `out` of the factors' own dtype."""
    return left.ndim <= 2 and right.ndim == 2 and left.dtype is right.dtype is out.dtype and out.flags.c_contiguous


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
        product(rows(xs), weight, out.reshape(-1, out.shape[-1]))
    else:
        together = np.matmul(rows(xs), weight)
        steps, batch = xs.shape[0], xs.shape[-2]
        parted = together.reshape(*together.shape[:-2], steps, batch, together.shape[-1])
        out[...] = np.moveaxis(parted, -3, 0)
    if bias is not None:
        np.add(out, bias[..., np.newaxis, :], out=out)
    return out


def weight_gradient(xs: Array, dys: Array, out: Array) -> Array:
    """dW = sum over steps and batch of x^T dy, in one product: (T, ..., N, D), (T, ..., N, H) -> (..., D, H)."""
    return product(rows(xs).mT, rows(dys), out)


def bias_gradient(dys: Array, out: Array) -> Array:
    """Sum over steps and batch, (T, ..., N, H) -> (..., H), as a product, whose order does not depend on copies."""
    flat = rows(dys)
    return product(ones(flat.shape[-2], flat.dtype), flat, out)


@lru_cache(maxsize=64)
def ones(count: int, dtype: np.dtype[Any]) -> Array:
    """A vector (count,) of ones, shared: not to be written into."""
    return np.ones(count, dtype)


@lru_cache
def at_least_double(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in which long sums of such numbers are taken: float64, or what is wider."""
    return np.result_type(dtype, np.float64)


def mean_over_scored(values: Array, weights: Array | float) -> Loss:
    """Weighted sum over steps and batch, (T, ..., N) -> (...): the numbers of each network contiguous, then summed."""
    weighted = np.multiply(values, weights, dtype=at_least_double(values.dtype))
    mean: Loss
    if weighted.ndim == 2:
        mean = np.add.reduce(weighted.reshape(-1))
    else:
        weighted = np.ascontiguousarray(np.moveaxis(weighted, 0, -2))
        mean = weighted.reshape(*weighted.shape[:-2], -1).sum(axis=-1)
    return mean


def row_norms(vectors: Array) -> Array:
    """Euclidean norms over the last axis, summed in float64 so that float32 cannot under- or overflow."""
    if vectors.dtype not in WIDE:
        return np.asarray(np.sqrt(_sum_of_squares(vectors, at_least_double(vectors.dtype))))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        squares: Array = np.asarray(_sum_of_squares(vectors, vectors.dtype))
    if not ((squares > 1e-280) & (squares < np.inf)).all() and np.isfinite(vectors).all():
        # The squares over- or underflow, the norms need not.
        largest = np.abs(vectors).max(axis=-1, keepdims=True)
        vectors = vectors / np.where(largest > 0, largest, 1.0)
        return np.asarray(largest[..., 0] * np.sqrt(np.einsum("...i,...i->...", vectors, vectors)))
    return np.asarray(np.sqrt(squares))


def _sum_of_squares(vectors: Array, dtype: np.dtype[Any]) -> Any:
    """Of each row of (..., P), in `dtype`: by parts that stay in the cache, and that BLAS leaves to one thread."""
    if vectors.shape[-1] > PART:
        parts = range(0, vectors.shape[-1], PART)
        return sum(_sum_of_squares(vectors[..., start : start + PART], dtype) for start in parts)
    vectors = vectors.astype(dtype, copy=False)
    if dtype != np.float64:
        return np.einsum("...i,...i->...", vectors, vectors)
    return np.dot(vectors, vectors) if vectors.ndim == 1 else np.vecdot(vectors, vectors)


class Steps:
    """Buffers over time that are kept from window to window, with one view per step, made once for each buffer.

    A buffer is (T, ...), and where a step has several gates (T, G, ...), or with slabs (G, T, ...).
    """

    def __init__(self) -> None:
        self._over_time: dict[str, Array] = {}
        self._views: dict[str, dict[tuple[int, ...], list[Array]]] = {}
        self._products: dict[str, list[Callable[[Array, Array], Any]]] = {}
        self._latest: dict[str, tuple[tuple[int, ...], np.dtype[Any], int, Array]] = {}

    def __call__(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], *, slabs: int = 0) -> Array:
        """The buffer of that name for `shape` (T, ...); its contents stay while only the number of steps changes."""
        latest = self._latest.get(name)
        if latest is not None and latest[0] == shape and latest[1] is dtype and latest[2] == slabs:
            return latest[3]
        steps, rest = shape[0], (*((slabs,) if slabs else ()), *shape[1:])
        old = self._over_time.get(name)
        if old is not None and (old.dtype, old.shape[1:]) != (dtype, rest):
            old = None
        if old is None or len(old) < steps:
            # Slabs lie one after the other, whole windows each, so that products over all steps need no copy.
            new = np.zeros((slabs, *shape), dtype).swapaxes(0, 1) if slabs else np.zeros(shape, dtype)
            if old is not None:
                new[: len(old)] = old
            self._over_time[name], self._views[name] = new, {}
            self._products.pop(name, None)
        array = self._over_time[name][:steps]
        array = array.swapaxes(0, 1) if slabs else array
        self._latest[name] = (shape, dtype, slabs, array)
        return array

    def views(self, name: str, *part: int) -> list[Array]:
        """The buffer's steps as a list of views; of gate `part`, or of the gates from one up to another, if given."""
        made = self._views[name]
        if part not in made:
            steps, at = self._over_time[name], part[0] if len(part) == 1 else slice(*(part or (None,)))
            made[part] = list(steps[:, at] if part else steps)
        return made[part]

    def products(self, name: str, right: Array, out: Array) -> list[Callable[[Array, Array], Any]]:
        """For each step of the buffer a function (right, out) that multiplies with it.

        An array's own `dot`, looked up before the recurrence, costs a third of what `matmul` does, and gives the same
        bits.
        """
        views, made = self.views(name), self._products
        if not views or not _single(views[0], right, out):
            return [partial(np.matmul, view) for view in views]
        if name not in made:
            made[name] = [view.dot for view in views]
        return made[name]

    def drop(self, name: str, steps: int) -> None:
        """Forget the oldest `steps` steps: what follows moves to the front."""
        array = self._over_time.get(name)
        if array is not None and steps:
            array[:-steps] = array[steps:]


class ShownArrays(Shown):
    """Shown with its parameters, which are the constructor's first arguments, in their order."""

    params: list[Array]

    def configuration(self) -> dict[str, Any]:
        """The arguments of the constructor by name, the arrays included."""
        names = [
            key for key, item in inspect.signature(type(self)).parameters.items() if item.kind < item.VAR_POSITIONAL
        ]
        return dict(zip(names, self.params, strict=False)) | super().configuration()


class Layer(ShownArrays):
    """A layer over a window.

    Parameters
    ----------
    params : sequence of arrays (..., fan_in, fan_out) or (..., features)
        Kept, never copied or rebound: an optimizer writes into them.
    grads : sequence of arrays, optional
        Where `backward` writes the gradients; made like `params` when not given.
    batch_first : bool
        Take and return sequences as (N, T, ...) instead of (T, ..., N, ...).
    reuse : bool
        Return the layer's own buffers, which the next call overwrites, instead of copies.
    """

    grads: list[Array]
    #: Buffers with what was computed of the last window, which `drop` moves on.
    kept: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        params: Sequence[ArrayLike],
        *,
        grads: Sequence[Array] | None = None,
        batch_first: bool = False,
        reuse: bool = False,
    ) -> None:
        self.params = [as_parameter(array) for array in params]
        self.grads = [np.zeros_like(array) for array in self.params] if grads is None else list(grads)
        self.batch_first = batch_first
        self.reuse = reuse
        self._steps = Steps()

    def configuration(self) -> dict[str, Any]:
        """The arguments of the constructor by name."""
        return super().configuration() | {"batch_first": self.batch_first}

    def _given(self, sequence: ArrayLike, features: bool = True) -> Array:
        """A sequence that the caller gave, with time first."""
        array = np.asarray(sequence)
        return array.swapaxes(0, -2 if features else -1) if self.batch_first else array

    def _returned(self, sequence: Array) -> Array:
        """A time-first result as the caller expects it."""
        result = sequence.swapaxes(0, -2) if self.batch_first else sequence
        return result if self.reuse else result.copy()

    def drop(self, steps: int) -> None:
        """Forget the oldest `steps` steps of the window, to make room for new ones while the rest is kept."""
        for name in self.kept:
            self._steps.drop(name, steps)


def one_step_sum(value: Array, like: Array) -> Array:
    """A gradient of one step, or of many steps along leading axes, summed to the shape of `like`."""
    extra = value.ndim - like.ndim
    return value.sum(axis=tuple(range(extra))) if extra else value


def overwrite(grads: list[Array], values: Sequence[Array]) -> list[Array]:
    """Write the gradients of one step into the arrays `grads`; the same list."""
    for grad, value in zip(grads, values, strict=True):
        grad[...] = one_step_sum(value, grad)
    return grads


def common_dtype(array: Array, params: Sequence[Array]) -> np.dtype[Any]:
    """The dtype to which `array` and the parameters are promoted."""
    dtype = array.dtype
    for param in params:
        if param.dtype is not dtype:
            return np.result_type(array, *params)
    return dtype


def check_shapes(layer: str, **arrays: tuple[Array, tuple[int, ...]]) -> None:
    """Raise a ValueError that names the first array whose trailing shape is not the expected one."""
    for name, (array, expected) in arrays.items():
        if array.shape[array.ndim - len(expected) :] != expected:
            raise ValueError(f"{layer}: {name} must end in shape {expected}, got {array.shape}")
