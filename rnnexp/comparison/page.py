"""The page that compares many runs."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import pandas as pd

from rnnexp.comparison.effects import (
    DECAY_RATE,
    NULL,
    explained_variance,
    findings,
    grouped,
    level,
    metric_label,
    usable_values,
)
from rnnexp.tracking.gradient_report import STYLE

#: Metrics beside the compared one in the table of the page; ``sweep.csv`` has all.
SHOWN = ("final/eval/loss", "final/eval/accuracy", "final/eval/error", DECAY_RATE, "final/gradient/log10_ratio")
MORE_STYLE = """
.wide { overflow-x: auto; } .wide td, .wide th { white-space: nowrap; font-variant-numeric: tabular-nums; }
.wide td:nth-child(2) { text-align: left; } tr.out { color: #888; }
"""


def page(
    table: pd.DataFrame,
    pictures: Sequence[tuple[Path, str]],
    *,
    title: str,
    keys: Sequence[str],
    metric: str,
    unit: str,
) -> str:
    """The page, complete in itself; arguments as for `write_comparison`, and the figures' files and captions."""
    sentences = "\n".join(f"<li>{escape(sentence)}</li>" for sentence in findings(table, keys, metric))
    figures = "\n".join(
        f'<figure><img alt="{escape(caption)}" '
        f'src="data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for path, caption in pictures
    )
    means = grouped(table, keys, metric)
    shown = [name for name in dict.fromkeys([metric, *SHOWN]) if name in table]
    counted = usable_values(table, metric).notna()
    columns = [name for name in ("name", "status", *keys, *shown) if name in table]
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}{MORE_STYLE}</style>
<h1>{escape(title)}</h1>
<ul>
{sentences}
</ul>
{_influence_section(table, keys, metric)}
{figures}
<h2>Over the seeds</h2>
<p>{escape(metric_label(metric, unit))}: mean of the runs that count, its 95 % interval by Student's t, the best.</p>
{_rows(means, means.columns)}
<h2>Runs</h2>
{_rows(table.reset_index(names="run"), ["run", *columns], counted.to_list())}
<p>All final metrics are in sweep.csv.</p>
</html>
"""


def _influence_section(table: pd.DataFrame, keys: Sequence[str], metric: str) -> str:
    found = explained_variance(table, keys, metric)
    if found["share"].isna().all():
        return ""
    values = usable_values(table, metric).dropna()
    scale = f"the logarithm of {metric}" if values.min() > 0 else metric
    rows = found[["share", "by_chance", "best", "worst"]].reset_index()
    for name in ("share", "by_chance"):
        rows[name] = [f"{value:.1%}" if value == value else "" for value in rows[name]]
    rows.columns = pd.Index(["key", "share of the variance", "if shuffled", "best value", "worst value"])
    return f"""<h2>What mattered</h2>
{_rows(rows, rows.columns)}
<p>Share of the variance (eta squared): the sum of squares of {escape(scale)} between the means of a key's values, over
the total sum of squares of the {len(values)} runs that count. If shuffled: the share that it would have on average if
the runs were dealt out to the values at random, (values - 1) / (runs - 1). Each key is looked at alone: where keys act
together or were not combined evenly, the shares do not add up. Empty where the runs that count have one value, or each
of them a value to itself.</p>"""


def _rows(table: pd.DataFrame, columns: Iterable[str], counted: Sequence[bool] | None = None) -> str:
    """A table; rows that do not count are greyed."""
    names = list(columns)
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = []
    for index, row in enumerate(zip(*(table[name] for name in names), strict=True)):
        mark = ' class="out"' if counted is not None and not counted[index] else ""
        rows.append(f"<tr{mark}>" + "".join(f"<td>{escape(_cell(value))}</td>" for value in row) + "</tr>")
    return f'<div class="wide"><table>\n<tr>{head}</tr>\n' + "\n".join(rows) + "\n</table></div>"


def _cell(value: object) -> str:
    shown = level(value)
    if isinstance(shown, float) or (isinstance(shown, int) and abs(shown) >= 10**10):
        return f"{shown:.6g}"
    return "" if shown == NULL and value != NULL else str(shown)
