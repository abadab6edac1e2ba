"""The summary of a sweep: a table of its jobs, their comparison as files, and where to see it."""

import math
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnexp.checks import printable
from rnnexp.history import Point
from rnnexp.process import is_quiet, say
from rnnexp.records import TRACEBACK_FILE, USABLE, JobRecord, Sweep, typed
from rnnexp.tracking.dead_runs import DIED_SILENTLY
from rnnexp.tracking.failures import attempt
from rnnexp.tracking.sweep_run import MOST_COMPARED, skipped_tags

if TYPE_CHECKING:
    import pandas as pd

    from rnnexp.tracking.sweep_run import SweepRun

LOSS = "final/eval/loss"
#: Runs whose curves MLflow draws on its page of charts until it is told to draw all.
MOST_DRAWN = 10
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
            files = comparison_files(sweep, records, table)
        if parent is not None:
            metrics = {f"jobs/{word.lower().replace(' ', '_')}": float(counts[word]) for word in STATUSES}
            if best is not None:
                metrics["jobs/best_loss"] = best.metrics[LOSS]
                tags |= {"rnnexp.best_run": best.run or "", "rnnexp.best_job": best.name}
            tags |= skipped_tags([record.run for record in records if record.status == "SKIPPED" and record.run])
            tags["mlflow.note.content"] = "\n".join(["```", *plain_table(sweep, records), "", *lines, "```"])
            parent.add(Point(name, value, 0) for name, value in metrics.items())
            for path in files:
                parent.artifact(path)
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
        step = next_step(sweep, again and parent is not None)
        say(f"not finished        {len(undone)} of {len(records)} jobs{step and f'; {step}'}")


def best_lines(best: JobRecord | None, table: "pd.DataFrame") -> list[str]:
    """The best job, and whether it can be compared with the others."""
    from rnnexp.comparison.effects import kinds_of_loss

    if best is None:
        return []
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


def next_step(sweep: Sweep, again: bool) -> str:
    """What to do about jobs that did not finish; empty if there is nothing to suggest."""
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
    from rnnexp.comparison.files import RESULTS

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
        row |= {key: record.values.get(key, chosen.get(key)) for key in sweep.keys}
        row |= {name: value for name, value in record.metrics.items() if name.startswith(RESULTS)}
        rows.append(row)
    table = pd.DataFrame(rows, columns=None if rows else ["run", "job", "name", "status", CONFIG])
    # Two jobs with one configuration may stand for one earlier run.
    return table.drop_duplicates("run").set_index("run")


def comparison_files(sweep: Sweep, records: list[JobRecord], table: "pd.DataFrame") -> list[Path]:
    """Write the files that compare the jobs into the sweep's folder."""
    from rnnexp.comparison.files import write_comparison

    if not any(record.metrics for record in records):
        return []
    import pandas as pd

    curves = {
        record.run or f"job {record.number}": pd.Series(dict(record.curve), dtype=float)
        for record in records
        if record.curve
    }
    title = "sweep: " + ", ".join(sweep.swept(sweep.overrides))
    return write_comparison(table, curves, sweep.folder, title=title, keys=sweep.keys)


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
    for record in records:
        style = colors.get(record.status, "red")
        table.add_row(*(Text(cell, style=style if index else "") for index, cell in enumerate(cells(sweep, record))))
    console.print(table)


def plain_table(sweep: Sweep, records: list[JobRecord]) -> list[str]:
    """The same as lines of text."""
    rows = [heads(sweep), *(cells(sweep, record) for record in records)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
