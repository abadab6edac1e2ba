"""Losses over scored steps: the mean over those steps that the mask marks, one loss for each network."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnnexp.layers.base import Steps, mean_over_scored

Array = NDArray[Any]


def _weights(mask: ArrayLike | None, shape: tuple[int, ...]) -> Array:
    """Each step's share of the mean, shape (T, ..., N): 1 / count where scored, else 0 (all 0 if none is scored)."""
    scored = np.ones(shape) if mask is None else np.broadcast_to(np.asarray(mask, np.float64), shape)
    count = scored.sum(axis=(0, -1), keepdims=True)
    share: Array = scored / np.maximum(count, 1.0)
    return share


class SoftmaxCrossEntropy:
    """-ln softmax(y_t)[target_t], in nats, averaged over the scored steps of all sequences."""

    def __init__(self) -> None:
        self._steps = Steps()

    def forward(self, outputs: ArrayLike, targets: ArrayLike, mask: ArrayLike | None = None) -> Any:
        """Mean loss.

        Parameters
        ----------
        outputs : array (T, ..., N, O)
        targets : integer array (T, ..., N)
        mask : boolean array (T, ..., N), optional
            Which steps are scored; all of them when not given.

        Returns
        -------
        scalar, or array (...) of one loss for each network
        """
        outputs, targets = np.asarray(outputs), np.asarray(targets)
        self._targets = (targets if mask is None else np.where(mask, targets, 0))[..., np.newaxis]
        shifted = self._steps("shifted", outputs.shape, outputs.dtype)
        np.subtract(outputs, np.real(outputs).max(axis=-1, keepdims=True), out=shifted)
        at_target = np.take_along_axis(shifted, self._targets, axis=-1)[..., 0]
        np.exp(shifted, out=shifted)
        total = shifted.sum(axis=-1, keepdims=True)
        self._probabilities = np.divide(shifted, total, out=shifted)
        self._weights = _weights(mask, at_target.shape)
        return mean_over_scored(np.log(total[..., 0]) - at_target, self._weights)

    def backward(self) -> Array:
        """dL/doutputs (T, ..., N, O), once for each forward; the next forward overwrites it."""
        slope: Array = self._probabilities
        hit = np.take_along_axis(slope, self._targets, axis=-1) - 1.0
        np.put_along_axis(slope, self._targets, hit, axis=-1)
        slope *= self._weights[..., np.newaxis]
        return slope


class MeanSquaredError:
    """(y_t - target_t)^2, averaged over the values of a step and the scored steps of all sequences."""

    def forward(self, outputs: ArrayLike, targets: ArrayLike, mask: ArrayLike | None = None) -> Any:
        """Mean loss: outputs and targets (T, ..., N, O), mask (T, ..., N); one loss for each network."""
        self._error = np.asarray(outputs) - np.asarray(targets)
        if mask is not None:  # what stands at unscored steps has no meaning, and may be NaN
            self._error[~np.broadcast_to(np.asarray(mask, bool), self._error.shape[:-1])] = 0.0
        self._weights = _weights(mask, self._error.shape[:-1])
        return mean_over_scored(np.square(self._error).mean(axis=-1), self._weights)

    def backward(self) -> Array:
        """dL/doutputs (T, ..., N, O)."""
        slope: Array = self._error
        slope *= self._weights[..., np.newaxis] * (2.0 / slope.shape[-1])
        return slope


#: The loss for each kind of target.
LOSSES: dict[str, type[SoftmaxCrossEntropy] | type[MeanSquaredError]] = {
    "classes": SoftmaxCrossEntropy,
    "values": MeanSquaredError,
}
