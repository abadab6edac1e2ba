"""Fewer points of a run's curves, for the database: every point costs, and a sweep has the curves of many runs."""

from collections.abc import Iterable

from rnnexp.history import Point

#: Updates from one point of a curve to the next; shorter runs have at least so many points.
UPDATES, LEAST = 50, 5


class Thinned:
    """Takes out some points of curves that come in order: the first ones stay, and the last ones are kept back.

    Parameters
    ----------
    steps : int
        Planned updates of the run.
    """

    def __init__(self, steps: int) -> None:
        self.every = max(1, min(UPDATES, steps // LEAST))
        self._due: dict[str, int] = {}
        self._kept: dict[str, Point] = {}

    def take(self, points: Iterable[Point]) -> list[Point]:
        """Those that stay."""
        stay = []
        for point in points:
            if point.step >= self._due.get(point.name, 0):
                self._due[point.name] = (point.step // self.every + 1) * self.every
                self._kept.pop(point.name, None)
                stay.append(point)
            else:
                self._kept[point.name] = point
        return stay

    def rest(self) -> list[Point]:
        """The last point of each curve, where it was not among those that stayed."""
        return list(self._kept.values())
