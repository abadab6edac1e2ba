"""Parameters of a test of which every pair of values occurs, instead of every combination."""

from collections.abc import Mapping
from itertools import combinations, product

import pytest


def pairs(*axes, allowed=None):
    """Rows of one value of each axis: every pair of values that an allowed row has occurs in one of them.

    Deterministic and greedy: for the first pair that is missing, the row that adds most pairs. `allowed(*row)` says
    whether values may occur together.
    """

    def fits(row):
        return allowed is None or allowed(*(axis[at] for axis, at in zip(axes, row, strict=True)))

    rows, found = [], set()
    for one, other in combinations(range(len(axes)), 2):
        for at in product(range(len(axes[one])), range(len(axes[other]))):
            if tuple(zip((one, other), at, strict=True)) in found:
                continue
            free = [range(len(axis)) for axis in axes]
            free[one], free[other] = ((value,) for value in at)
            new = {row: set(combinations(enumerate(row), 2)) - found for row in product(*free) if fits(row)}
            if new:
                best = max(new, key=lambda row: len(new[row]))
                rows.append(tuple(axis[at] for axis, at in zip(axes, best, strict=True)))
                found |= new[best]
    return rows


def pairwise(*, allowed=None, **axes):
    """Parametrize a test with pairs of the axes; an axis is a list of values or a dict of them by name."""
    named = [
        axis.items() if isinstance(axis, Mapping) else [(str(value), value) for value in axis] for axis in axes.values()
    ]
    fits = (
        None if allowed is None else lambda *row: allowed(**dict(zip(axes, (value for _, value in row), strict=True)))
    )
    rows = pairs(*map(list, named), allowed=fits)
    values = [tuple(value for _, value in row) for row in rows]
    return pytest.mark.parametrize(tuple(axes), values, ids=["-".join(name for name, _ in row) for row in rows])


def thorough_after_first(rows):
    """The rows as parameters of a test, named by their values; one that brings no new value is marked thorough."""
    seen, parameters = set(), []
    for row in rows:
        new = set(enumerate(row)) - seen
        seen |= new
        parameters.append(pytest.param(*row, id="-".join(map(str, row)), marks=() if new else pytest.mark.thorough))
    return parameters
