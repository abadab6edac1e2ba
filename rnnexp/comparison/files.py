"""The files that compare many runs: the table, the figures, and a page with both."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from rnnexp.comparison.effects import (
    DECAY_FIT,
    DECAY_RATE,
    LOSS,
    NULL,
    grouped,
    larger_is_better,
    level,
    metric_label,
    show_level,
    unit_of,
    usable_values,
)
from rnnexp.comparison.influence import findings, what_mattered
from rnnexp.comparison.shown import best_rows
from rnnexp.comparison.sweep_figures import comparison_figures
from rnnexp.pages import browser_file, render
from rnnexp.plot.axes import in_formats, save_figure
from rnnexp.process import interruption_pending
from rnnexp.records import RESULTS
from rnnexp.tracking.failures import attempt

#: Of `RESULTS`, all of which ``sweep.csv`` has, those in the table of the page.
SHOWN = (
    *("final/eval/loss", "final/eval/accuracy", "final/eval/error"),
    *("test/loss", "test/accuracy", "network/parameters"),
    *(DECAY_RATE, DECAY_FIT, "final/gradient/log10_ratio"),
)


def write_comparison(
    table: pd.DataFrame,
    curves: Mapping[str, pd.Series],
    folder: Path,
    *,
    title: str,
    keys: Sequence[str],
    metric: str = LOSS,
    unit: str = "",
    formats: Sequence[str] = ("png",),
) -> list[Path]:
    """Write ``sweep.csv``, the figures (none if no run counts) and ``sweep.html``, which has them all; their paths.

    Parameters
    ----------
    table : DataFrame
        Indexed by run id; one row a run with `name`, `status`, the parameters in `keys`, and metrics (`RESULTS`).
        Runs that are not FINISHED or SKIPPED, or have no finite `metric`, are left out of every mean and counted.
    curves : mapping of str to Series
        By run id, log10 of the gradient's norm by lag, over that at lag 0; may lack runs.
    folder : Path
        Created if missing; files of the same names are replaced.
    keys : sequence of str
        What differs between the runs; ``seed`` is averaged over.
    unit : str
        Unit of `metric`; that of a loss is inferred from the other metrics when not given.
    formats : sequence of str
        Of the figures (`rnnexp.checks.FORMATS`): each is written in all of them.
    """
    keys = list(dict.fromkeys(keys))
    unit = unit or unit_of(table, metric)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "sweep.csv"]
    finals = [name for name in table if str(name).startswith(RESULTS)]
    columns = dict.fromkeys(["name", "status", *keys, *finals, metric])
    chosen = table[[name for name in columns if name in table]]
    chosen.to_csv(files[0], index_label="run", encoding="utf-8")
    pictures = []
    for name, (figure, caption) in comparison_figures(table, curves, title, keys, metric, unit).items():
        with attempt(name, passing=(OSError,)):
            if not interruption_pending():
                paths = [folder / each for each in in_formats(name, formats)]
                for path in paths:
                    save_figure(figure, path)
                files += paths
                pictures.append((browser_file(paths), caption))
    with attempt("sweep.html", passing=(OSError,)):
        files.append(_write_page(table, pictures, folder, title, keys, metric, unit))
    return files


def _write_page(
    table: pd.DataFrame,
    pictures: Sequence[tuple[Path, str]],
    folder: Path,
    title: str,
    keys: Sequence[str],
    metric: str,
    unit: str,
) -> Path:
    path = folder / "sweep.html"
    values = usable_values(table, metric)
    shown = [name for name in dict.fromkeys(["name", "status", *keys, metric, *SHOWN]) if name in table]
    means, largest = grouped(table, keys, metric), larger_is_better(metric)
    (best_means, told_means), (best_runs, told_runs) = (best_rows(v, largest=largest) for v in (means["mean"], values))
    page = render(
        "sweep.html",
        title=title,
        sentences=findings(table, keys, metric),
        figures=pictures,
        influence=_influence(table, keys, metric),
        scale=f"the logarithm of {metric}" if values.min() > 0 else metric,
        metric=metric_label(metric, unit),
        count=int(values.notna().sum()),
        means=_cells(means.iloc[best_means]),
        told_means=told_means,
        runs=_cells(table[shown].iloc[best_runs].reset_index(names="run")),
        told_runs=told_runs,
        included=values.notna().iloc[best_runs].to_list(),
    )
    path.write_text(page, encoding="utf-8")
    return path


def _influence(table: pd.DataFrame, keys: Sequence[str], metric: str) -> tuple[list[str], list[list[str]]] | None:
    """The variance that keys and pairs account for, where it exceeds that of shuffled runs; None if none does."""
    found = what_mattered(table, keys, metric)
    if found.empty:
        return None
    rows = found[["share", "by_chance", "p", "best", "worst"]].reset_index()
    for name in ("share", "by_chance", "p"):
        rows[name] = [f"{value:.1%}" for value in rows[name]]
    for name in ("best", "worst"):
        rows[name] = [", ".join(map(show_level, v)) if isinstance(v, tuple) else v for v in rows[name]]
    heads = ["key", "share of the variance", "if shuffled", "shuffles with as much", "best value", "worst value"]
    rows.columns = pd.Index(heads)
    return _cells(rows)


def _cells(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """The head and the rows of a table as strings."""
    columns = (table.iloc[:, place] for place in range(table.shape[1]))
    return [str(name) for name in table], [[_cell(value) for value in row] for row in zip(*columns, strict=True)]


def _cell(value: object) -> str:
    shown = level(value)
    if isinstance(shown, float) or (isinstance(shown, int) and abs(shown) >= 10**10):
        return f"{shown:.6g}"
    return "" if shown == NULL and value != NULL else str(shown)
