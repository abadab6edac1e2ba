"""The files that compare many runs: the table, the figures, and a page with both."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from rnnexp.checks import one_line
from rnnexp.comparison.conclusions import findings, written_p
from rnnexp.comparison.effects import (
    ALIGNMENT,
    DECAY_FIT,
    DECAY_RATE,
    LOSS,
    average_of,
    ends_of,
    grouped,
    larger_is_better,
    level,
    metric_label,
    show_level,
    unit_of,
    usable_values,
)
from rnnexp.comparison.influence import what_mattered
from rnnexp.comparison.shown import averages, best_rows
from rnnexp.comparison.sweep_figures import comparison_figures
from rnnexp.pages import browser_file, render, significant
from rnnexp.plot.axes import in_formats, save_figure
from rnnexp.process import interruption_pending
from rnnexp.records import RESULTS
from rnnexp.tracking.failures import attempt

#: Of `RESULTS`, all of which ``sweep.csv`` has, those in the table of the page.
SHOWN = (
    *("final/eval/loss", "final/eval/accuracy", "final/eval/wrong_fraction"),
    *("test/loss", "test/accuracy", "network/parameters"),
    *(ALIGNMENT, DECAY_RATE, DECAY_FIT, "final/gradient/log10_ratio"),
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
    link: Callable[[str], str] = lambda run: "",
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
    link : callable
        Where a run is to be seen, by its id; empty if nowhere.
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
        files.append(_write_page(table, pictures, folder, title, keys, metric, unit, link))
    return files


def _write_page(
    table: pd.DataFrame,
    pictures: Sequence[tuple[Path, str]],
    folder: Path,
    title: str,
    keys: Sequence[str],
    metric: str,
    unit: str,
    link: Callable[[str], str],
) -> Path:
    path = folder / "sweep.html"
    values = usable_values(table, metric)
    means, largest, average = (
        grouped(table, keys, metric),
        larger_is_better(metric),
        average_of(values.dropna(), metric),
    )
    best_means, told_means = best_rows(means[average.centre], largest=largest)
    best_runs, told_runs = best_rows(values, largest=largest)
    parameters = [key for key in keys if key in table]
    shown = table.iloc[best_runs]
    numbers = [name for name in dict.fromkeys([metric, *SHOWN]) if name in table and name not in parameters]
    columns = [
        *([show_level(level(value)) for value in shown[name]] for name in ["status", *parameters] if name in shown),
        *(list(map(significant, pd.to_numeric(shown[name], errors="coerce"))) for name in numbers),
    ]
    page = render(
        "sweep.html",
        title=f"Comparison of {len(table)} run{'' if len(table) == 1 else 's'}",
        of=title,
        sentences=findings(table, keys, metric),
        figures=pictures,
        influence=_influence(table, keys, metric),
        scale=f"the logarithm of {metric}" if values.min() > 0 else metric,
        metric=metric_label(metric, unit),
        average=average.in_words,
        count=int(values.notna().sum()),
        means=averages(means.iloc[best_means], average),
        told_means=told_means,
        runs=(
            ["run", *(["status"] if "status" in shown else []), *parameters, *numbers],
            list(zip(*columns, strict=True)),
        ),
        names=[(_run_name(run, row), str(run), link(str(run))) for run, row in shown.iterrows()],
        told_runs=told_runs,
        included=values.notna().iloc[best_runs].to_list(),
    )
    path.write_text(page, encoding="utf-8")
    return path


def _run_name(run: object, row: pd.Series) -> str:
    """A run in few characters: its job's number, or its name; the id if it has neither."""
    return f"job {row['job']}" if "job" in row else one_line(str(row.get("name", run)), 40)


def _influence(table: pd.DataFrame, keys: Sequence[str], metric: str) -> tuple[list[str], list[list[str]]] | None:
    """The variance that keys and pairs account for, where it exceeds that of shuffled runs; None if none does."""
    found = what_mattered(table, keys, metric)
    rows = []
    for name, row in found.iterrows():
        ends = (row[end] if isinstance(row[end], tuple) else (row[end],) for end in ("best", "worst"))
        values = [", ".join(map(show_level, end)) for end in ends]
        shares = [f"{100 * row[share]:.3g} %" for share in ("share", "by_chance")]
        rows.append([str(name), *shares, written_p(row["p"]).removeprefix("p = ").removeprefix("p "), *values])
    heads = ["key", "share of the variance", "if shuffled", "p (F test)", *(f"{end} value" for end in ends_of(metric))]
    return (heads, rows) if rows else None
