"""Losses over scored steps: the mean over those steps that the mask marks, one loss for each network."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..components import Shown
from .base import Array, Loss, Steps, mean_over_scored, ones

#: Numbers in a row up to which all rows are compared at once; rows from which a product pays; numbers in a matrix up to
#: which OpenBLAS multiplies it in one thread.
SHORT, MANY, UNSHARED = 64, 4, 9000


def _share(mask: Array | None, shape: tuple[int, ...]) -> Array | float:
    """Each step's share of the mean: one number where all of (T, ..., N) is scored, else 1 / count or 0 by step."""
    if mask is None:
        return 1.0 / max(1, shape[0] * shape[-1])
    scored = np.broadcast_to(np.asarray(mask, np.float64), shape)
    count = scored.sum(axis=(0, -1), keepdims=True)
    share: Array = scored / np.maximum(count, 1.0)
    return share


def _part(mask: ArrayLike | None, shape: tuple[int, ...]) -> Array | None:
    """The mask for all of `shape`, or None if it leaves nothing out."""
    if mask is None or np.logical_and.reduce(mask, axis=None):
        return None
    return np.broadcast_to(np.asarray(mask, bool), shape)


class SoftmaxCrossEntropy(Shown):
    """-ln softmax(y_t)[target_t], in nats, averaged over the scored steps of all sequences."""

    def __init__(self) -> None:
        self._steps = Steps()
        self._rows = np.empty(0, np.intp)

    def forward(
        self, outputs: ArrayLike, targets: ArrayLike, mask: ArrayLike | None = None, *, overwrite: bool = False
    ) -> Loss:
        """Mean loss.

        Parameters
        ----------
        outputs : array (T, ..., N, O)
        targets : integer array (T, ..., N)
        mask : boolean array (T, ..., N), optional
            Which steps are scored; all of them when not given.
        overwrite : bool
            Compute in the contiguous array `outputs`, which is not needed any more, instead of one more of its size.

        Returns
        -------
        scalar, or array (...) of one loss for each network
        """
        outputs, targets = np.asarray(outputs), np.asarray(targets)
        part = _part(mask, targets.shape)
        self._share = _share(part, targets.shape)
        shifted = outputs if overwrite else self._steps("shifted", outputs.shape, outputs.dtype)
        self._exponentials = shifted
        flat = shifted.reshape(-1)
        self._at_target = (targets if part is None else np.where(part, targets, 0)).reshape(-1) + self._starts(shifted)
        real = outputs.real if outputs.dtype.kind == "c" else outputs
        np.subtract(outputs, _largest(real), shifted)
        chosen = flat[self._at_target].reshape(targets.shape)
        np.exp(shifted, shifted)
        self._total = _row_sums(shifted)
        return mean_over_scored(np.log(self._total) - chosen, self._share)

    def backward(self) -> Array:
        """dL/doutputs (T, ..., N, O), once for each forward; the next forward overwrites it."""
        slope = self._exponentials
        share = _like(self._share, slope)
        slope *= (share / self._total)[..., np.newaxis]
        slope.reshape(-1)[self._at_target] -= share if isinstance(share, float) else share.reshape(-1)
        return slope

    def _starts(self, outputs: Array) -> Array:
        """Where each row of outputs (T, ..., N, O) begins among all of them."""
        size = outputs.shape[-1]
        if len(self._rows) * size != outputs.size or (len(self._rows) > 1 and self._rows[1] != size):
            self._rows = np.arange(0, outputs.size, size)
        return self._rows


def _largest(outputs: Array) -> Array:
    """Maximum over the last axis, which stays: (..., O) -> (..., 1).

    Short rows are compared as columns, all rows at once, since NumPy's reduction has a price for each row.
    """
    size = outputs.shape[-1]
    if size > SHORT or outputs.size < 2 * SHORT:
        return np.asarray(np.maximum.reduce(outputs, axis=-1, keepdims=True))
    columns = np.ascontiguousarray(outputs.reshape(-1, size).T)
    return np.asarray(np.maximum.reduce(columns, axis=0)).reshape(*outputs.shape[:-1], 1)


def _row_sums(values: Array) -> Array:
    """Sum over the last axis; of a step with many rows as a product with ones, if BLAS does that in one thread."""
    if values.shape[-2] < MANY or values.shape[-2] * values.shape[-1] > UNSHARED:
        return np.asarray(np.add.reduce(values, axis=-1))
    return np.asarray(np.matmul(values, ones(values.shape[-1], values.dtype)))


class MeanSquaredError(Shown):
    """(y_t - target_t)^2, averaged over the values of a step and the scored steps of all sequences."""

    def forward(
        self, outputs: ArrayLike, targets: ArrayLike, mask: ArrayLike | None = None, *, overwrite: bool = False
    ) -> Loss:
        """Mean loss: outputs and targets (T, ..., N, O), mask (T, ..., N); one loss for each network.

        Nothing is gained if it may `overwrite` the outputs.
        """
        outputs, targets = np.asarray(outputs), np.asarray(targets)
        self._error = np.subtract(outputs, targets)
        part = _part(mask, self._error.shape[:-1])
        if part is not None:  # what stands at unscored steps has no meaning, and may be NaN
            self._error[~part] = 0.0
        self._share = _share(part, self._error.shape[:-1])
        squares = np.square(self._error)
        values = squares.shape[-1]
        mean = squares[..., 0] if values == 1 else np.add.reduce(squares, axis=-1) / values
        return mean_over_scored(mean, self._share)

    def backward(self) -> Array:
        """dL/doutputs (T, ..., N, O)."""
        slope: Array = self._error
        factor = _like(self._share * (2.0 / slope.shape[-1]), slope)
        slope *= factor if isinstance(factor, float) else factor[..., np.newaxis]
        return slope


def _like(share: Array | float, slope: Array) -> Any:
    """Shares in the precision of a slope, so that nothing is computed in another."""
    return share if isinstance(share, float) else share.astype(slope.real.dtype)


#: The loss for each kind of target.
CRITERIA: dict[str, type[SoftmaxCrossEntropy] | type[MeanSquaredError]] = {
    "classes": SoftmaxCrossEntropy,
    "values": MeanSquaredError,
}
