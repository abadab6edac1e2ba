"""From recorded runs to the figure and the table of this study.

Run the recipe first (see the README), then ``python experiments/temporal_order/analyse.py`` in the same folder.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rnnexp.recipe import RecipeRuns, first_below, legend_above, run_analysis

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


def lengths(row: "pd.Series[object]") -> str:
    """The lengths of a run's sequences: one, or from the shortest to the longest."""
    shortest, longest = row["task.length"], row["task.longest"]
    return f"{shortest:.0f}" if pd.isna(longest) else f"{shortest:.0f} to {longest:.0f}"


def shortest(named: str) -> int:
    """The first of the lengths that `lengths` names, to sort by."""
    return int(named.split()[0])


#: Where rows of the table come, by the level of its index.
PLACE = {"lengths": shortest, "method": list(LOOKS).index}


def first_solved(errors: pd.Series) -> float:
    """Update of the first evaluation with an error below 1 %; NaN where there is none."""
    return first_below(errors, SOLVED)


def recorded(study: RecipeRuns) -> tuple[pd.DataFrame, dict[str, pd.Series]]:
    """One row a run: when an evaluation was first below 1 %, and where it ended; and its errors by update."""
    table = study.table
    errors = {str(run): study.curve(run, "eval/wrong_fraction") for run in table.index}
    rows = pd.DataFrame(
        {
            "lengths": table.apply(lengths, axis=1),
            "units": table["hidden_size"].astype(int),
            "method": table.apply(method, axis=1),
            "strength": table.get("regularizer.strength", np.nan),
            "seed": table["seed"],
            "updates": table["steps"],
            "first": [first_solved(errors[str(run)]) for run in table.index],
            "final": table["final/eval/wrong_fraction"],
            "best": [errors[str(run)].min() for run in table.index],
            "radius": [study.curve(run, "recurrent/spectral_radius").iloc[-1] for run in table.index],
        }
    )
    return rows, errors


def summarise(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a size and method: seeds, those below 1 % at one evaluation at least and at the last, and when."""
    groups = runs.groupby(["lengths", "units", "method"])
    return pd.DataFrame(
        {
            "seeds": groups.size(),
            "updates": groups["updates"].max(),
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
    ).sort_index(key=lambda values: values.map(PLACE[values.name]) if values.name in PLACE else values)


def draw(rows: pd.DataFrame, errors: dict[str, pd.Series]) -> Figure:
    """For each size every run's error over the updates, and the share of seeds that have solved the task by then."""
    sizes = sorted(rows.groupby(["lengths", "units"]).groups, key=lambda size: (shortest(size[0]), size[1]))
    figure = Figure(figsize=(10, 3.4 * len(sizes)), dpi=80, layout="constrained")
    panels = figure.subplots(len(sizes), 2, squeeze=False)
    for (length, units), (curves, shares) in zip(sizes, panels, strict=True):
        here = rows[(rows["lengths"] == length) & (rows["units"] == units)]
        for name, (color, dash) in LOOKS.items():
            chosen = here[here["method"] == name]
            if chosen.empty:
                continue
            for run in chosen.index:
                curves.plot(errors[str(run)], dash, color=color, linewidth=1)
            steps = errors[str(chosen.index[0])].index
            by_then = [(chosen["first"] <= step).mean() for step in steps]
            shares.step(steps, by_then, dash, where="post", color=color, linewidth=2.2, label=name)
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
        curves.set(xlabel="updates", ylabel="share of wrong sequences", ylim=(-0.03, 0.85))
        curves.set_title(f"each seed, length {length}, {units} units")
        shares.set(xlabel="updates", ylabel="share of seeds", ylim=(-0.03, 1.05))
        shares.set_title(f"have been below {SOLVED:.0%} wrong at least once")
        for axes in (curves, shares):
            axes.grid(alpha=0.3)
    legend_above(figure, panels.flat)
    return figure


def analyse(study: RecipeRuns) -> None:
    """Write figure.png, table.csv and runs.csv beside this file (or into ``--out``) and print the table."""
    rows, errors = recorded(study)
    study.save(draw(rows, errors), summarise(rows), rows)


if __name__ == "__main__":
    run_analysis(analyse, __file__, __doc__)
