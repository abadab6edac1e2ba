"""From recorded runs to the figure and the table of this study.

Run the recipe first (see the README), then ``python experiments/long_lag/analyse.py`` in the same folder.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rnnexp.recipe import RecipeRuns, run_analysis

HELD = 10_000  # successive sequences without a wrong one (Hochreiter & Schmidhuber 1997)
NETWORK = ["lag", "cell", "units", "shortcut"]
KEYS = [*NETWORK, "learning_rate"]
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
    rows = table[["task.lag", "cell", "hidden_size", "shortcut", "optimizer.learning_rate", "seed", "steps"]].copy()
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


def named(lag: int, cell: str, units: int, shortcut: bool) -> str:
    """A network in two lines."""
    kind = "" if cell == "rnn" else f"{cell.upper()}, "
    return f"p = {lag}\n{kind}{units} unit{'s' * (units > 1)}{' + input' * shortcut}"


def draw(rows: pd.DataFrame) -> Figure:
    """Trials that have succeeded by so many sequences, and where each trial's loss ended."""
    figure = Figure(figsize=(13.5, 4.2), dpi=90, layout="constrained")
    *both, losses = figure.subplots(1, 3, width_ratios=[1, 1, 1.35])
    networks = sorted(rows.groupby(NETWORK).groups)
    rates = sorted(rows["learning_rate"].unique())
    right = rows.groupby(NETWORK)["first"].count().sort_values(ascending=False, kind="stable")
    for shares, network in zip(both, right.index, strict=False):  # of the others there may be nothing to show
        chosen = rows[(rows[NETWORK] == list(network)).all(axis=1)]
        for rate, (color, dash) in zip(rates, LOOKS, strict=False):
            group = chosen[chosen["learning_rate"] == rate]
            if group.empty:
                continue
            steps = np.linspace(0, group["steps"].max(), 400)
            for column, width, label in (("first", 1.0, None), ("kept", 2.4, f"{rate:g}: {len(group)} trials")):
                share = [(group[column] <= step).mean() for step in steps]
                shares.plot(steps, share, dash, color=color, linewidth=width, label=label)
        shares.set(xlabel="sequences", ylabel="share of trials", ylim=(-0.03, 1.03))
        title = named(*network).replace("\n", ", ")
        shares.set_title(f"{title}: right (thin), and for\nthe next {HELD:,} sequences (thick)", fontsize=10)
        shares.legend(frameon=False, fontsize=8, title="learning rate", title_fontsize=8)

    for place, network in enumerate(networks):
        chosen = rows[(rows[NETWORK] == list(network)).all(axis=1)]
        own = sorted(chosen["learning_rate"].unique())
        for shift, (rate, (color, _)) in enumerate(zip(rates, LOOKS, strict=False)):
            if rate in own:
                over = chosen.loc[chosen["learning_rate"] == rate, "over_baseline"]
                x = place + 0.25 * (own.index(rate) - (len(own) - 1) / 2) + np.linspace(-0.07, 0.07, len(over))
                losses.plot(x, over, "os^Dv"[shift % 5], color=color, markersize=4, alpha=0.7)
    for shift, (rate, (color, _)) in enumerate(zip(rates, LOOKS, strict=False)):
        losses.plot([], [], "os^Dv"[shift % 5], color=color, markersize=4, label=f"learning rate {rate:g}")
    losses.axhline(1.0, color="black", linestyle="--", linewidth=1)
    known = {"xytext": (0, -11), "textcoords": "offset points", "fontsize": 8}
    losses.annotate("all but the last symbol known", (-0.48, 1.0), **known)
    losses.set_xlim(-0.5, len(networks) - 0.5)
    losses.set_xticks(range(len(networks)), [named(*network) for network in networks], fontsize=8)
    losses.set(yscale="log", ylabel="final loss / baseline", title="where each trial ended")
    losses.legend(frameon=False, fontsize=8, loc="lower right")
    for axes in (*both, losses):
        axes.grid(alpha=0.3)
    return figure


def analyse(study: RecipeRuns) -> None:
    """Write figure.png and table.csv beside this file (or into ``--out``) and print the table."""
    rows = trials(study)
    study.save(draw(rows), summarise(rows), rows)


if __name__ == "__main__":
    run_analysis(analyse, __file__, __doc__)
