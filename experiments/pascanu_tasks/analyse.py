"""From recorded runs to the figure and the table of this study.

Run the recipe first (see the README), then ``python experiments/pascanu_tasks/analyse.py`` in the same folder.
"""

import pandas as pd
from matplotlib.figure import Figure

from rnnexp.recipe import RecipeRuns, first_below, legend_above, run_analysis

SOLVED = 0.01  # fewer than 1 % of the sequences wrong (Pascanu et al. 2013)
KEYS = ["task", "length"]
LOOKS = [("#0072B2", "-"), ("#E69F00", "--"), ("#009E73", ":"), ("#CC79A7", "-."), ("#56B4E9", "-")]


def recorded(study: RecipeRuns) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """One row a run; and by update its error, and its loss over the baseline's."""
    metrics = {"wrong": "eval/wrong_fraction", "loss": "eval/loss_over_baseline"}
    curves = {
        str(run): pd.DataFrame({name: study.curve(run, metric) for name, metric in metrics.items()})
        for run in study.table.index
    }
    rows = []
    for run, settings in study.table.iterrows():
        curve = curves[str(run)]
        rows.append(
            {
                "task": settings["task"],
                "length": int(settings["task.length"]),
                "units": int(settings["hidden_size"]),
                "seed": int(settings["seed"]),
                "updates": int(settings["steps"]),
                "first": first_below(curve["wrong"], SOLVED),
                "final": curve["wrong"].iloc[-1],
                "best": curve["wrong"].min(),
                "loss_over_baseline": curve["loss"].iloc[-1],
                "smallest_over_baseline": curve["loss"].min(),
                "radius": study.curve(run, "recurrent/spectral_radius").iloc[-1],
            }
        )
    return pd.DataFrame(rows, index=study.table.index), curves


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a task, over the seeds."""
    groups = rows.groupby(KEYS)
    return pd.DataFrame(
        {
            "seeds": groups.size(),
            "updates": groups["updates"].max(),
            "solved_once": groups["first"].count(),
            "solved_at_end": groups["final"].agg(lambda error: (error < SOLVED).sum()),
            "first_solved_at": groups["first"].min().astype("Int64"),
            "last_solved_at": groups["first"].max().astype("Int64"),  # of those that solved it
            "median_final_error": groups["final"].median(),
            "smallest_final_error": groups["final"].min(),
            "largest_final_error": groups["final"].max(),
            "smallest_error": groups["best"].min(),
            "median_loss_over_baseline": groups["loss_over_baseline"].median(),
            "smallest_over_baseline": groups["smallest_over_baseline"].min(),
        }
    )


def draw(rows: pd.DataFrame, curves: dict[str, pd.DataFrame]) -> Figure:
    """For each task the error of each seed, and below it the loss over the baseline's."""
    groups = rows.groupby(KEYS)
    figure = Figure(figsize=(max(5.0, 4.2 * len(groups)), 6.2), dpi=90, layout="constrained")
    panels = figure.subplots(2, len(groups), squeeze=False, sharex="col")
    for (wrong, loss), ((task, length), group) in zip(panels.T, groups, strict=True):
        for (color, dash), (run, row) in zip(LOOKS, group.iterrows(), strict=False):
            curve = curves[str(run)]
            wrong.plot(curve["wrong"], dash, color=color, linewidth=1.4, label=f"seed {row['seed']}")
            loss.plot(curve["loss"], dash, color=color, linewidth=1.4)
        wrong.axhline(SOLVED, color="black", linewidth=0.8)
        wrong.set(ylim=(-0.03, 1.05))
        wrong.set_title(f"{str(task).replace('_', ' ')}, length {length}")
        loss.axhline(1.0, color="black", linewidth=0.8)
        loss.set(xlabel="updates", yscale="log")
        for axes in (wrong, loss):
            axes.grid(alpha=0.3)
    panels[0, 0].set_ylabel("share of wrong sequences\n(line: 1 %)")
    panels[1, 0].set_ylabel("loss / baseline (line: 1)")
    legend_above(figure, panels.flat)
    return figure


def analyse(study: RecipeRuns) -> None:
    """Write figure.png, table.csv and runs.csv beside this file (or into ``--out``) and print the table."""
    rows, curves = recorded(study)
    study.save(draw(rows, curves), summarise(rows), rows)


if __name__ == "__main__":
    run_analysis(analyse, __file__, __doc__)
