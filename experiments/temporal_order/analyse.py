"""From recorded runs to the figure and the table of this study.

Run the recipe first (see the README), then ``python experiments/temporal_order/analyse.py`` in the same folder.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rnnexp.recipe import RecipeRuns, recipe_runs

HERE = Path(__file__).parent
SOLVED = 0.01  # fewer than 1 % of the sequences wrong (Pascanu et al. 2013)
LOOKS = {
    "plain SGD": ("#0072B2", ":"),
    "with clipping": ("#E69F00", "--"),
    "with clipping and regularizer": ("#009E73", "-"),
}


def method(row: "pd.Series[object]") -> str:
    """What a run was trained with, as the legend and the table call it."""
    if row["regularizer"] == "omega":
        return "with clipping and regularizer"
    return "plain SGD" if row["clipping"] == "none" else "with clipping"


def error_curves(study: RecipeRuns) -> pd.DataFrame:
    """Share of wrong sequences by update (rows) of every run (columns)."""
    return pd.DataFrame({run: study.curve(run, "eval/error") for run in study.table.index})


def first_solved(errors: pd.DataFrame) -> pd.Series:
    """Update of the first evaluation with an error below 1 %, by run; NaN where there is none."""
    below = errors < SOLVED
    return below.idxmax().where(below.any()).astype(float)


def recorded(table: pd.DataFrame, errors: pd.DataFrame, radius: pd.Series) -> pd.DataFrame:
    """One row a run: when an evaluation was below 1 % for the first time, and where it ended."""
    return pd.DataFrame(
        {
            "method": table.apply(method, axis=1),
            "seed": table["seed"],
            "first": first_solved(errors),
            "final": table["final/eval/error"],
            "best": errors.min(),
            "radius": radius,
        }
    )


def summarise(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a method: seeds, those below 1 % at one evaluation at least and at the last, when, and the errors."""
    groups = runs.groupby("method")
    summary = pd.DataFrame(
        {
            "seeds": groups.size(),
            "solved_once": groups["first"].count(),
            "solved_at_end": groups["final"].agg(lambda error: (error < SOLVED).sum()),
            "first_solved_at": groups["first"].min().astype("Int64"),
            "median_solved_at": groups["first"].median().round().astype("Int64"),  # of those that solved it
            "median_final_error": groups["final"].median(),
            "smallest_final_error": groups["final"].min(),
            "largest_final_error": groups["final"].max(),
            "smallest_error": groups["best"].min(),
            "mean_final_radius": groups["radius"].mean(),
        }
    )
    return summary.reindex([name for name in LOOKS if name in summary.index])


def draw(table: pd.DataFrame, errors: pd.DataFrame, title: str) -> Figure:
    """Each run's error over the updates, and the share of seeds that have solved the task by then."""
    figure = Figure(figsize=(10, 3.9), dpi=100, layout="constrained")
    curves, shares = figure.subplots(1, 2)
    methods, first = table.apply(method, axis=1), first_solved(errors)
    for name, (color, dash) in LOOKS.items():
        chosen = errors.loc[:, methods.index[methods == name]]
        if chosen.empty:
            continue
        curves.plot(chosen, dash, color=color, linewidth=1.3)
        by_then = [(first[chosen.columns] <= step).mean() for step in errors.index]
        shares.step(errors.index, by_then, dash, where="post", color=color, linewidth=2.2, label=name)
    curves.axhline(0.75, color="black", linewidth=0.8)
    curves.annotate(
        "a guess",
        (1.0, 0.75),
        xytext=(3, -3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        fontsize=8,
        annotation_clip=False,
    )
    curves.set(xlabel="updates", ylabel="share of wrong sequences", ylim=(-0.03, 0.85), title=title)
    shares.set(xlabel="updates", ylabel="share of seeds", ylim=(-0.03, 1.05))
    shares.set_title(f"have been below {SOLVED:.0%} wrong at least once")
    for axes in (curves, shares):
        axes.grid(alpha=0.3)
    shares.legend(frameon=False, fontsize=8, loc="upper left")
    return figure


def main() -> None:
    """Write figure.png and table.csv beside this file (or into ``--out``) and print the table."""
    study = recipe_runs("temporal_order", folder=HERE, description=__doc__)
    table, errors = study.table, error_curves(study)
    radius = pd.Series({run: study.curve(run, "recurrent/spectral_radius").iloc[-1] for run in table.index})
    lengths = np.unique(table[["task.length", "task.longest"]].to_numpy(float))
    title = f"each seed, lengths {lengths.min():.0f} to {lengths.max():.0f}"
    runs = recorded(table, errors, radius)
    study.save(draw(table, errors, title), summarise(runs), runs)


if __name__ == "__main__":
    main()
