"""From recorded runs to the figure and the table of this study.

Run the recipe first (see the README), then ``python experiments/gradient_flow/analyse.py`` in the same folder.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rnnexp.layers import TimeRNN
from rnnexp.recipe import RecipeRuns, run_analysis

EDGE = 0.02  # closer to zero, one sequence of 300 steps does not settle the sign
COLORS = {"gaussian": "#0072B2", "orthogonal": "#E69F00", "identity": "#009E73"}


def book_norms(scale: float) -> np.ndarray:
    """The 20 norms of 'Deep Learning from Scratch 2', chapter 6, through our own backward pass.

    dh = ones((2, 3)) is sent back 20 steps through Wh = scale * randn(3, 3), seed 3; the book's norm is that of the
    whole (2, 3) matrix divided by 2.
    """
    Wh = scale * np.random.RandomState(3).randn(3, 3)
    layer = TimeRNN(np.eye(3), Wh, np.zeros(3), activation="identity")
    layer.forward(np.zeros((20, 2, 3)))
    dhs = np.zeros((20, 2, 3))
    dhs[-1] = 1.0
    layer.backward(dhs, norms=True)
    whole = np.sqrt(np.square(layer.dh_norms).sum(axis=1)) / 2
    return whole[:-1][::-1]


def book_table() -> pd.DataFrame:
    """The book's norms for both matrices, one row a step."""
    columns = {"scale": np.repeat([1.0, 0.5], 20), "step": np.tile(np.arange(1, 21), 2)}
    return pd.DataFrame({**columns, "norm": np.concatenate([book_norms(1.0), book_norms(0.5)])})


FIRST = {
    "decay_rate": "gradient/decay_rate",
    "decay_fit": "gradient/decay_fit",
    "lyapunov_1": "lyapunov/1",
    "spectral_radius": "recurrent/spectral_radius",
    "log10_ratio": "gradient/log10_ratio",
    "saturated_fraction": "recurrent/saturated_fraction",
}


def recorded(study: RecipeRuns) -> tuple[pd.DataFrame, dict[str, list[float]]]:
    """One row a run (numbers of step 0), and each run's curve by lag."""
    found = study.table
    table = found[["init", "init.recurrent.gain", "seed"]].rename(columns={"init.recurrent.gain": "gain"})
    for name, metric in FIRST.items():
        table[name] = [study.curve(run, metric).iloc[0] for run in found.index]
    curves = {run: study.curve(run, "gradient_by_lag/first").tolist() for run in found.index}
    return table.reset_index(names="run"), curves


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the seeds, and the smallest fit, by initialiser and gain."""
    groups = table.groupby(["init", "gain"])
    means = groups[["decay_rate", "lyapunov_1", "spectral_radius", "log10_ratio", "saturated_fraction"]].mean().round(4)
    means["smallest_fit"] = groups["decay_fit"].min().round(4)
    means["seeds"] = groups.size()
    return means


def draw(table: pd.DataFrame, curves: dict[str, list[float]]) -> Figure:
    """The book's curves; decay rate and Lyapunov exponent by gain; the curves of three initialisers."""
    figure = Figure(figsize=(12, 3.8), dpi=100, layout="constrained")
    book, gains, inits = figure.subplots(1, 3)

    steps = np.arange(1, 21)
    book.plot(steps, book_norms(1.0), marker="o", color="#0072B2", label="Wh = randn (radius 1.26)")
    book.plot(steps, book_norms(0.5), marker="s", color="#E69F00", linestyle="--", label="Wh = 0.5 randn (0.63)")
    book.set(yscale="log", xlabel="steps back", ylabel="norm of dL/dh", title="growing and decaying (linear)")

    gaussian = table[table["init"] == "gaussian"]
    for name, label, color, look in (
        ("decay_rate", "gradient: slope of ln norm", "#0072B2", "o-"),
        ("lyapunov_1", "leading Lyapunov exponent", "#E69F00", "s--"),
    ):
        groups = gaussian.groupby("gain")[name]
        error = np.array([groups.mean() - groups.min(), groups.max() - groups.mean()])
        gains.errorbar(groups.mean().index, groups.mean(), error, fmt=look, color=color, capsize=3, label=label)
    gains.axhline(0, color="black", linewidth=0.8)
    gains.set(xlabel="gain of Gaussian Wh", ylabel="nats per step", title="tanh, H = 100: two routes, one sign")

    for name, dash in (("gaussian", "-"), ("orthogonal", "--"), ("identity", ":")):
        chosen = table[(table["init"] == name) & (table["gain"] == 1.0)]
        if chosen.empty:
            continue
        mean = np.mean([curves[run] for run in chosen["run"]], axis=0)
        inits.plot(mean, dash, color=COLORS[name], linewidth=2, label=name)
    inits.set(
        xlabel="lag (steps)", ylabel="log10 of the norm over that at lag 0", title="tanh, gain 1: three initialisers"
    )

    for axes in (book, gains, inits):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
    return figure


def analyse(study: RecipeRuns) -> None:
    """Write figure.png, the tables and the book's norms beside this file (or into ``--out``) and print the table."""
    table, curves = recorded(study)
    study.save(draw(table, curves), summarise(table), table.drop(columns="run"))
    book_table().to_csv(study.out / "book.csv", index=False, float_format="%.6g")
    agree = np.sign(table["decay_rate"]) == np.sign(table["lyapunov_1"])
    clear = table["lyapunov_1"].abs() > EDGE
    print(
        f"decay rate and leading Lyapunov exponent have one sign in {agree.sum()} of {len(table)} runs, "
        f"and in {(agree & clear).sum()} of the {clear.sum()} whose exponent is further than {EDGE} from 0"
    )


if __name__ == "__main__":
    run_analysis(analyse, __file__, __doc__)
