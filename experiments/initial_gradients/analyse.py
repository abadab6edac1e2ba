"""From recorded runs to the figure and the table of this study.

Run the recipe first (see the README), then ``python experiments/initial_gradients/analyse.py`` in the same folder.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rnnexp.gradients.shape import line_fit
from rnnexp.recipe import RecipeRuns, run_analysis

LOOKS = {
    "tanh, Glorot": ("#0072B2", "-"),
    "tanh, orthogonal": ("#E69F00", "--"),
    "IRNN": ("#CC79A7", ":"),
    "LSTM, h": ("#009E73", "-."),
    "LSTM, c": ("#009E73", (0, (1, 3))),
}
TIMES = {"first": "before training", "last": "after the last update"}


def label(run: pd.Series) -> str:
    """What a run's network is called."""
    if run["cell"] == "lstm":
        return "LSTM, h"
    return "IRNN" if run["cell.activation"] == "relu" else f"tanh, {str(run['init']).replace('glorot', 'Glorot')}"


def recorded(study: RecipeRuns) -> pd.DataFrame:
    """One row a curve: network, seed, when, and log10 of ||dC/dh_t|| over that at the last step, by lag."""
    rows = []
    for run, settings in study.table.iterrows():
        curves = {label(settings): "gradient_by_lag"}
        if settings["cell"] == "lstm":
            curves["LSTM, c"] = "gradient_by_lag_c"
        for network, metric in curves.items():
            for when in TIMES:
                curve = study.curve(run, f"{metric}/{when}")
                rows.append({"network": network, "seed": settings["seed"], "when": when, "curve": curve})
    table = pd.DataFrame(rows)
    table = table[table["curve"].map(len) > 1].copy()  # a gradient that is zero everywhere has no curve
    table["log10_ratio"] = [curve.iloc[-1] - curve.iloc[0] for curve in table["curve"]]
    table["fit"] = [line_fit(10.0 ** curve.to_numpy()) for curve in table["curve"]]
    table["rate"] = [np.polyfit(curve.index, curve, 1)[0] * np.log(10) for curve in table["curve"]]
    return table


def by_run(table: pd.DataFrame) -> pd.DataFrame:
    """One row a run; an LSTM has two, one for each state."""
    wide = table.pivot(index=["network", "seed"], columns="when", values=["rate", "fit", "log10_ratio"])
    wide.columns = [f"{name}_{when}" for name, when in wide.columns]
    return wide.reset_index()


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Mean, smallest and largest over the seeds, by network and time."""
    groups = table.groupby(["network", "when"])
    summary = groups["rate"].agg(["mean", "min", "max"]).add_prefix("rate_")
    summary["log10_ratio"] = groups["log10_ratio"].mean()
    summary["smallest_fit"] = groups["fit"].min()
    summary["seeds"] = groups.size()
    return summary.round(4)


def draw(table: pd.DataFrame, updates: int) -> Figure:
    """||dC/dh_t|| / ||dC/dh_T|| over the step t, before training and after it; the mean of logarithms over seeds."""
    figure = Figure(figsize=(11, 4.2), dpi=100, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    titles = {"first": TIMES["first"], "last": f"after {updates} updates"}
    for axes, (when, title) in zip(panels, titles.items(), strict=True):
        for network, (color, dash) in LOOKS.items():
            chosen = table[(table["network"] == network) & (table["when"] == when)]
            if chosen.empty:
                continue
            curves = pd.concat(list(chosen["curve"]), axis=1)
            step = curves.index.max() - curves.index
            axes.plot(step, curves.mean(axis=1), color=color, linestyle=dash, linewidth=1.8, label=network)
            axes.fill_between(step, curves.min(axis=1), curves.max(axis=1), color=color, alpha=0.12)
        axes.set(xlabel="time step t", title=title)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("log10 of ||dC/dh_t|| over ||dC/dh_T||")
    panels[1].legend(frameon=False, fontsize=9, loc="lower right")
    return figure


def analyse(study: RecipeRuns) -> None:
    """Write figure.png and table.csv beside this file (or into ``--out``) and print the table."""
    table = recorded(study)
    study.save(draw(table, int(study.table["steps"].max())), summarise(table), by_run(table))


if __name__ == "__main__":
    run_analysis(analyse, __file__, __doc__)
