"""From recorded runs to the figure and the table of this study.

Run the recipe first (see the README), then ``python experiments/copying/analyse.py`` in the same folder.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rnnexp.recipe import RecipeRuns, first_below, run_analysis

LOOKS = {"rnn": ("tanh RNN", "#0072B2", "-"), "lstm": ("LSTM", "#E69F00", "--"), "gru": ("GRU", "#009E73", "-.")}
BELOW = 0.99  # of the memoryless loss: from here on something is remembered


def recorded(study: RecipeRuns) -> tuple[pd.DataFrame, dict[str, pd.Series]]:
    """One row a run, and its evaluation losses by update."""
    found = study.table
    table = found[["task.length", "cell", "seed"]].rename(columns={"task.length": "length"}).astype({"length": int})
    table["units"] = found["hidden_size"].astype(int)
    table["baseline"] = 10 * np.log(8) / (table["length"] + 20)
    curves = {str(run): study.curve(run, "eval/loss") for run in found.index}
    table["updates"] = [curves[str(run)].index[-1] for run in table.index]
    table["final_loss"] = [curves[str(run)].iloc[-1] for run in table.index]
    table["smallest_loss"] = [curves[str(run)].min() for run in table.index]
    table["over_baseline"] = table["final_loss"] / table["baseline"]
    table["smallest_over_baseline"] = table["smallest_loss"] / table["baseline"]
    table["first_below"] = [first_below(curves[run], BELOW * table.loc[run, "baseline"]) for run in table.index]
    return table.sort_values(["length", "cell", "seed"]), curves


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each length and network: over the seeds, the losses in units of the memoryless one."""
    groups = rows.groupby(["length", "cell", "units"])
    return pd.DataFrame(
        {
            "seeds": groups.size(),
            "updates": groups["updates"].max(),
            "baseline": groups["baseline"].first(),
            "median_over_baseline": groups["over_baseline"].median(),
            "smallest_over_baseline": groups["over_baseline"].min(),
            "largest_over_baseline": groups["over_baseline"].max(),
            "seeds_below": groups["first_below"].count(),
            "first_below": groups["first_below"].min().astype("Int64"),
            "last_below": groups["first_below"].max().astype("Int64"),  # of those that got there
        }
    )


def draw(table: pd.DataFrame, curves: dict[str, pd.Series]) -> Figure:
    """For each length all curves from start to end, and the neighbourhood of the memoryless loss."""
    lengths = sorted(table["length"].unique())
    figure = Figure(figsize=(11, 3.9 * len(lengths)), dpi=90, layout="constrained")
    for length, (whole, near) in zip(lengths, figure.subplots(len(lengths), 2, squeeze=False), strict=True):
        here = table[table["length"] == length]
        baseline = float(here["baseline"].iloc[0])
        for axes in (whole, near):
            axes.axhline(baseline, color="black", linewidth=1, linestyle=":", label=f"memoryless: {baseline:.4f}")
            for kind, (name, color, dash) in LOOKS.items():
                for place, (run, row) in enumerate(here[here["cell"] == kind].iterrows()):
                    shown = f"{name}, {row['units']} units" if place == 0 else None
                    curve = curves[str(run)]
                    axes.plot(curve.index, curve, color=color, linestyle=dash, linewidth=1.2, label=shown)
            axes.set(xlabel="parameter updates")
            axes.grid(alpha=0.3)
        whole.set(
            yscale="log", ylabel="evaluation loss (nats per step)", title=f"T = {length}: from the first weights on"
        )
        lowest = min(0.98 * baseline, 0.99 * float(here["smallest_loss"].min()))
        near.set(ylim=(lowest, 1.04 * baseline), title=f"T = {length}: near the memoryless loss")
        whole.legend(frameon=False, fontsize=9)
    return figure


def analyse(study: RecipeRuns) -> None:
    """Write figure.png, table.csv and runs.csv beside this file (or into ``--out``) and print the table."""
    rows, curves = recorded(study)
    study.save(draw(rows, curves), summarise(rows), rows)


if __name__ == "__main__":
    run_analysis(analyse, __file__, __doc__)
