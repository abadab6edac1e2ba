"""What the analyses in ``experiments`` share: arguments, recorded runs, and the folder of the figure and the table."""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnexp.arguments import FILTER, Parser, command_frame
from rnnexp.checks import InvalidValue, UserError
from rnnexp.command.composing import job_parameters
from rnnexp.process import say
from rnnexp.redaction import redact
from rnnexp.run_info import NO_MATTER
from rnnexp.settings import conf_dir, override
from rnnexp.sweeps.composition import every_job

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from rnnexp.tracking.store import Store

#: What a recipe's file begins with: the commands of the study, then those that show it in seconds.
COMMAND, QUICK = "#   python -m rnnexp -m ", "# In seconds, to see it work:"
#: Missing runs that are named.
MOST_NAMED = 10


@dataclass
class RecipeRuns:
    """The recorded runs of a recipe, their store, and the folder for the results.

    Attributes
    ----------
    table, diverged : DataFrame
        One row a run: those that are finished, and those that diverged.
    """

    table: "pd.DataFrame"
    diverged: "pd.DataFrame"
    store: "Store"
    out: Path

    @property
    def uri(self) -> str:
        """The address of the store."""
        return self.store.uri

    def curve(self, run: object, metric: str) -> "pd.Series":
        """All values of one metric of a run, by step."""
        from rnnexp.comparison.tables import curve_of

        return curve_of(self.store, str(run), metric)

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


def legend_above(figure: "Figure", panels: "Iterable[Axes]") -> None:
    """One legend above all panels, of the panel with the most entries."""
    handles, names = max((axes.get_legend_handles_labels() for axes in panels), key=lambda found: len(found[1]))
    figure.legend(handles, names, frameon=False, ncols=len(names), loc="outside upper center")


def run_analysis(analyse: Callable[[RecipeRuns], None], script: str, description: str | None) -> None:
    """Analyse the recorded runs of the recipe that is named as the script's folder; SystemExit on a mistake.

    The command line names the store (``--uri``) and the folder for figure and tables (``--out``); see `recipe_runs`.
    """
    folder = Path(script).resolve().parent
    parser = Parser(description=description)
    parser.add_argument("--uri", help="tracking store; as for python -m rnnexp when not given")
    parser.add_argument("--filter", metavar="TEXT", help=f"runs of your own instead of the study's; {FILTER}")
    parser.add_argument(
        "--out", type=Path, help=f"folder for the files (default: {folder.name}, of an incomplete study "
        f"./{folder.name}-incomplete)"
    )  # fmt: skip
    options = parser.parse_args()
    with command_frame():
        analyse(recipe_runs(folder, uri=options.uri, query=options.filter, out=options.out))


def recipe_runs(folder: Path, *, uri: str | None, query: str | None, out: Path | None) -> RecipeRuns:
    """The finished runs, and the diverged ones, of the study in `folder`.

    The folder's name is that of the recipe and of the MLflow experiment. Of each job its latest: those with other
    settings, and repeated ones, are left out. Which are missing is printed, and the commands that run them. Without any
    run of the study they are those of its quick commands; with `query`, an MLflow filter, those that match it.

    Unless all runs of the study are there, the results go into a folder of their own where the command is given, so
    that those in `folder` stay.

    Raises
    ------
    UserError
        If there are no such runs, or the store or `out` can't be used.
    """
    from rnnexp.comparison.recorded_runs import NoRuns, found_runs, reading
    from rnnexp.comparison.tables import compared_table

    name = folder.name
    try:
        store = reading(uri, name)
        table = compared_table(found_runs(store, status=None, sweep=None, query=None))
    except NoRuns as error:
        hint = f"run the commands of {folder / 'README.md'} here first, or name the store of their runs with --uri"
        raise UserError(error.problem, hint) from None
    plan = StudyPlan.of(name)
    if query is not None:
        chosen = compared_table(found_runs(store, status="FINISHED", sweep=None, query=query))
        diverged = chosen.iloc[:0]
        say(f"what follows is of the {len(chosen)} finished runs that match {query}, not of the study")
    else:
        chosen, diverged, complete = of_study(name, plan, table, [override("tracking.uri", redact(uri))] if uri else [])
        out = folder if out is None and complete else out
    if out is None:
        out = Path(f"{name}-incomplete")
        say(f"figure and tables go to the folder {out}, and those in {folder} stay")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidValue("--out", str(out), "a writable folder", error.strerror or str(error)) from None
    chosen, diverged = (with_settings_of(rows, plan.jobs) for rows in (chosen, diverged))
    return RecipeRuns(chosen, diverged, store, out)


def planned(name: str, *, quick: bool = False) -> list[tuple[str, list[str]]]:
    """Every job of a recipe's study, or of the commands that show it in seconds: its command, and its overrides.

    The commands are those at the head of the recipe's file.
    """
    head, _, rest = (conf_dir() / "experiment" / f"{name}.yaml").read_text(encoding="utf-8").partition(QUICK)
    lines = (rest if quick else head).splitlines()
    commands = [line.removeprefix(COMMAND) for line in lines if line.startswith(COMMAND)]
    return [(command, job) for command in commands for job in every_job(shlex.split(command))]


@dataclass
class StudyPlan:
    """The jobs of a study: the parameters of each, its overrides, and the command that it belongs to."""

    jobs: Sequence[Mapping[str, object]]
    overrides: Sequence[Sequence[str]]
    commands: Sequence[str]

    @classmethod
    def of(cls, name: str, *, quick: bool = False) -> "StudyPlan":
        """That of a recipe's study, or of its quick commands."""
        commands, overrides = zip(*planned(name, quick=quick), strict=True)
        return cls(job_parameters(overrides), overrides, commands)

    def runs(self, table: "pd.DataFrame") -> list[list[str]]:
        """The rows of `table`, oldest first, that are runs of each job.

        A job is given by its parameters. One that all jobs agree in may be missing in a run: earlier versions had
        fewer. Those that the table does not know at all are not compared.
        """
        keys = self._keys(table)
        found: dict[tuple[Any, ...], list[str]] = {}
        for run, parameters in zip(table.index, self._parameters(table), strict=True):
            found.setdefault(tuple(parameters.values()), []).append(str(run))
        return [found.get(tuple(_told(job.get(key)) for key in keys), []) if keys else [] for job in self.jobs]

    def named(self, jobs: Sequence[int], status: Mapping[int, str]) -> list[str]:
        """A line for each of some jobs, up to `MOST_NAMED`, with what became of it."""
        lines = []
        for at in jobs[:MOST_NAMED]:
            given = [each for each in self.overrides[at] if not each.startswith(("experiment=", "hydra"))]
            lines.append("  " + " ".join([*given, *[f"({status[at]})"] * bool(status[at])]))
        return [*lines, *[f"  and {len(jobs) - MOST_NAMED} more"] * (len(jobs) > MOST_NAMED)]

    def apart(self, table: "pd.DataFrame") -> str:
        """In what the last row of `table` differs from the job most like it: three of these parameters."""
        (parameters,) = self._parameters(table.iloc[-1:])
        differ = [
            {key: value for key, value in parameters.items() if value != _told(job.get(key))} for job in self.jobs
        ]
        fewest = list(min(differ, key=len).items())
        values = {key: f"{value:g}" if isinstance(value, float) else value or "null" for key, value in fewest[:3]}
        shown = [f"{key}={value}" for key, value in values.items()]
        return ", ".join([*shown, *["..."] * (len(fewest) > 3)])

    def _keys(self, table: "pd.DataFrame") -> list[str]:
        known = {key for job in self.jobs for key in job}
        return [str(key) for key in table if key in known and str(key).partition(".")[0] not in NO_MATTER]

    def _parameters(self, table: "pd.DataFrame") -> list[dict[str, str | float | None]]:
        """What is compared of each row; for what it lacks, the value that all jobs agree in."""
        keys = self._keys(table)
        values = {key: {_told(job.get(key)) for job in self.jobs} for key in keys}
        agreed = {key: next(iter(several)) for key, several in values.items() if len(several) == 1}
        rows = [dict(zip(keys, map(_told, row), strict=True)) for row in table[keys].to_numpy(object)]
        return [{key: agreed.get(key) if row[key] is None else row[key] for key in keys} for row in rows]


def of_study(
    name: str, plan: StudyPlan, table: "pd.DataFrame", store: Sequence[str] = ()
) -> tuple["pd.DataFrame", "pd.DataFrame", bool]:
    """The finished runs of the study, those that diverged, and whether these are all of its jobs.

    What is missing or left out of `table`, runs of any status, is printed; `store` is what a command needs to record
    where the table was read.
    """
    from rnnexp.comparison.tables import DIVERGED

    finished = table[table["status"] == "FINISHED"]
    runs = plan.runs(finished)
    latest = [several[-1] for several in runs if several]
    others = finished[~finished.index.isin([run for several in runs for run in several])]
    begun = plan.runs(table[table["status"] != "FINISHED"])
    status = {
        at: str(table["status"][begun[at][-1]]) if begun[at] else "" for at, several in enumerate(runs) if not several
    }
    lost = [at for at in status if status[at] == DIVERGED]  # run again, it would diverge again
    if lost:
        say(f"diverged: {len(lost)} of the {len(runs)} runs of this study", *plan.named(lost, status))
    if missing := [at for at in status if at not in lost]:
        rest = f"what follows is of {len(latest)}" if latest else "none is finished"
        say(f"missing: {len(missing)} of the {len(runs)} runs of this study; {rest}", *plan.named(missing, status))
        again = dict.fromkeys(plan.commands[at] for at in missing)
        more = shlex.join(["skip_finished=true", *store])
        say("to run these only:", *(f"  python -m rnnexp -m {each} {more}" for each in again))
    diverged = table.loc[[begun[at][-1] for at in lost]]
    if latest:
        repeated = sum(len(several) - 1 for several in runs if several)
        left = [f"{repeated} whose jobs were run again later"] * bool(repeated)
        left += [f"{len(others)} with settings of no job (the last: {plan.apart(others)})"] if len(others) else []
        if left:
            say(f"left out: of the finished runs in the experiment {name}, {' and '.join(left)}")
        return table[table.index.isin(latest)], diverged, not missing
    quick = [several[-1] for several in StudyPlan.of(name, quick=True).runs(others) if several]
    if quick:
        say(f"what follows is of the latest {len(quick)} runs of the study's quick commands")
        return table[table.index.isin(quick)], diverged.iloc[:0], False
    problem = f"there is no FINISHED run of the study in the MLflow experiment {name}"
    if others.empty:
        raise UserError(problem, "run the commands above first")
    hint = f"{len(others)} have settings of no job of it (the last: {plan.apart(others)})"
    raise UserError(problem, f"{hint}; to analyse runs of your own: --filter \"params.seed = '0'\" and the like")


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
