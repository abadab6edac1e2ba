"""From recorded runs to the figure and the table of this study.

Run the recipe first (see the README), then ``python experiments/irnn_adding/analyse.py`` in the same folder.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rnnexp.recipe import RecipeRuns, first_below, legend_above, run_analysis

GOAL = 0.1  # the replication's: mean squared error
BASELINE = 1 / 6  # always the mean
PANELS = 4  # in a line of the figure
KEYS = ["length", "units", "recurrent", "activation", "learning_rate", "clipped_at"]
SIZE = ["length", "units", "learning_rate", "clipped_at"]  # a panel each
LOOKS = {
    ("identity", "relu"): ("IRNN: identity, ReLU", "#0072B2", "-"),
    ("identity", "tanh"): ("identity, tanh", "#E69F00", "--"),
    ("gaussian", "relu"): ("Gaussian, ReLU", "#009E73", "-."),
    ("gaussian", "tanh"): ("Gaussian, tanh", "#CC79A7", ":"),
}


def recorded(study: RecipeRuns) -> tuple[pd.DataFrame, dict[str, pd.Series]]:
    """One row a run, and its evaluation loss by the number of training sequences seen."""
    table = pd.concat([study.table, study.diverged])
    rows = table[["task.length", "hidden_size", "init", "cell.activation", "optimizer.learning_rate"]].copy()
    rows["clipped_at"] = table["clipping.threshold"].where(table["clipping"] != "none").astype(float)
    rows.columns = KEYS
    rows[["seed", "batch_size", "steps"]] = table[["seed", "batch_size", "steps"]]
    curves = {}
    for run, size in rows["batch_size"].items():
        curve = study.curve(run, "eval/loss")
        curve.index = curve.index * size
        curves[run] = curve
    rows["first"] = [first_below(curves[run], GOAL) for run in rows.index]
    rows["at_40000"] = [curves[run].get(40_000, np.nan) for run in rows.index]  # where the replication's log ends
    rows["loss"] = study.table["final/eval/loss"]  # none of a run that diverged
    # A gradient that is exactly zero, behind dead ReLUs, has no decay rate.
    rows["decay_rate"] = [study.curve(run, "gradient/decay_rate").get(0, np.nan) for run in rows.index]
    return rows, curves


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each length and network."""
    groups = rows.groupby(KEYS, dropna=False)
    first = groups["first"]
    return pd.DataFrame(
        {
            "seeds": groups.size(),
            "diverged": groups.size() - groups["loss"].count(),
            "sequences": groups["steps"].max() * groups["batch_size"].max(),
            "below_0.1": first.count(),
            "fewest_sequences": first.min().astype("Int64"),
            "median_sequences": first.median().round().astype("Int64"),  # of the seeds that got there
            "most_sequences": first.max().astype("Int64"),
            "median_loss_at_40000": groups["at_40000"].median(),
            "median_final_loss": groups["loss"].median(),
            "smallest_final_loss": groups["loss"].min(),
            "first_decay_rate": groups["decay_rate"].mean(),
        }
    )


def draw(rows: pd.DataFrame, curves: dict[str, pd.Series]) -> Figure:
    """Evaluation loss against the sequences seen, a panel for each length: each seed, and their median."""
    sizes = list(rows.groupby(SIZE, dropna=False))
    lines = -(-len(sizes) // PANELS)
    columns = -(-len(sizes) // lines)
    figure = Figure(figsize=(max(6.0, 3.5 * columns), 3.3 * lines), dpi=80, layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for axes in panels.flat[len(sizes) :]:
        axes.set_axis_off()
    for axes, ((length, units, rate, threshold), here) in zip(panels.flat, sizes, strict=False):
        for (recurrent, activation), (label, color, dash) in LOOKS.items():
            chosen = here.index[(here["recurrent"] == recurrent) & (here["activation"] == activation)]
            if chosen.empty:
                continue
            losses = pd.DataFrame({run: curves[run] for run in chosen}) / BASELINE
            seen = losses.index / 1000
            axes.plot(seen, losses.median(axis=1), dash, color=color, linewidth=2, label=label)
            axes.plot(seen, losses, dash, color=color, linewidth=0.6, alpha=0.4)
        axes.axhline(1.0, color="black", linewidth=0.8)
        axes.axhline(GOAL / BASELINE, color="black", linestyle=(0, (1, 3)), linewidth=1.2, label="0.1")
        axes.set(xlabel="sequences (thousands)", ylim=(0, 1.3))
        clipped = "" if np.isnan(threshold) else f", clipped at {threshold:g}"
        axes.set_title(f"T = {length}, {units} unit{'s' * (units > 1)}\nrate {rate:g}{clipped}", fontsize=10)
        axes.grid(alpha=0.3)
    for axes in panels[:, 0]:
        axes.set_ylabel("evaluation loss / that of the mean")
    legend_above(figure, panels.flat)
    return figure


def analyse(study: RecipeRuns) -> None:
    """Write figure.png and table.csv beside this file (or into ``--out``) and print the table."""
    rows, curves = recorded(study)
    study.save(draw(rows, curves), summarise(rows), rows.astype({"first": "Int64"}))


if __name__ == "__main__":
    run_analysis(analyse, __file__, __doc__)
