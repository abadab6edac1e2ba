"""What the analyses in ``experiments`` share: their arguments, the runs they read, and where figure and table go."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rnnexp.checks import UserError
from rnnexp.report import curve, runs

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass
class RecipeRuns:
    """The recorded runs of a recipe, and the folder for what is made of them.

    Parameters
    ----------
    name : str
        Of the recipe, and of its MLflow experiment.
    table : pandas.DataFrame
        One row a finished run, as from `rnnexp.report.runs`.
    uri : str or None
        Of the tracking store; None as for ``python -m rnnexp``.
    out : Path
        Folder for the figure and the table.
    """

    name: str
    table: "pd.DataFrame"
    uri: str | None
    out: Path

    def curve(self, run: object, metric: str) -> "pd.Series":
        """All values of one metric of a run, by step."""
        return curve(str(run), metric, uri=self.uri, experiment=self.name)

    def save(self, figure: "Figure", table: "pd.DataFrame", *, index: bool = True, digits: int = 5) -> None:
        """Write ``figure.png`` and ``table.csv`` (with so many significant digits), and print the table."""
        self.out.mkdir(parents=True, exist_ok=True)
        figure.savefig(self.out / "figure.png")
        table.to_csv(self.out / "table.csv", index=index, float_format=f"%.{digits}g")
        print(table.to_string(index=index, float_format=f"%.{digits}g"))


def first_below(curve: "pd.Series", level: float) -> float:
    """Where a curve first lies below `level`, on its index; NaN if it never does."""
    below = curve.index[curve < level]
    return float(below[0]) if len(below) else float("nan")


def recipe_runs(name: str, *, folder: Path, description: str | None = None) -> RecipeRuns:
    """The arguments of an analysis' command line, and the runs that they name.

    Parameters
    ----------
    name : str
        Of the recipe, which is the name of its MLflow experiment.
    folder : Path
        Where figure and table go unless ``--out`` says otherwise.
    description : str, optional
        For ``--help``.

    Raises
    ------
    SystemExit
        With a message and exit code 1 if there is no finished run.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--uri", help="tracking store; as for python -m rnnexp when not given")
    parser.add_argument("--out", type=Path, default=folder, help="folder for figure.png and table.csv")
    options = parser.parse_args()
    try:
        table = runs(name, uri=options.uri)
    except UserError as error:
        raise SystemExit(error.message()) from None
    return RecipeRuns(name, table, options.uri, options.out)
