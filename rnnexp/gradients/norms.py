"""How the gradient's norm changes on its way back through time."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnexp.components import Shown
from rnnexp.gradients import shape
from rnnexp.gradients.passes import QUIET, NormsByStep, Passes
from rnnexp.layers import Network
from rnnexp.tasks import Batch

Array = NDArray[np.float64]

#: Fraction of the last state's norm that defines the horizon.
HORIZON_FRACTION = 1e-3


@dataclass(frozen=True, repr=False)
class NormsByLag(Shown):
    """||dL_T/dh_t|| for each lag T - t, of the last scored step's loss alone.

    A norm that is exactly zero or not finite has no logarithm: it is left out of the fits, and a number that
    depends on it is NaN.

    Attributes
    ----------
    per_sequence : array (L, N)
        Norm of each sequence's own gradient (not divided by the batch size); row 0 is the state of the last scored
        step, row `lag` the state `lag` steps earlier; NaN before the sequence's initial state.
    """

    also = ("log10_ratio", "decay_rate")

    per_sequence: Array

    @property
    def lags(self) -> NDArray[np.int64]:
        """0, 1, ..., L - 1."""
        return np.arange(len(self.per_sequence))

    @cached_property
    def mean(self) -> Array:
        """Mean over the sequences of the norm at each lag, shape (L,): the norm first, the mean after."""
        reached = ~np.isnan(self.per_sequence)
        total = np.where(reached, self.per_sequence, 0.0).sum(axis=1)
        count = reached.sum(axis=1)
        mean = np.full(len(total), np.nan)
        np.divide(total, count, out=mean, where=count > 0)
        return mean

    @cached_property
    def common(self) -> Array:
        """`mean` at the lags that every sequence reaches.

        Beyond them the curve averages ever fewer sequences, and would reflect their lengths more than the gradient.
        """
        short = np.isnan(self.per_sequence).any(axis=1)
        return self.mean[: int(np.argmax(short))] if short.any() else self.mean

    def quantiles(self, *levels: float) -> Array:
        """Quantiles over the sequences at each lag, one row a level: (len(levels), L); NaN where none is finite."""
        finite = np.isfinite(self.per_sequence)
        count = finite.sum(axis=1)
        ordered = np.sort(np.where(finite, self.per_sequence, np.inf), axis=1)  # the finite ones first
        at = np.outer(levels, np.maximum(count - 1, 0))
        below, above = (part(at).astype(int).T for part in (np.floor, np.ceil))
        low, high = (np.take_along_axis(ordered, places, axis=1).T for places in (below, above))
        with np.errstate(invalid="ignore"):  # infinite where none is finite
            return np.asarray(np.where(count > 0, low + (high - low) * (at - np.floor(at)), np.nan))

    @cached_property
    def usable(self) -> NDArray[np.bool_]:
        """Which of the common lags have a mean norm with a logarithm."""
        return shape.usable(self.common)

    @cached_property
    def log10_relative(self) -> Array:
        """log10(mean norm / mean norm at lag 0) at every lag, (L,); NaN where one of them has no logarithm."""
        logs = np.full(len(self.mean), np.nan)
        known = shape.usable(self.mean)
        logs[known] = np.log10(self.mean[known])
        relative: Array = logs - logs[:1]
        return relative

    @property
    def log10_ratio(self) -> float:
        """log10(||dL_T/dh_0|| / ||dL_T/dh_T||), with h_0 the state before the first step; NaN where a norm is zero.

        With sequences of different lengths, the largest lag that all of them reach stands for h_0.
        """
        if not (len(self.usable) and self.usable[[0, -1]].all()):
            return float("nan")
        return float(np.log10(self.common[-1]) - np.log10(self.common[0]))

    @property
    def lag_range(self) -> tuple[int, int] | None:
        """Smallest and largest lag that `decay_rate` is fitted on; None when there are fewer than two."""
        lags = np.flatnonzero(self.usable)
        return (int(lags[0]), int(lags[-1])) if len(lags) > 1 else None

    @property
    def decay_rate(self) -> float:
        """Slope of ln ||dL_T/dh_t|| per step back in time, by least squares over all common lags with a norm > 0.

        Natural logarithm per step. NaN with fewer than two such lags. Any curve has one; whether it is a line, and may
        be called vanishing or exploding, is for `decay_fit` and `verdict` to say.
        """
        return shape.fitted_line(self.common)[0]

    @property
    def fitted(self) -> Array:
        """The norms on the fitted line at the common lags."""
        slope, start = shape.fitted_line(self.common)
        line: Array = np.exp(start + slope * np.arange(len(self.common)))
        return line

    @property
    def decay_fit(self) -> float:
        """How much of the curve the fitted line explains, from 0 to 1: 1 - r / (s + (ln 2 / 2)^2).

        r is the mean squared residual of the ln of the norms, s their variance (`shape.line_fit`); a level curve has 1.
        """
        return shape.line_fit(self.common)

    @property
    def verdict(self) -> str:
        """``kept``, ``vanishing``, ``exploding``, ``not a line`` or ``undefined``, as `shape.verdict` says."""
        return shape.verdict(self.common)

    @property
    def phases(self) -> str:
        """What the norm does with the lag, such as "falls to lag 5, then rises"."""
        return shape.phases(self.common)

    @property
    def half_life(self) -> float:
        """Steps to halve the fitted norm, -ln 2 / decay_rate; infinite if it does not shrink, NaN without a fit."""
        rate = self.decay_rate
        if np.isnan(rate):
            return float("nan")
        return float(-np.log(2.0) / rate) if rate < 0 else float("inf")

    @property
    def horizon(self) -> int:
        """The largest common lag at which the mean norm is still above a thousandth of the last state's."""
        mean = self.common
        above = np.flatnonzero(mean > HORIZON_FRACTION * mean[:1])
        return int(above[-1]) if len(above) else 0

    def seen_by_window(self, length: int | None) -> float:
        """Share of the summed norms within a truncation window of `length` steps (None: all).

        The window of a loss at step T holds the steps T, ..., T - length + 1, so it reaches the states of the lags
        0 to length - 1. A window as long as the sequence omits nothing. NaN if all norms are zero or one is not finite.
        """
        mean = self.common
        total = mean.sum()
        if not (np.isfinite(total) and total > 0):
            return float("nan")
        whole = length is None or length >= len(self.per_sequence) - 1
        return 1.0 if whole else float(mean[:length].sum() / total)


def last_scored(batch: Batch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sequences with a scored step, and the last such step of each; ValueError if there is none at all."""
    scoring = np.flatnonzero(batch.mask.any(axis=0))
    if not len(scoring):
        raise ValueError("no step of these sequences is scored")
    last = len(batch.mask) - 1 - np.argmax(batch.mask[::-1], axis=0)
    return scoring, last[scoring]


def from_last_loss(passes: Passes) -> Iterator[slice]:
    """Back through whole sequences from each one's last scored loss alone, not averaged over the batch, with norms."""
    scoring, last = last_scored(passes.batch)
    only_last = np.zeros_like(passes.batch.mask)
    only_last[last, scoring] = True
    return passes.back(only_last, 1, norms=True)


@np.errstate(**QUIET)
def from_all_losses(passes: Passes, *, norms: bool = False) -> tuple[NDArray[Any], Array | None]:
    """Gradient (P,) of the mean loss over all scored steps; with `norms`, those of `total_norms_by_time`, too."""
    mask = passes.batch.mask
    gradient, by_step = np.zeros_like(passes.network.parameters.gradient), NormsByStep(passes)
    for window in passes.back(mask, max(1, int(mask.sum())), norms=norms):
        gradient += passes.network.parameters.gradient
        if norms:
            by_step.add(window)
    if not norms:
        return gradient, None
    # From the mean over all scored steps to each sequence's own mean; one without a scored step has no loss.
    counts = mask.sum(axis=0)
    return gradient, (by_step.of["outputs"] * (counts.sum() / np.maximum(counts, 1))).mean(axis=-1)


@np.errstate(**QUIET)
def norms_by_lag(network: Network, batch: Batch, target_kind: str, *, whole_state: bool = False) -> NormsByLag:
    """One pass forward and one back, from each sequence's last scored step through the whole sequence.

    The norm of each sequence's gradient at each lag, as in Aicher, Foti & Fox 2019 (phi_k) and Pascanu, Mikolov &
    Bengio 2013, section 2.1. Of a stack, in all layers' h as the next step takes them: a path through several layers
    of one step counts once.

    Parameters
    ----------
    network : Network
        Its state and gradient are overwritten; pass a `Network.replica` to keep them.
    batch : Batch
        Sequences (T, N, ...).
    target_kind : {"classes", "values"}
    whole_state : bool
        In all that the next step takes: of an LSTM, in h and c together.

    Raises
    ------
    ValueError
        If no sequence has a scored step.
    """
    passes = Passes(network, batch, target_kind)
    norms = NormsByStep(passes)
    for window in from_last_loss(passes):
        norms.add(window)
    return by_lag(norms.of["state" if whole_state else "outputs"], batch)


def by_lag(by_step: Array, batch: Batch) -> NormsByLag:
    """Norms by step (T + 1, N) aligned by their distance from each sequence's last scored step."""
    scoring, last = last_scored(batch)
    lags = np.arange(last.max() + 2)
    at = last + 1 - lags[:, np.newaxis]
    values = by_step[np.maximum(at, 0), scoring]
    values = np.where(np.isnan(values), np.inf, values)  # NaN is reserved for steps that do not exist
    return NormsByLag(np.where(at >= 0, values, np.nan))


def total_norms_by_time(network: Network, batch: Batch, target_kind: str) -> Array:
    """Mean norm of the total gradient of the training loss in each h, of a stack in all layers': (T + 1,), first h_0.

    The loss of a sequence is the mean over its scored steps; the norm is of each sequence's own gradient, the mean
    over the sequences is taken after it. With a loss at every step this mixes all lags: for one lag's decay see
    `norms_by_lag`. Arjovsky, Shah & Bengio 2016, section 4.3, plot it as ||dC/dh_t||.
    """
    mean = from_all_losses(Passes(network, batch, target_kind), norms=True)[1]
    assert mean is not None
    return mean
