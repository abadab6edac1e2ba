"""From recorded runs to the figure and the table of this study.

Run the recipe first (see the README), then ``python experiments/echo_threshold/analyse.py`` in the same folder.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rnnexp.recipe import RecipeRuns, run_analysis

LOOKS = {"k1 = k2 = k": ("#0072B2", "o-"), "k1 = 1, k2 = k": ("#D55E00", "s--")}


KEYS = ["cutting", "bptt_length"]


def recorded(table: pd.DataFrame) -> pd.DataFrame:
    """One row a run: cutting, window, seed and final evaluation loss."""
    names = list(LOOKS)
    cutting = table["bptt_stride"].map({1: names[1]}).fillna(names[0])
    rows = pd.DataFrame({"cutting": cutting, "bptt_length": table["bptt_length"].astype(int), "seed": table["seed"]})
    return rows.assign(loss=table["final/eval/loss"], learned=table["final/eval/loss"] < 0.05)


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Final evaluation loss by cutting and window: mean, smallest and largest over the seeds, and how many learned."""
    groups = rows.groupby(KEYS, sort=False)
    summary = groups["loss"].agg(["mean", "min", "max", "size"]).rename(columns={"size": "seeds"})
    summary["learned"] = groups["learned"].sum()
    return summary.reset_index().sort_values(KEYS, ascending=[False, True])


def draw(summary: pd.DataFrame, lag: int) -> Figure:
    """Final loss against the window, with the threshold at lag + 1."""
    figure = Figure(figsize=(6.4, 4.0), dpi=110, layout="constrained")
    axes = figure.subplots()
    for cutting, (color, look) in LOOKS.items():
        chosen = summary[summary["cutting"] == cutting]
        if chosen.empty:
            continue
        spread = [chosen["mean"] - chosen["min"], chosen["max"] - chosen["mean"]]
        windows = chosen["bptt_length"] + (0.08 if "s" in look else 0)
        axes.errorbar(windows, chosen["mean"], spread, fmt=look, color=color, capsize=3, label=cutting)
    axes.axhline(np.log(2), color="black", linestyle=":", linewidth=1, label="a coin flip: ln 2")
    axes.axvline(
        lag + 0.5, color="#E69F00", linestyle="-.", linewidth=1.5, label=f"from lag + 1 = {lag + 1} on it holds both"
    )
    axes.set(xlabel="window k (bptt_length)", ylabel="evaluation loss (nats per step)", ylim=(-0.02, None))
    axes.set_title(f"echo after {lag} steps: learned if the window holds the bit and its echo", fontsize=11)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=9)
    return figure


def analyse(study: RecipeRuns) -> None:
    """Write figure.png and table.csv beside this file (or into ``--out``) and print the table."""
    rows = recorded(study.table)
    summary = summarise(rows)
    study.save(draw(summary, int(study.table["task.lag"].iloc[0])), summary, rows, index=False)


if __name__ == "__main__":
    run_analysis(analyse, __file__, __doc__)
