"""From recorded runs to the figure and the table of this study.

Run the recipe first (see the README), then ``python experiments/echo_threshold/analyse.py`` in the same folder.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rnnexp.study import read

HERE = Path(__file__).parent


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Final evaluation loss by window: mean, smallest and largest over the seeds, and how many seeds learned it."""
    losses = table.groupby("bptt_length")["final/eval/loss"]
    summary = losses.agg(["mean", "min", "max", "size"]).rename(columns={"size": "seeds"})
    summary["learned"] = (table["final/eval/loss"] < 0.05).groupby(table["bptt_length"]).sum()
    summary.index = summary.index.astype(int)
    return summary


def draw(summary: pd.DataFrame, lag: int) -> Figure:
    """Final loss against the window, with the threshold at lag + 1."""
    figure = Figure(figsize=(6.4, 4.0), dpi=110, layout="constrained")
    axes = figure.subplots()
    spread = [summary["mean"] - summary["min"], summary["max"] - summary["mean"]]
    axes.errorbar(summary.index, summary["mean"], spread, fmt="o-", color="#0072B2", capsize=3, label="final loss")
    axes.axhline(np.log(2), color="black", linestyle="--", linewidth=1, label="a coin flip: ln 2")
    axes.axvline(
        lag + 0.5, color="#E69F00", linestyle="-.", linewidth=1.5, label=f"from lag + 1 = {lag + 1} on it holds both"
    )
    axes.set(xlabel="bptt_length (k1 = k2)", ylabel="evaluation loss (nats per step)", ylim=(0, None))
    axes.set_title(f"echo after {lag} steps: learned if the window holds the bit and its echo", fontsize=11)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=9)
    return figure


def main() -> None:
    """Write figure.png and table.csv beside this file (or into ``--out``) and print the table."""
    study = read("echo_threshold", folder=HERE, description=__doc__)
    summary = summarise(study.table)
    study.save(draw(summary, int(study.table["task.lag"].iloc[0])), summary)


if __name__ == "__main__":
    main()
