"""What a curve of norms by lag does: how much of it a straight line explains on a log scale, and the rest in words."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: ln of the factor within which a norm counts as unchanged.
LEVEL = float(np.log(2.0))
#: Smallest `line_fit` of a curve that is called a line.
LINE = 0.95
#: Share of a fall or a rise from which on its level part is a phase of its own.
LONG = 2 / 3
#: Phases of a curve that a sentence lists.
MOST_PHASES = 4


def usable(values: Array) -> NDArray[np.bool_]:
    """Which values have a logarithm."""
    found: NDArray[np.bool_] = np.isfinite(values) & (values > 0)
    return found


def thinned(count: int, dense: int, further: int) -> NDArray[np.int64]:
    """Which of the lags 0 to `count` - 1 stand for all: the first `dense`, then up to `further` in equal ratios.

    All of them if there are no more than `dense` + `further`; the last is always among them.
    """
    if count <= dense + further:
        return np.arange(count)
    beyond = np.geomspace(dense - 1, count - 1, further + 1)[1:]
    return np.unique(np.concatenate([np.arange(dense), np.round(beyond).astype(np.int64)]))


def fitted_line(values: Array) -> tuple[float, float]:
    """Slope and value at index 0 of the least-squares line through ln `values` against their index.

    Over the finite values > 0; NaN if there are fewer than two.
    """
    at = np.flatnonzero(usable(values)).astype(float)
    if len(at) < 2:
        return float("nan"), float("nan")
    logs, middle = np.log(values[usable(values)]), at.mean()
    at -= middle
    slope = float((at @ (logs - logs.mean())) / (at @ at))
    return slope, float(logs.mean() - slope * middle)


def line_fit(values: Array) -> float:
    """How much of a curve its `fitted_line` explains, from 0 to 1; NaN where there is not a line.

    1 - r / (s + (ln 2 / 2)^2), with r the mean squared residual of ln `values` from the line and s their variance: the
    coefficient of determination, but for the last term, which is the variance of a curve that alternates by a factor
    of 2. So a level curve has a fit of 1, where the coefficient is 0 / 0, and noise on it does not count as unfit.
    """
    slope, start = fitted_line(values)
    if np.isnan(slope):
        return float("nan")
    logs = np.log(values[usable(values)])
    residuals = logs - start - slope * np.flatnonzero(usable(values))
    return float(1.0 - np.mean(residuals**2) / (np.var(logs) + (LEVEL / 2) ** 2))


def verdict(values: Array) -> str:
    """What to call a curve of norms by lag.

    Returns
    -------
    str
        ``undefined`` with fewer than two usable values; ``kept`` if all of them are within a factor of 2 of each other;
        ``vanishing`` or ``exploding`` if the curve is a line (`line_fit` of 0.95 at least) that falls or rises by more
        than that; else ``not a line``, whatever the slope.
    """
    slope, _ = fitted_line(values)
    if np.isnan(slope):
        return "undefined"
    lags, missing = np.flatnonzero(usable(values)), values[~usable(values)]
    logs = np.log(values[lags])
    if not len(missing) and np.ptp(logs) <= LEVEL:
        return "kept"
    # What has no logarithm must not contradict the line: a curve that rises and is then zero is none.
    agrees = not (missing.any() if slope < 0 else (missing == 0).any())
    if agrees and line_fit(values) >= LINE and abs(slope) * (lags[-1] - lags[0]) > LEVEL:
        return "vanishing" if slope < 0 else "exploding"
    return "not a line"


def phases(values: Array) -> str:
    """What a curve does, such as "falls to lag 5, then rises": changes by less than a factor of 2 count as none."""
    lags = np.flatnonzero(usable(values))
    if not len(lags):
        return "is zero or not finite at every lag"
    steps = _merged(_phases(np.log(values[lags])))
    if len(steps) > MOST_PHASES:
        text = f"turns {len(steps) - 1} times"
    else:
        listed = [f"{verb} to lag {lags[end]}" for verb, end in steps[:-1]] + [steps[-1][0]]
        text = ", ".join(listed[:-1]) + (", then " if len(listed) > 1 else "") + listed[-1]
        if len(steps) == 1 and verdict(values) == "not a line" and steps[0][0] != "stays level":
            middle, (first, *_, last) = len(lags) // 2, np.log(values[lags])
            early = abs(np.log(values[lags[middle]]) - first) > abs(last - first) / 2
            text += ", faster at first" if early else ", faster at the end"
    lost = len(values) - len(lags)
    return f"{text}, and is zero or not finite at {lost} of {len(values)} lags" if lost else text


def _turning_points(logs: Array) -> list[int]:
    """Both ends, and the extremes from which the curve comes back by a factor of 2 at least."""
    points, low, high, going = [0], 0, 0, 0
    for at, value in enumerate(logs):
        low, high = (at if value < logs[low] else low), (at if value > logs[high] else high)
        if going >= 0 and logs[high] - value > LEVEL:
            points, low, high, going = [*points, high], at, at, -1
        elif going <= 0 and value - logs[low] > LEVEL:
            points, low, high, going = [*points, low], at, at, 1
    last = {0: [], 1: [high], -1: [low]}[going]
    return sorted({*points, *last, len(logs) - 1})


def _phases(logs: Array) -> list[tuple[str, int]]:
    """What the curve does, and up to which index; a long level part of a fall or a rise is a phase of its own."""
    found: list[tuple[str, int]] = []
    points = _turning_points(logs)
    for start, end in pairwise(points):
        part, change = logs[start : end + 1], logs[end] - logs[start]
        if abs(change) <= LEVEL and end - start == 1 and found:
            found[-1] = (found[-1][0], end)
            continue
        if abs(change) <= LEVEL:
            found.append(("stays level", end))
            continue
        verb, least = ("falls" if change < 0 else "rises"), max(3, LONG * (end - start))
        leaves = start + int(np.argmax(np.abs(part - part[0]) > LEVEL)) - 1
        arrives = end - int(np.argmax(np.abs(part - part[-1])[::-1] > LEVEL)) + 1
        if leaves < arrives and leaves - start >= least:
            found.append(("stays level", leaves))
        if leaves < arrives and end - arrives >= least:
            found += [(verb, arrives), ("stays level", end)]
        else:
            found.append((verb, end))
    return found or [("stays level", 0)]


def _merged(steps: Sequence[tuple[str, int]]) -> list[Any]:
    """Neighbours that do the same as one."""
    return [step for step, after in zip(steps, [*steps[1:], ("", 0)], strict=True) if step[0] != after[0]]
