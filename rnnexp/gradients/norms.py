"""How the gradient's norm changes on its way back through time."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnexp.layers import LOSSES, Network
from rnnexp.tasks import Batch

Array = NDArray[np.float64]


@dataclass(frozen=True)
class NormsByLag:
    """||dL_T/dh_t|| for each lag T - t, of the last scored step's loss alone.

    Attributes
    ----------
    per_sequence : array (L, N)
        Norm of each sequence's own gradient (not divided by the batch size); row 0 is the last scored step's state,
        row `lag` the state `lag` steps before it; NaN before the sequence's initial state.
    """

    per_sequence: Array

    @property
    def lags(self) -> NDArray[np.int64]:
        """0, 1, ..., L - 1."""
        return np.arange(len(self.per_sequence))

    @property
    def mean(self) -> Array:
        """Mean over the sequences of the norm at each lag, shape (L,): the norm first, the mean after."""
        reached = np.isfinite(self.per_sequence)
        total = np.where(reached, self.per_sequence, 0.0).sum(axis=1)
        count = reached.sum(axis=1)
        mean = np.full(len(total), np.nan)
        np.divide(total, count, out=mean, where=count > 0)
        return mean

    @property
    def log10_ratio(self) -> float:
        """log10(||dL_T/dh_0|| / ||dL_T/dh_T||), h_0 the state before the first step; NaN where a norm is zero."""
        mean = self.mean
        if not (mean[0] > 0 and mean[-1] > 0 and np.isfinite(mean[[0, -1]]).all()):
            return float("nan")
        return float(np.log10(mean[-1]) - np.log10(mean[0]))

    @property
    def decay_rate(self) -> float:
        """Slope of ln ||dL_T/dh_t|| per step back in time, by least squares over all lags with a norm > 0.

        Natural logarithm per step: negative is vanishing, positive exploding. NaN with fewer than two such lags.
        """
        mean = self.mean
        usable = np.isfinite(mean) & (mean > 0)
        if usable.sum() < 2:
            return float("nan")
        lags, logs = self.lags[usable].astype(float), np.log(mean[usable])
        lags -= lags.mean()
        return float((lags @ (logs - logs.mean())) / (lags @ lags))


def norms_by_lag(network: Network, batch: Batch, target_kind: str) -> NormsByLag:
    """One pass forward and one back, from each sequence's last scored step through the whole sequence.

    Parameters
    ----------
    network : Network
        Its state and gradient are lost; give a `Network.replica` to keep them.
    batch : Batch
        Sequences (T, N, ...).
    target_kind : {"classes", "values"}

    Raises
    ------
    ValueError
        If no sequence has a scored step.
    """
    steps = len(batch.mask)
    scoring = batch.mask.any(axis=0)
    if not scoring.any():
        raise ValueError("no step of these sequences is scored")
    last = steps - 1 - np.argmax(batch.mask[::-1], axis=0)
    only_last = np.zeros_like(batch.mask)
    only_last[last[scoring], np.flatnonzero(scoring)] = True
    scored = np.unique(last[scoring])

    network.reset_state()
    outputs = network.forward(batch.inputs, scored=scored)
    criterion: Any = LOSSES[target_kind]()
    criterion.forward(outputs, batch.targets[scored], only_last[scored])
    # The criterion is a mean over the sequences; each one's own gradient is that many times larger.
    network.backward(criterion.backward() * int(scoring.sum()), norms=True)
    by_step = network.recurrent.dh_norms
    assert by_step is not None
    network.reset_state()

    lags = np.arange(last[scoring].max() + 2)
    at = last[scoring] + 1 - lags[:, np.newaxis]
    values = by_step[np.maximum(at, 0), np.flatnonzero(scoring)]
    return NormsByLag(np.where(at >= 0, values, np.nan))
