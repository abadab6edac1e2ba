"""The summary of a sweep: a table of its jobs, their comparison as files, and where to see it."""

import math
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnexp.checks import printable
from rnnexp.history import Point
from rnnexp.process import is_quiet, say
from rnnexp.records import (
    ASKED,
    MARKED,
    READ,
    RESULTS,
    TRACEBACK_FILE,
    USABLE,
    JobRecord,
    Sweep,
    continued_by,
    load_job,
    typed,
)
from rnnexp.tracking.dead_runs import DIED_SILENTLY
from rnnexp.tracking.failures import attempt
from rnnexp.tracking.sweep_run import MOST_COMPARED, skipped_tags
from rnnexp.tracking.tables import table_tag, write_mlflow_table

if TYPE_CHECKING:
    import pandas as pd

    from rnnexp.tracking.sweep_run import SweepRun

LOSS = "final/eval/loss"
#: In MLflow: the jobs as a table that can be sorted and searched, at most so many.
TABLE, MOST_ROWS = "sweep_table.json", 1000
#: Runs whose curves MLflow draws on its page of charts until it is told to draw all.
MOST_DRAWN = 10
#: Jobs that a table on the screen or in a note lists, and those among them that did not finish.
MOST_LISTED, MOST_UNDONE = 100, 20
STATUSES = ("FINISHED", "SKIPPED", "FAILED", "DIVERGED", "KILLED", "NOT RUN")


def summarise(
    sweep: Sweep, records: list[JobRecord], parent: "SweepRun | None", interrupted: str, *, again: bool = True
) -> None:
    """Compare the jobs, end the parent run if there is one, and print the summary.

    What can't be made is reported and left out; a waiting interruption cuts the comparison short. The parent is ended
    in any case. `interrupted` is what stopped the sweep from outside; `again` whether the same command makes the same
    jobs.
    """
    counts, best = Counter(record.status for record in records), best_of(records)
    status = "KILLED" if interrupted else "FINISHED" if set(counts) <= set(USABLE) and counts else "FAILED"
    tags = {"error": interrupted} if interrupted else {}
    lines = [", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status]) or "no job began"]
    try:
        if parent is not None and counts["KILLED"]:
            parent.end_children(interrupted or DIED_SILENTLY)
        files: list[Path] = []
        with attempt("the comparison of the jobs"):
            table = jobs_table(sweep, records)
            lines += best_lines(best, table)
            files = comparison_files(sweep, records, table, parent)
        if parent is not None:
            metrics = {f"jobs/{word.lower().replace(' ', '_')}": float(counts[word]) for word in STATUSES}
            if best is not None:
                metrics["jobs/best_loss"] = best.metrics[LOSS]
                tags |= {"rnnexp.best_run": best.run or "", "rnnexp.best_job": best.name}
            tags |= skipped_tags([record.run for record in records if record.status == "SKIPPED" and record.run])
            tags["mlflow.note.content"] = "\n".join(["```", *plain_table(sweep, records), "", *lines, "```"])
            parent.add(Point(name, value, parent.begun - 1) for name, value in metrics.items())
            for path in files:
                parent.artifact(path)
            if files:
                with attempt("the table of the jobs for MLflow"):
                    write_mlflow_table(table_rows(table), sweep.folder / TABLE)
                    parent.artifact(sweep.folder / TABLE)
                    tags |= table_tag(TABLE)
    finally:
        if parent is not None:
            parent.end(status, tags)
    with attempt("the table of the jobs"):
        if not is_quiet():
            print_table(sweep, records)
    say(*lines, f"sweep folder        {sweep.folder}")
    if parent is not None:
        runs = list(dict.fromkeys(record.run for record in records if record.run and record.status != "NOT RUN"))
        say(*links(parent, runs, some_skipped=bool(counts["SKIPPED"])))
    if undone := [record for record in records if not record.usable]:
        stopped = again and any(record.status in ("KILLED", "NOT RUN") for record in undone)
        step = next_step(sweep, stopped=stopped, again=again and parent is not None)
        say(f"not finished        {len(undone)} of {len(records)} jobs{step and f'; {step}'}")


def best_lines(best: JobRecord | None, table: "pd.DataFrame") -> list[str]:
    """The best job, and whether it can be compared with the others."""
    from rnnexp.comparison.effects import kinds_of_loss

    if best is None:
        return ["best                none: no job finished with an evaluation loss"] if len(table) else []
    lines = [f"best                {best.label}: evaluation loss {best.metrics[LOSS]:.6g}"]
    if len(kinds_of_loss(table, LOSS)) > 1:
        lines.append(f"{'':20}beware: some losses are in nats, others squared errors")
    return lines


def links(parent: "SweepRun", runs: list[str], *, some_skipped: bool) -> list[str]:
    """Where the sweep is seen in MLflow."""
    lines = [f"MLflow parent run   {parent.id} in experiment {parent.store.experiment}"]
    if command := parent.store.ui_command():
        lines.append(f"to see it, start    {command}")
    if runs:
        lines.append(f"charts              {parent.charts_link(runs if some_skipped else [])}")
        lines.append(f"comparison          {parent.compare_link(runs)}")
    if len(runs) > MOST_DRAWN:
        most = f"; the comparison has the first {MOST_COMPARED}" if len(runs) > MOST_COMPARED else ""
        lines.append(
            f"{'':20}the charts show {MOST_DRAWN} of {len(runs)} jobs until their eye is set to show all{most}"
        )
    return lines


def next_step(sweep: Sweep, *, stopped: bool, again: bool) -> str:
    """What to do about jobs that did not finish; empty if there is nothing to suggest."""
    if stopped:
        return f"to go on: {continued_by(sweep.folder)}"
    if again:
        other = " and another hydra.sweep.dir" if sweep.folder_given else ""
        return f"the same command with skip_finished=true{other} runs only what is missing"
    if any(sweep.folder.rglob(TRACEBACK_FILE)):
        return f"{TRACEBACK_FILE} in a job's folder has the whole story of an error in the code"
    return ""


def best_of(records: list[JobRecord]) -> JobRecord | None:
    """The finished job with the smallest final evaluation loss; None if there is none."""
    usable = [record for record in records if record.usable and math.isfinite(record.metrics.get(LOSS, math.nan))]
    return min(usable, key=lambda record: record.metrics[LOSS], default=None)


def jobs_table(sweep: Sweep, records: list[JobRecord]) -> "pd.DataFrame":
    """One row per job: its name, status, the swept keys, and its final metrics."""
    import pandas as pd

    from rnnexp.comparison.effects import CONFIG

    rows = []
    for record in records:
        row: dict[str, Any] = {
            "run": record.run or f"job {record.number}",
            "job": record.number,
            "name": record.name,
            "status": record.status,
            CONFIG: record.config,
        }
        # Choices that are not a single value of the configuration (an initialiser, a recipe) are shown as typed.
        chosen = typed(record.overrides)
        row |= {key: record.values[key] for key in (*MARKED, *READ) if key in record.values}
        row |= {key: record.values.get(key, chosen.get(key)) for key in sweep.keys}
        row |= {name: value for name, value in record.metrics.items() if name.startswith(RESULTS)}
        rows.append(row)
    table = pd.DataFrame(rows, columns=None if rows else ["run", "job", "name", "status", CONFIG])
    # Two jobs with one configuration may stand for one earlier run.
    return table.drop_duplicates("run").set_index("run")


def table_rows(table: "pd.DataFrame") -> list[dict[str, Any]]:
    """The jobs with the smallest loss, as rows of a table: their names, swept keys and results."""
    from rnnexp.comparison.effects import CONFIG

    best = table.sort_values(LOSS, kind="stable") if LOSS in table else table
    shown = best.head(MOST_ROWS).drop(columns=["job", CONFIG, ASKED], errors="ignore").reset_index()
    return [{str(name): value for name, value in row.items()} for row in shown.to_dict("records")]


def comparison_files(
    sweep: Sweep, records: list[JobRecord], table: "pd.DataFrame", parent: "SweepRun | None"
) -> list[Path]:
    """Write the files that compare the jobs into the sweep's folder."""
    from rnnexp.comparison.files import write_comparison

    if not any(record.metrics for record in records):
        return []
    import pandas as pd

    from rnnexp.comparison.shown import Curves

    numbers = {record.run or f"job {record.number}": record.number for record in records if record.curve}

    def curve(run: str) -> pd.Series:
        whole = load_job(sweep.folder, numbers[run])
        return pd.Series(dict(whole.curve if whole is not None else []), dtype=float)

    def link(run: str) -> str:
        if parent is not None:
            return parent.store.link(f"runs/{run}")
        folder = str(table.loc[run, "job"])
        return f"{folder}/" if (sweep.folder / folder).is_dir() else ""

    curves = Curves(numbers, curve)
    title = "sweep: " + (", ".join(sweep.swept(sweep.overrides)) or "one job")
    return write_comparison(table, curves, sweep.folder, title=title, keys=sweep.keys, formats=sweep.formats, link=link)


def cells(sweep: Sweep, record: JobRecord) -> list[str]:
    """A job's line of the table, as it can be printed."""
    chosen = typed(record.overrides)
    loss = record.metrics.get(LOSS, math.nan) if record.usable else math.nan
    shown = f"{loss:.6g}" if math.isfinite(loss) else ""
    reason = record.reason.splitlines()[0] if record.reason else ""
    row = [str(record.number), *(chosen.get(key, "") for key in sweep.keys), record.status, shown, reason]
    return list(map(printable, row))


def heads(sweep: Sweep) -> list[str]:
    """The table's columns."""
    return ["job", *map(printable, sweep.keys), "status", "final loss", ""]


def listed(records: list[JobRecord]) -> tuple[list[JobRecord], str]:
    """The jobs that a table lists, and a line that says which if they are not all: the best, then some unfinished."""
    if len(records) <= MOST_LISTED:
        return records, ""
    undone = [record for record in records if not record.usable][:MOST_UNDONE]
    usable = [record for record in records if record.usable]
    best = sorted(usable, key=_rank)[: MOST_LISTED - len(undone)]
    more = f" and the first {len(undone)} that did not finish" if undone else ""
    return [*best, *undone], f"... the {len(best)} jobs with the smallest loss{more}, of {len(records)}"


def _rank(record: JobRecord) -> float:
    loss = record.metrics.get(LOSS, math.nan)
    return loss if math.isfinite(loss) else math.inf


def print_table(sweep: Sweep, records: list[JobRecord]) -> None:
    """The jobs as a table on stdout."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads(sweep):
        table.add_column(head, justify="right" if head in ("job", "final loss") else "left", overflow="fold")
    colors = {"FINISHED": "", "SKIPPED": "dim", "NOT RUN": "dim"}
    shown, which = listed(records)
    for record in shown:
        style = colors.get(record.status, "red")
        table.add_row(*(Text(cell, style=style if index else "") for index, cell in enumerate(cells(sweep, record))))
    console.print(table)
    if which:
        say(f"{which}; sweep.csv has every run")


def plain_table(sweep: Sweep, records: list[JobRecord]) -> list[str]:
    """The same as lines of text."""
    shown, which = listed(records)
    rows = [heads(sweep), *(cells(sweep, record) for record in shown)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*lines, which] if which else lines
