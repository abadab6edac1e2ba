"""Recorded runs as tables; ``python -m rnnexp.report`` compares them."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rnnexp import process
from rnnexp.arguments import FILTER, STATUSES, Parser, command_frame
from rnnexp.checks import FORMATS, InvalidValue, UserError, check_formats, nearest, printable
from rnnexp.json_lines import document

if TYPE_CHECKING:
    import pandas as pd

    from rnnexp.comparison.effects import Average

LOSS = "final/eval/loss"
#: Rows of the printed table.
MOST_ROWS = 50


def runs(
    experiment: str = "rnnexp",
    *,
    uri: str | None = None,
    status: str | None = "FINISHED",
    sweep: str | None = None,
    filter: str | None = None,  # noqa: A002  # MLflow's own word for it
    name: str | None = None,
) -> "pd.DataFrame":
    """One row per run: its parameters, as numbers or booleans where possible, and the last value of every metric.

    Parameters
    ----------
    experiment : str
        MLflow experiment.
    uri : str, optional
        Tracking store; as for ``python -m rnnexp`` in this folder when not given.
    status : str or None
        MLflow's status of the run; None for all.
    sweep : str, optional
        Only the runs of this sweep, and those for which it skipped a job: its id, its folder, or its parent's run id.
    filter : str, optional
        MLflow filter, such as ``params.task = 'echo'``.
    name : str, optional
        Only runs of this name; ``%`` in it stands for anything.

    Returns
    -------
    DataFrame
        Indexed by MLflow run id, oldest first; `name`, `status`, `sweep` (id, or missing), parameters, where ``null``
        is a missing value, and metrics. The parents of sweeps are not among them.

    Raises
    ------
    UserError
        If the store can't be opened, has no such experiment or run, or the filter can't be parsed.
    """
    from rnnexp.comparison.recorded_runs import found_runs, reading
    from rnnexp.comparison.tables import runs_table

    store = reading(uri, experiment, status)
    return runs_table(found_runs(store, status=status, sweep=sweep, query=filter, name=name))


def differing(table: "pd.DataFrame") -> list[str]:
    """The parameters with more than one value among the rows of `runs`, in the table's order; ``null`` is a value too.

    Settings that do not affect the numbers, such as ``run_name``, are left out.
    """
    from rnnexp.comparison import tables

    return tables.differing(table)


def curve(run: str, metric: str, *, uri: str | None = None, experiment: str = "rnnexp") -> "pd.Series":
    """A metric of one run by MLflow step (the update, or for `gradient_by_lag/...` the lag), in order."""
    from rnnexp.comparison.recorded_runs import reading
    from rnnexp.comparison.tables import curve_of

    return curve_of(reading(uri, experiment), run, metric)


def grouped(table: "pd.DataFrame", keys: Sequence[str], metric: str = LOSS) -> "pd.DataFrame":
    """One row per combination of the keys' values, over all seeds; see `rnnexp.comparison.effects.grouped`."""
    from rnnexp.comparison import effects

    return effects.grouped(table, keys, metric)


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare recorded runs: print means over the seeds, write table, figures and page; SystemExit on a mistake."""
    parser = Parser(
        prog="python -m rnnexp.report",
        description="Compare recorded runs: a table of means over the seeds, figures, and a page with both.",
        epilog="example: python -m rnnexp.report echo_threshold --by bptt_length --status all",
    )
    parser.add_argument("experiment", nargs="?", default="rnnexp", help="MLflow experiment (default: rnnexp)")
    parser.add_argument(
        "--sweep", metavar="ID", help="only the runs of this sweep: its folder, its parent's run id, or its id"
    )
    parser.add_argument("--filter", metavar="TEXT", help="only runs that match this MLflow filter; " + FILTER)
    parser.add_argument(
        "--status", default="FINISHED", help="FINISHED (default), another MLflow status, or all; means are over "
        "finished runs only, the others are counted"
    )  # fmt: skip
    parser.add_argument("--metric", default=LOSS, help=f"metric to compare (default: {LOSS})")
    parser.add_argument(
        "--by", nargs="+", metavar="KEY", help="keys to compare by (default: all that differ); means are over the rest"
    )
    parser.add_argument("--uri", help="tracking store; as for python -m rnnexp when not given")
    parser.add_argument("--out", type=Path, default=Path("report"), help="folder for the files (default: ./report)")
    parser.add_argument(
        "--formats", nargs="+", default=["png"], metavar="FORMAT", help=f"of the figures: {', '.join(FORMATS)} "
        "(default: png)"
    )  # fmt: skip
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document instead of the table and sentences"
    )
    with command_frame():
        _compare(parser.parse_args(arguments))


def _compare(given: argparse.Namespace) -> None:
    from rnnexp.comparison import effects, tables
    from rnnexp.comparison.conclusions import findings
    from rnnexp.comparison.files import write_comparison
    from rnnexp.comparison.recorded_runs import count_others, found_runs, reading, swept_keys
    from rnnexp.comparison.shown import Curves

    word = given.status.upper()
    if word not in (*STATUSES, "ALL"):
        allowed, near = f"one of {', '.join((*STATUSES, 'all'))}", nearest(word, STATUSES)
        raise InvalidValue("--status", given.status, allowed, near or "the default is FINISHED")
    given.status = "all" if word == "ALL" else word
    given.formats = [name for text in given.formats for name in text.split(",") if name]
    check_formats("--formats", given.formats, "--formats png pdf")
    given.by = [key for text in given.by or [] for key in text.split(",") if key]
    status = None if given.status == "all" else given.status
    store = reading(given.uri, given.experiment, status)
    process.begin_collection()
    found = found_runs(store, status=status, sweep=given.sweep, query=given.filter)
    table = tables.compared_table(found)
    _check_metric(table, given.metric)
    differ, names = tables.differing(table), tables.parameter_names(table)
    sweeps = [given.sweep] if given.sweep else list(table["sweep"].unique())
    # Of one sweep the figures look as those in its folder: by the same keys, in the same order.
    if len(sweeps) == 1 and isinstance(sweeps[0], str) and set(swept := swept_keys(store, sweeps[0])) <= {*names}:
        differ = [key for key in swept if key in differ] or differ
    parameters = [key for key in names if key != "seed"]
    for key in given.by:
        if key not in parameters:
            hint = nearest(key, parameters) or f"they differ in {', '.join(differ) or 'nothing'}"
            raise InvalidValue("--by", key, "parameters of these runs other than seed, which is averaged over", hint)
    keys = list(given.by or tables.deciding(table, differ))
    lags = "gradient_by_lag/last"
    drawn = [str(run) for run in table.index[table[lags].notna()]] if lags in table else []
    curves = Curves(drawn, lambda run: tables.curve_of(store, run, lags))
    title = f"{given.experiment}: {given.status} runs" + (f" of sweep {given.sweep}" if given.sweep else "")
    title += f" with {given.filter}" if given.filter else ""
    swept = [*keys, *(["seed"] if "seed" in differ else [])]
    try:
        paths = write_comparison(
            table,
            curves,
            given.out,
            title=title,
            keys=swept,
            metric=given.metric,
            formats=given.formats,
            link=lambda run: store.link(f"runs/{run}"),
        )
    except OSError as error:
        why = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
        raise InvalidValue("--out", str(given.out), "a writable folder", why) from None
    average = effects.average_of(effects.usable_values(table, given.metric).dropna(), given.metric)
    means = grouped(table, keys, given.metric)
    rest = [key for key in differ if key not in keys and not tables.follows(table, key, keys)]
    sentences, others = findings(table, swept, given.metric), 0
    if status is not None and (others := count_others(store, status=status, sweep=given.sweep, query=given.filter)):
        sentences.append(f"{others} more are not {status}: --status all includes them")
    if given.json:
        found_there = {
            "experiment": given.experiment,
            "status": given.status,
            "metric": given.metric,
            "by": keys,
            "average": average.centre,
            "averaged_over": rest,
            "rows": means.to_dict("records"),
            "runs": list(table.index),
            "other_runs": others,
            "findings": sentences,
            "files": paths,
        }
        process.say(*document(found_there).split("\n"))
        return
    _print_table(means, average, largest=effects.larger_is_better(given.metric))
    process.say(f"{given.metric}: " + (f"{average.centre}s over {', '.join(rest)}" if rest else "one run each"))
    process.say(*sentences, *map(str, paths))


def _check_metric(table: "pd.DataFrame", metric: str) -> None:
    metrics = [str(name) for name in table if "/" in str(name)]
    if metric in metrics:
        return
    finals = [name for name in metrics if name.startswith("final/")] or metrics
    near = "" if metric == LOSS else nearest(metric, metrics)
    others = f"choose another with --metric: {', '.join(finals)}" if finals else "they recorded no metrics"
    counts = ", ".join(f"{count} {word}" for word, count in Counter(table["status"]).items())
    raise UserError(f"none of these runs ({counts}) has the metric {metric}", near or others)


def _print_table(means: "pd.DataFrame", average: "Average", *, largest: bool) -> None:
    """The grouped table, the best rows if it is long; without colour when piped."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from rnnexp.comparison.shown import averages

    best = means.sort_values(average.centre, ascending=not largest, kind="stable").head(MOST_ROWS)
    heads, rows = averages(best if len(means) > MOST_ROWS else means, average)
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, head in enumerate(heads):
        left = place < heads.index("n")
        table.add_column(Text(printable(head)), justify="left" if left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console.print(table)
    if len(means) > MOST_ROWS:
        which = f"the {MOST_ROWS} with the {'largest' if largest else 'smallest'} {average.centre}"
        print(f"... {which} of {len(means)}; sweep.csv has every run")


if __name__ == "__main__":
    process.delay_collection()
    main(sys.argv[1:])
