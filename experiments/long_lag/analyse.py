"""From recorded runs to the figure and the table of this study.

Run the recipe first (see the README), then ``python experiments/long_lag/analyse.py`` in the same folder.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rnnexp.recipe import RecipeRuns, run_analysis

RECURRENT = "recurrent.Wh"  # the weights from h to h; without them an LSTM remembers by its cells alone
HELD = 10_000  # successive sequences without a wrong one (Hochreiter & Schmidhuber 1997)
KEYS = ["lag", "cell", "units", "shortcut", "recurrent", "learning_rate"]
LOOKS = [("#0072B2", "-", "o"), ("#E69F00", "--", "s"), ("#009E73", ":", "^"), ("#CC79A7", "-.", "D")]


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
    rows = table[["task.lag", "cell", "hidden_size", "shortcut"]].copy()
    rows["recurrent"] = [RECURRENT not in str(zeros) for zeros in table["keep_zeros"]]
    rows[["learning_rate", "seed", "steps"]] = table[["optimizer.learning_rate", "seed", "steps"]]
    rows.columns = [*KEYS, "seed", "steps"]
    rows[["first", "kept"]] = [held(study.curve(run, "eval/solved")) for run in rows.index]
    rows["loss"] = table["final/eval/loss"]
    rows["over_baseline"] = table["final/eval/loss_over_baseline"]
    rows["decay_rate"] = table["final/gradient/decay_rate"]
    return rows


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each lag, network and learning rate."""
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


def named(cell: str, recurrent: bool, rate: float) -> tuple[str, str]:
    """What sets a group of trials apart from the others with its lag, in full and in short."""
    if cell == "rnn":
        return f"learning rate {rate:g}", f"rate {rate:g}"
    if recurrent:
        return "LSTM", "LSTM"
    return "LSTM, no recurrent weights (Wh = 0)", "LSTM\nWh = 0"


def draw(rows: pd.DataFrame) -> Figure:
    """For each lag the trials that have succeeded by so many sequences; and where each trial's loss ended."""
    lags = sorted(rows["lag"].unique())
    figure = Figure(figsize=(11, 4.0 * ((len(lags) + 2) // 2)), dpi=90, layout="constrained")
    panels = figure.subplots((len(lags) + 2) // 2, 2, squeeze=False).flat
    losses, ticks = panels[len(lags)], []
    for axes in panels[len(lags) + 1 :]:
        axes.set_axis_off()
    for axes, lag in zip(panels, lags, strict=False):
        groups = rows[rows["lag"] == lag].groupby(["cell", "recurrent", "learning_rate"])
        for (color, dash, marker), ((cell, recurrent, rate), group) in zip(LOOKS, groups, strict=False):
            steps = np.linspace(0, group["steps"].max(), 400)
            name, short = named(cell, recurrent, rate)
            for column, width in (("first", 1.0), ("kept", 2.4)):
                share = [(group[column] <= step).mean() for step in steps]
                label = f"{name}: {len(group)} trials" if column == "kept" else None
                axes.plot(steps / 1000, share, dash, color=color, linewidth=width, label=label)
            x = len(ticks) + np.linspace(-0.15, 0.15, len(group))
            losses.plot(x, group["over_baseline"], marker, color=color, markersize=4, alpha=0.7)
            ticks.append(f"p = {lag}\n{short}")
        axes.set(xlabel="sequences (thousands)", ylabel="share of trials", ylim=(-0.03, 1.03))
        axes.set_title(f"p = {lag}: right (thin), and for the next {HELD:,} sequences (thick)", fontsize=10)
        axes.legend(frameon=False, fontsize=8)
    losses.axhline(1.0, color="black", linestyle="--", linewidth=1, label="all but the last symbol known")
    losses.set_xlim(-0.5, len(ticks) - 0.5)
    losses.set_xticks(range(len(ticks)), ticks, fontsize=8)
    losses.set(yscale="log", ylabel="final loss / baseline")
    losses.set_title("where each trial ended", fontsize=10)
    losses.legend(frameon=False, fontsize=8)
    for axes in (*panels[: len(lags)], losses):
        axes.grid(alpha=0.3)
    return figure


def analyse(study: RecipeRuns) -> None:
    """Write figure.png and table.csv beside this file (or into ``--out``) and print the table."""
    rows = trials(study)
    study.save(draw(rows), summarise(rows), rows.astype({"first": "Int64", "kept": "Int64"}))


if __name__ == "__main__":
    run_analysis(analyse, __file__, __doc__)
