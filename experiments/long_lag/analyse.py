"""From recorded runs to the figure and the table of this study.

Run the recipe first (see the README), then ``python experiments/long_lag/analyse.py`` in the same folder.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rnnexp.recipe import RecipeRuns, recipe_runs

HERE = Path(__file__).parent
HELD = 10_000  # successive sequences without a wrong one (Hochreiter & Schmidhuber 1997)
KEYS = ["lag", "units", "learning_rate"]
LOOKS = [("#0072B2", "-"), ("#E69F00", "--"), ("#009E73", ":"), ("#CC79A7", "-."), ("#56B4E9", "-")]


def held(solved: pd.Series) -> tuple[float, float]:
    """The first evaluation that was right, and the first of a stretch of `HELD` sequences that were; NaN without one.

    The index is the number of sequences seen, as the batch size is 1.
    """
    begun, first, kept = np.nan, np.nan, np.nan
    for step, right in solved.items():
        if right != 1.0:
            begun = np.nan
            continue
        begun = step if np.isnan(begun) else begun
        first = begun if np.isnan(first) else first
        if np.isnan(kept) and step - begun >= HELD:
            kept = begun
    return first, kept


def trials(study: RecipeRuns) -> pd.DataFrame:
    """One row a run: its settings, when it was right, and what the gradient had come to."""
    table = study.table
    rows = table[["task.lag", "hidden_size", "optimizer.learning_rate", "seed", "steps"]].copy()
    rows.columns = [*KEYS, "seed", "steps"]
    rows[["first", "kept"]] = [held(study.curve(run, "eval/solved")) for run in rows.index]
    rows["loss"] = table["final/eval/loss"]
    rows["over_baseline"] = table["final/eval/loss_over_baseline"]
    rows["decay_rate"] = table["final/gradient/decay_rate"]
    return rows


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each lag, number of units and learning rate."""
    groups = rows.groupby(KEYS)
    return pd.DataFrame(
        {
            "trials": groups.size(),
            "sequences": groups["steps"].max(),
            "right_once": groups["first"].count(),
            "held_10000": groups["kept"].count(),
            "percent_held": 100.0 * groups["kept"].count() / groups.size(),
            "mean_sequences_to_success": groups["kept"].mean().round().astype("Int64"),
            "median_final_loss": groups["loss"].median(),
            "median_loss_over_baseline": groups["over_baseline"].median(),
            "mean_decay_rate": groups["decay_rate"].mean(),
        }
    )


def draw(rows: pd.DataFrame) -> Figure:
    """Trials that have succeeded by so many sequences, and where each trial's loss ended."""
    figure = Figure(figsize=(10.5, 4.0), dpi=100, layout="constrained")
    shares, losses = figure.subplots(1, 2)
    settings = sorted(rows.groupby(["lag", "units"]).groups)
    rates = sorted(rows["learning_rate"].unique())
    right = rows.groupby(["lag", "units"])["first"].count()
    lag, units = right.idxmax()  # of the others there may be nothing to show
    chosen = rows[(rows["lag"] == lag) & (rows["units"] == units)]
    for rate, (color, dash) in zip(rates, LOOKS, strict=False):
        group = chosen[chosen["learning_rate"] == rate]
        if group.empty:
            continue
        steps = np.linspace(0, group["steps"].max(), 400)
        for column, width, label in (("first", 1.0, None), ("kept", 2.4, f"learning rate {rate:g}")):
            share = [(group[column] <= step).mean() for step in steps]
            shares.plot(steps, share, dash, color=color, linewidth=width, label=label)
    shares.set(xlabel="sequences", ylabel="share of trials", ylim=(-0.03, 1.03))
    shares.set_title(f"p = {lag}, {units} units: right (thin), and for the next {HELD:,} (thick)", fontsize=10)
    shares.legend(frameon=False, fontsize=8)

    for place, (lag, units) in enumerate(settings):
        for shift, (rate, (color, _)) in enumerate(zip(rates, LOOKS, strict=False)):
            group = rows[(rows["lag"] == lag) & (rows["units"] == units) & (rows["learning_rate"] == rate)]
            x = place + 0.2 * (shift - (len(rates) - 1) / 2) + np.linspace(-0.05, 0.05, len(group))
            label = f"learning rate {rate:g}" if place == 0 else None
            losses.plot(
                x, group["over_baseline"], "os^Dv"[shift % 5], color=color, markersize=4, alpha=0.7, label=label
            )
    losses.axhline(1.0, color="black", linestyle="--", linewidth=1)
    known = {"xytext": (0, -11), "textcoords": "offset points", "fontsize": 8}
    losses.annotate("all but the last symbol known", (-0.48, 1.0), **known)
    losses.set_xlim(-0.5, len(settings) - 0.5)
    names = [f"p = {lag}\n{units} unit{'s' * (units > 1)}" for lag, units in settings]
    losses.set_xticks(range(len(settings)), names)
    losses.set(yscale="log", ylabel="final loss / baseline", title="where each trial ended")
    losses.legend(frameon=False, fontsize=8, loc="lower right")
    for axes in (shares, losses):
        axes.grid(alpha=0.3)
    return figure


def main() -> None:
    """Write figure.png and table.csv beside this file (or into ``--out``) and print the table."""
    study = recipe_runs("long_lag", folder=HERE, description=__doc__)
    rows = trials(study)
    study.save(draw(rows), summarise(rows), rows)


if __name__ == "__main__":
    main()
