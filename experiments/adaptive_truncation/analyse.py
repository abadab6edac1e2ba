"""From recorded runs to the figure and the tables of this study.

Run the recipe first (see the README), then ``python experiments/adaptive_truncation/analyse.py`` in the same folder.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rnnexp.build import build_experiment
from rnnexp.gradients import adaptive_window, norms_by_lag, truncation_bias
from rnnexp.layers import Network
from rnnexp.loading import load
from rnnexp.recipe import RecipeRuns, first_below, run_analysis
from rnnexp.tasks import Batch

STEPS = 100  # of a stream, from which the bias is estimated and measured, as in the authors' code
WINDOWS = (2, 5, 10, 11, 12, 15, 20, 30, 50)
LEARNED = 0.05  # nats, the task's own rule
LOOKS = {
    "window of 5": ("#999999", ":"),
    "window of 10": ("#D55E00", ":"),
    "window of 15": ("#56B4E9", "--"),
    "window of 20": ("#0072B2", "--"),
    "window of 30": ("#000000", "--"),
    "adaptive, 0.9": ("#E69F00", "-"),
    "adaptive, 0.5": ("#009E73", "-"),
    "adaptive, 0.1": ("#CC79A7", "-"),
}


def label(run: pd.Series) -> str:
    """How a run's window is found."""
    if run["algorithm"] == "adaptive_bptt":
        return f"adaptive, {run['algorithm.tolerance']:g}"
    return f"window of {run['bptt_length']:.0f}"


def biases(network: Network, batch: Batch, target_kind: str) -> pd.DataFrame:
    """By window, the relative bias of the gradient: estimated from the norms by lag, and measured.

    Every loss of `batch` goes back through as many steps as the window has, BPTT(K; 1), or through all there are.
    """
    norms = norms_by_lag(network, batch, target_kind, whole_state=True).common
    estimate = adaptive_window(norms)
    rows = [
        {
            "bias_window": window,
            "beta": estimate.beta,
            "estimated": estimate.relative_bias[window - 1],
            "true": truncation_bias(network, batch, target_kind, window, 1).relative_error,
        }
        for window in WINDOWS
    ]
    return pd.DataFrame(rows)


def measured(study: RecipeRuns) -> pd.DataFrame:
    """The biases of every run's first weights, which are those of all runs with its seed, and of its last."""
    tables = []
    for run, settings in study.table.iterrows():
        trained = load(str(run), which="last", uri=study.uri)
        first = build_experiment(trained.config)
        batch = first.held_out.steps(0, STEPS)
        networks = {"before": first.network, "after": trained.network}
        for when, network in networks.items():
            if when == "before" and any((each["seed"] == settings["seed"]).any() for each in tables):
                continue
            found = biases(network, batch, first.task.target_kind)
            tables.append(
                found.assign(when=when, seed=settings["seed"], way=label(settings) if when == "after" else "")
            )
    return pd.concat(tables, ignore_index=True)[["when", "way", "seed", "bias_window", "beta", "estimated", "true"]]


def recorded(study: RecipeRuns) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """One row a run, and its losses and windows by update."""
    rows, curves = [], {}
    for run, settings in study.table.iterrows():
        losses, windows = study.curve(run, "eval/loss"), study.curve(run, "train/bptt_length")
        curves[str(run)] = pd.DataFrame({"loss": losses, "window": windows})
        fixed = pd.Series([float(settings["bptt_length"])])
        windows = fixed if windows.empty else windows
        rows.append(
            {
                "way": label(settings),
                "seed": int(settings["seed"]),
                "updates": int(settings["steps"]),
                "final_loss": losses.iloc[-1],
                "learned": losses.iloc[-1] < LEARNED,
                "first_learned": first_below(losses, LEARNED),
                "shortest_window": windows.min(),
                "mean_window": windows.mean(),
                "longest_window": windows.max(),
                "last_window": windows.iloc[-1],
            }
        )
    return pd.DataFrame(rows, index=study.table.index), curves


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each way to find the window, over the seeds."""
    groups = rows.groupby("way", sort=False)
    return pd.DataFrame(
        {
            "seeds": groups.size(),
            "learned": groups["learned"].sum(),
            "median_loss": groups["final_loss"].median(),
            "smallest_loss": groups["final_loss"].min(),
            "largest_loss": groups["final_loss"].max(),
            "first_learned": groups["first_learned"].min().astype("Int64"),
            "last_learned": groups["first_learned"].max().astype("Int64"),  # of those that learned
            "mean_window": groups["mean_window"].mean(),
            "shortest_window": groups["shortest_window"].min(),
            "longest_window": groups["longest_window"].max(),
        }
    )


def draw(rows: pd.DataFrame, curves: dict[str, pd.DataFrame], found: pd.DataFrame) -> Figure:
    """Loss and window over the updates; the estimated bias against the true one."""
    figure = Figure(figsize=(13, 4.2), dpi=90, layout="constrained")
    losses, windows, bias = figure.subplots(1, 3)
    for way, group in rows.groupby("way", sort=False):
        color, dash = LOOKS.get(str(way), ("#999999", "-"))
        for place, run in enumerate(group.index):
            shown = str(way) if place == 0 else None
            curve = curves[str(run)]
            losses.plot(curve["loss"].dropna(), dash, color=color, linewidth=1.1, label=shown)
            if curve["window"].notna().any():
                windows.plot(curve["window"].dropna(), dash, color=color, linewidth=1.1, label=shown)
    losses.axhline(np.log(2), color="black", linewidth=0.8)
    losses.set(xlabel="updates", ylabel="evaluation loss (nats per step)", title="the loss, each seed")
    losses.set(yscale="log", ylim=(1e-5, 1.5))
    windows.set(xlabel="updates", ylabel="window (steps)", title="the adaptive windows, each seed")
    for when, color, marker in (("before", "#0072B2", "o"), ("after", "#D55E00", "x")):
        points = found[(found["when"] == when) & (found["true"] > 0)].dropna(subset=["estimated"])
        label = f"{when} training"
        bias.plot(points["true"], points["estimated"], marker, color=color, markersize=4, alpha=0.6, label=label)
    bias.axline((1e-3, 1e-3), (1, 1), color="black", linewidth=0.8, label="equal: above it the estimate is a bound")
    bias.set(xscale="log", yscale="log", xlabel="true relative bias", ylabel="estimated relative bias")
    bias.set_title(f"the bias of windows of {WINDOWS[0]} to {WINDOWS[-1]}", fontsize=11)
    for axes in (losses, windows, bias):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
    return figure


def analyse(study: RecipeRuns) -> None:
    """Write figure.png, table.csv, runs.csv and bias.csv beside this file (or into ``--out``) and print the table."""
    rows, curves = recorded(study)
    found = measured(study)
    study.save(draw(rows, curves, found), summarise(rows), rows)
    found.to_csv(study.out / "bias.csv", index=False, float_format="%.5g")


if __name__ == "__main__":
    run_analysis(analyse, __file__, __doc__)
