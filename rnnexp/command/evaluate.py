"""The command ``python -m rnnexp.evaluate``: a trained network on other settings of its task."""

from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from rnnexp.arguments import Parser, command_frame
from rnnexp.checks import UserError, out_of_memory, show
from rnnexp.command.of_runs import LOAD_OPTIONS, add_run, grid, load_run
from rnnexp.history import Point
from rnnexp.json_lines import document
from rnnexp.process import say
from rnnexp.trained import Trained

#: Of the gradient's numbers, those in the table; --json and --record have all.
SHOWN = ("gradient/log10_ratio", "gradient/decay_rate")
#: The order of the table's columns after the settings.
FIRST = ("loss", "baseline", "loss_over_baseline", "accuracy", "error")
Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Evaluate a run's network, print a table or JSON, and record it if wanted; SystemExit on a mistake."""
    parser = Parser(
        prog="python -m rnnexp.evaluate",
        description="Evaluate a trained network on other settings of its task; several values of several keys make a "
        "grid. Without settings: as it was trained.",
        epilog="example: python -m rnnexp.evaluate outputs/2026-11-25/00-51-49-505844-3977 task.lag=5,10,20,40",
    )
    add_run(parser)
    parser.add_argument("settings", nargs="*", metavar="task.KEY=VALUES", help="as for python -m rnnexp -m")
    parser.add_argument("--gradients", action="store_true", help="study the gradient there as well")
    parser.add_argument("--json", action="store_true", help="print all numbers as one JSON document")
    parser.add_argument(
        "--record",
        action="store_true",
        help="record the numbers in the run as generalization/KEY/..., with the value of KEY as the MLflow step",
    )
    with command_frame(LOAD_OPTIONS):
        _evaluate(parser.parse_intermixed_args(arguments))


def _evaluate(given: Namespace) -> None:
    trained = load_run(given)
    places = grid(given.settings, trained)
    key = _swept(places) if given.record else ""
    if given.record:
        from rnnexp.tracking.late_points import check_recordable

        check_recordable(trained.folder)
    for settings in places:  # all are checked before the first is evaluated
        trained.elsewhere(**settings)
    try:
        rows = [_row(trained, settings, given.gradients) for settings in places]
    except MemoryError as error:
        raise out_of_memory(error) from None
    if given.json:
        about = {"run": str(trained.folder or ""), "checkpoint": str(trained.checkpoint), "step": trained.step}
        say(*document({**about, "task": trained.name, "rows": rows}).split("\n"))
    else:
        say(repr(trained), *_table(rows))
    if given.record and trained.folder is not None:
        from rnnexp.tracking.late_points import record_late

        points = [
            Point(f"generalization/{key}/{name}", float(value), settings[key])
            for settings, row in zip(places, rows, strict=True)
            for name, value in row.items()
            if name not in settings and not name.startswith("task.") and isinstance(value, bool | float)
        ]
        say(record_late(trained.folder, points, given.uri), error=given.json)


def _swept(places: Sequence[dict[str, Any]]) -> str:
    """The key whose values become MLflow steps: the one with several values, or else the first."""
    keys = list(places[0])
    found = [key for key in keys if any(place[key] != places[0][key] for place in places)] or keys[:1]
    if len(found) != 1:
        what = ", ".join(f"task.{key}" for key in found) or "none"
        example = "for example task.lag=5,10,20 --record"
        raise UserError(f"--record needs one key whose values become MLflow steps, got {what}", example)
    for place in places:
        if isinstance(value := place[found[0]], bool) or not isinstance(value, int):
            problem = f"--record needs whole numbers, which become MLflow steps, got task.{found[0]}={show(value)}"
            raise UserError(problem, "leave --record out; --json has the numbers")
    return found[0]


def _row(trained: Trained, settings: dict[str, Any], gradients: bool) -> Row:
    """Settings and numbers of one place, by column."""
    evaluation = trained.evaluate(**settings)
    numbers: Row = evaluation.metrics()
    if (baseline := evaluation.baseline) is not None:
        numbers["baseline"] = float(baseline.loss)
        if baseline.loss > 0:
            numbers["loss_over_baseline"] = evaluation.loss / baseline.loss
    numbers = {**{name: numbers[name] for name in FIRST if name in numbers}, **numbers}
    if (solved := evaluation.solved) is not None:
        numbers["solved"] = solved
    if gradients:
        numbers |= trained.gradients(**settings).metrics()
    return {**{f"task.{key}": value for key, value in settings.items()}, **numbers}


def _table(rows: Sequence[Row]) -> list[str]:
    """Aligned lines, with a head."""
    names = [name for name in rows[0] if "/" not in name or name in SHOWN]
    cells = [[name.rpartition("/")[2] for name in names], *([_cell(row.get(name)) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else show(value, 40)
