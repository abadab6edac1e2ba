"""From recorded runs to the figure and the table of this study.

Run the recipe first (see the README), then ``python experiments/edge_of_chaos/analyse.py`` in the same folder.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.optimize import brentq

from rnnexp.gradients import mean_field
from rnnexp.recipe import RecipeRuns, run_analysis

MEASURED = {"decay_rate": "gradient/decay_rate", "lyapunov_1": "lyapunov/1"}
NEAR = 0.02  # closer to zero, one sequence does not settle the sign
NAMES = {"gaussian": "Gaussian", "orthogonal": "orthogonal"}


def drive_of(hidden_size: int, length: int) -> float:
    """Variance over the units of x_t Wx in the adding problem: 2 / (2 + H) for Glorot's weights, times E|x_t|^2.

    A number uniform on [0, 1) has the mean square 1/3, and two of the steps are marked by a 1.
    """
    return 2.0 / (2.0 + hidden_size) * (1.0 / 3.0 + 2.0 / length)


def recorded(study: RecipeRuns) -> pd.DataFrame:
    """One row a run, numbers of the first weights."""
    found = study.table
    table = found[["init", "init.recurrent.gain", "seed"]].rename(columns={"init.recurrent.gain": "gain"})
    table["drive"] = [drive_of(int(h), int(t)) for h, t in zip(found["hidden_size"], found["task.length"], strict=True)]
    for name, metric in MEASURED.items():
        table[name] = [study.curve(run, metric).iloc[0] for run in found.index]
    table["decay_fit"] = [study.curve(run, "gradient/decay_fit").iloc[0] for run in found.index]
    table["mean_field"] = [mean_field(g, d).rate for g, d in zip(table["gain"], table["drive"], strict=True)]
    return table


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the seeds, the range of the decay rate, and the prediction, by initialiser and gain."""
    groups = table.groupby(["init", "gain"])
    means = groups[["decay_rate", "lyapunov_1", "mean_field"]].mean()
    means["decay_low"], means["decay_high"] = groups["decay_rate"].min(), groups["decay_rate"].max()
    means["smallest_fit"] = groups["decay_fit"].min()
    means["seeds"] = groups.size()
    return means.round(4)


def draw(means: pd.DataFrame, drive: float) -> Figure:
    """One panel for each initialiser: both measured rates and the theory's, over the gain."""
    kinds = [kind for kind in NAMES if kind in means.index.get_level_values("init")]
    figure = Figure(figsize=(5.4 * len(kinds), 4.2), dpi=100, layout="constrained")
    panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for axes, kind in zip(panels, kinds, strict=True):
        found = means.loc[kind]
        gains = np.linspace(found.index.min(), found.index.max(), 80)
        theory = [mean_field(gain, drive).rate for gain in gains]
        axes.plot(gains, theory, color="black", linewidth=1.5, label="mean field: ln(chi) / 2")
        undriven = [mean_field(gain).rate for gain in gains]
        axes.plot(gains, undriven, ":", color="black", linewidth=1.2, label="the same without drive")
        spread = [found["decay_rate"] - found["decay_low"], found["decay_high"] - found["decay_rate"]]
        axes.errorbar(
            found.index, found["decay_rate"], spread, fmt="o", color="#0072B2", capsize=3, label="decay rate, range"
        )
        axes.plot(found.index, found["lyapunov_1"], "x--", color="#E69F00", linewidth=1, label="Lyapunov exponent")
        axes.axhline(0, color="grey", linewidth=0.8)
        axes.set(xlabel=f"gain of the {NAMES[kind]} Wh", title=f"{NAMES[kind]} Wh")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=9, loc="lower right")
    panels[0].set_ylabel("nats per step")
    return figure


def edge(drive: float) -> float:
    """The gain at which the theory's rate is zero."""
    return float(brentq(lambda gain: mean_field(gain, drive).rate, 0.5, 5.0))


def analyse(study: RecipeRuns) -> None:
    """Write figure.png and table.csv beside this file (or into ``--out``) and print the table."""
    table = recorded(study)
    means = summarise(table)
    drive = float(table["drive"].iloc[0])
    study.save(draw(means, drive), means, table)
    print(f"mean field: drive {drive:.5f}, edge at gain {edge(drive):.3f}")
    for kind, runs in table.groupby("init"):
        for name in MEASURED:
            off = runs[name] - runs["mean_field"]
            clear = runs["mean_field"].abs() > NEAR
            agree = np.sign(runs[name]) == np.sign(runs["mean_field"])
            print(
                f"{kind}, {name}: off by {off.abs().mean():.3f} in the mean, {off.abs().max():.3f} at most; the sign "
                f"is the predicted one in {agree.sum()} of {len(runs)} runs, {(agree & clear).sum()} of the "
                f"{clear.sum()} predicted further than {NEAR} from 0"
            )


if __name__ == "__main__":
    run_analysis(analyse, __file__, __doc__)
