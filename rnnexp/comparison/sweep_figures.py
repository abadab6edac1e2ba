"""The figures that compare many runs, one look for each setting in all of them."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from rnnexp.comparison.compared import ComparedRuns
from rnnexp.comparison.effects import ALIGNMENT, DECAY_RATE, level_combinations, metric_label, usable_values
from rnnexp.comparison.influence import explained_variance
from rnnexp.comparison.lag_figure import by_lag
from rnnexp.comparison.metric_figures import by_alignment, by_key, by_rate, of_all
from rnnexp.comparison.shown import spread
from rnnexp.process import interruption_pending
from rnnexp.tracking.failures import attempt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Keys that get a figure of their own, the largest effect first.
MOST_FIGURES = 12

Pictures = dict[str, tuple["Figure", str]]


def comparison_figures(
    table: pd.DataFrame, curves: Mapping[str, pd.Series], title: str, keys: Sequence[str], metric: str, unit: str
) -> Pictures:
    """Figures and captions by file name; none if no run counts. An interruption that waits cuts them short."""
    sweep = ComparedRuns.of(table, keys, metric, unit, title)
    if sweep.values.empty:
        return {}
    several = len(sweep.values) > 1
    ranked = [str(key) for key in explained_variance(table, sweep.keys, metric).index]
    stem, what = metric.rpartition("/")[2], metric_label(metric, unit)
    of_all_runs, against_rate = f"{stem}_of_all_runs.png", f"{stem}_by_decay_rate.png"
    against_alignment = f"{stem}_by_alignment.png"
    taken = ["gradient_by_lag.png", of_all_runs, against_rate, against_alignment]
    names = file_names(ranked[:MOST_FIGURES], stem, taken)
    making: list[tuple[str, str, Callable[[], Figure]]] = [
        (name, f"{what} against {key}.", partial(by_key, sweep, key)) for key, name in names.items()
    ]
    if several and not sweep.keys:
        making.append((of_all_runs, f"{what} of all runs, from the smallest to the largest.", partial(of_all, sweep)))
    # Runs of earlier versions have absolute norms; relative ones are 0 at lag 0 already.
    counted = sweep.counted[sweep.counted.index.isin(list(curves))]
    shown, which = spread(sweep.values[counted.index], level_combinations(counted, sweep.keys), metric)
    if shown and not interruption_pending():
        drawn = {run: curve - curve.loc[0] for run in shown if 0 in (curve := curves[run])}
        caption = (
            "log10 of the gradient norm of the last scored loss with respect to each earlier state, over that at lag 0,"
            " after training."
        )
        if drawn:
            making.append(("gradient_by_lag.png", caption, partial(by_lag, sweep, drawn, which)))
    rates = usable_values(table, DECAY_RATE)[sweep.values.index]
    if metric != DECAY_RATE and several and rates.notna().any():
        caption = (
            f"{what} against the gradient's decay rate; each point is a run, hollow where its curve is not a line."
        )
        making.append((against_rate, caption, partial(by_rate, sweep, rates)))
    alignments = usable_values(table, ALIGNMENT)[sweep.values.index]
    compared = [key for key in sweep.keys if key.partition(".")[0] in ("algorithm", "bptt_length", "bptt_stride")]
    if metric != ALIGNMENT and several and compared and alignments.notna().any():
        caption = f"{what} against the alignment of training's gradient with the full one; each point is a run."
        making.append((against_alignment, caption, partial(by_alignment, sweep, alignments)))
    figures: Pictures = {}
    for name, caption, make in making:
        if interruption_pending():
            break
        with attempt(name):
            figures[name] = (make(), caption)
    return figures


def file_names(keys: Sequence[str], stem: str, taken: Sequence[str]) -> dict[str, str]:
    """A file name by key, safe on every system and not among those taken."""
    names: dict[str, str] = {}
    for key in keys:
        base = f"{stem}_by_{re.sub(r'[^A-Za-z0-9._-]+', '_', key)[:80]}"
        used = {name.lower() for name in (*taken, *names.values())}
        tries = (f"{base}{suffix}.png" for suffix in ("", *(f"_{number}" for number in range(2, len(used) + 3))))
        names[key] = next(name for name in tries if name.lower() not in used)
    return names
