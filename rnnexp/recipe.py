"""What the analyses in ``experiments`` share: arguments, recorded runs, and the folder of the figure and the table."""

import argparse
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnexp.checks import UserError
from rnnexp.command.composing import job_parameters
from rnnexp.process import outlive_readers, say
from rnnexp.report import curve, runs
from rnnexp.run_info import NO_MATTER
from rnnexp.settings import conf_dir
from rnnexp.sweeps.composition import every_job

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

#: What a recipe's file begins with: the commands of the study, then those that show it in seconds.
COMMAND, QUICK = "#   python -m rnnexp -m ", "# In seconds, to see it work:"


@dataclass
class RecipeRuns:
    """The recorded runs of a recipe (one row of `table` each), their store, and the folder for the results."""

    name: str
    table: "pd.DataFrame"
    uri: str | None
    out: Path

    def curve(self, run: object, metric: str) -> "pd.Series":
        """All values of one metric of a run, by step."""
        return curve(str(run), metric, uri=self.uri, experiment=self.name)

    def save(
        self, figure: "Figure", table: "pd.DataFrame", rows: "pd.DataFrame", *, index: bool = True, digits: int = 5
    ) -> None:
        """Write ``figure.png``, ``table.csv`` and ``runs.csv`` (with so many significant digits), and print the table.

        Parameters
        ----------
        figure, table
            What the study shows; `index` says whether the table's index is part of it.
        rows : DataFrame
            One row a run, in an order of its own: what the table is made of. Its index is left out.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        figure.savefig(self.out / "figure.png")
        table.to_csv(self.out / "table.csv", index=index, float_format=f"%.{digits}g")
        rows.sort_values([str(name) for name in rows], kind="stable").to_csv(
            self.out / "runs.csv", index=False, float_format=f"%.{digits}g"
        )
        say(*table.to_string(index=index, float_format=f"%.{digits}g").split("\n"))


def first_below(curve: "pd.Series", level: float) -> float:
    """The first index at which a curve is below `level`; NaN if it never is."""
    below = curve.index[curve < level]
    return float(below[0]) if len(below) else float("nan")


def planned(name: str) -> list[list[str]]:
    """The overrides of every run of a recipe's study, by the commands at the head of its file."""
    head = (conf_dir() / "experiment" / f"{name}.yaml").read_text(encoding="utf-8").partition(QUICK)[0]
    commands = [line.removeprefix(COMMAND) for line in head.splitlines() if line.startswith(COMMAND)]
    return [job for command in commands for job in every_job(shlex.split(command))]


def of_study(table: "pd.DataFrame", plan: Sequence[Mapping[str, object]]) -> "pd.DataFrame":
    """The rows of `table`, oldest first as from `runs`, that are the latest run of one of the planned jobs.

    A job is given by its parameters. One that all planned jobs agree in may be missing in a run: earlier versions had
    fewer. Those that the table does not know at all are not compared.
    """
    known = {key for job in plan for key in job}
    keys = [key for key in table if key in known and str(key).partition(".")[0] not in NO_MATTER]
    values = {key: {_told(job.get(str(key))) for job in plan} for key in keys}
    agreed = {key: next(iter(several)) for key, several in values.items() if len(several) == 1}
    wanted = {tuple(_told(job.get(str(key))) for key in keys) for job in plan}
    latest: dict[tuple[Any, ...], object] = {}
    for run, row in zip(table.index, zip(*(table[key] for key in keys), strict=True), strict=True):
        given = zip(keys, map(_told, row), strict=True)
        latest[tuple(agreed.get(key) if value is None else value for key, value in given)] = run
    found = {run for job, run in latest.items() if job in wanted}
    return table[table.index.isin(found)]


def with_settings_of(table: "pd.DataFrame", plan: Sequence[Mapping[str, object]]) -> "pd.DataFrame":
    """The table with a column for each parameter of the planned jobs, missing where only other runs have it."""
    lacking = dict.fromkeys(key for job in plan for key in job if key not in table)
    return table.reindex(columns=[*table, *lacking])


def _told(value: Any) -> str | float | None:
    """A parameter in one form, whether it is composed or read back from MLflow."""
    text = "null" if value is None or value != value else str(value)
    try:
        return None if text == "null" else float(text)
    except ValueError:
        return text


def recipe_runs(name: str, *, folder: Path, description: str | None = None) -> RecipeRuns:
    """The finished runs of the recipe `name`, which is its MLflow experiment; SystemExit with a message if none.

    Of its study, that is, each job's latest: those with other settings, and repeated ones, are left out. If some are
    missing, their number is printed, and figure and tables are of those that there are. Without any run of the study
    they are of the others, as of the quick commands.

    The command line names the store (``--uri``) and a folder for figure and table (``--out``, by default `folder`).
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--uri", help="tracking store; as for python -m rnnexp when not given")
    parser.add_argument("--out", type=Path, default=folder, help="folder for figure.png, table.csv and runs.csv")
    outlive_readers()
    options = parser.parse_args()
    try:
        table = runs(name, uri=options.uri)
    except UserError as error:
        raise SystemExit(error.message()) from None
    jobs = planned(name)
    plan = job_parameters(jobs)
    found = of_study(table, plan)
    missing, others = len(jobs) - len(found), len(table) - len(found)
    if missing and len(found):
        say(f"{missing} of the {len(jobs)} runs of this study are missing; what follows is of {len(found)}")
    elif missing:
        say(f"all of the {missing} runs of this study are missing; what follows is of {others} with other settings")
    if others and len(found):
        say(f"left out: {others} more in the experiment {name}, repeated or with settings that are not this study's")
    kept = with_settings_of(found if len(found) else table, plan)
    return RecipeRuns(name, kept, options.uri, options.out)
