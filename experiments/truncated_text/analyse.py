"""From recorded runs to the figure and the table of this study.

Run the recipe first (see the README), then ``python experiments/truncated_text/analyse.py`` in the same folder.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rnnexp.recipe import RecipeRuns, run_analysis
from rnnexp.tasks import Text

LOOKS = {"rnn": ("#0072B2", "o-"), "gru": ("#E69F00", "s--"), "lstm": ("#009E73", "^-.")}
COLUMNS = {
    "bits per character": "final/eval/bits_per_character",
    "accuracy": "final/eval/accuracy",
    "decay rate": "final/gradient/decay_rate",
}


def counted(task: Text, longest: int = 6) -> pd.DataFrame:
    """Bits per character of models that count what follows the last 1, 2, ... characters of the training part.

    Witten & Bell's interpolation, as in the task's own bigram model: for a context a with c(a) occurrences and u(a)
    different followers, P(b | a) = (c(ab) + u(a) P(b | a without its oldest)) / (c(a) + u(a)).
    """
    train, test, size = task.training_tokens, task.evaluation_tokens, task.output_size
    probability = ((np.bincount(train, minlength=size) + 1.0) / (len(train) + size))[test]
    rows = []
    for context in range(1, longest + 1):
        known, wanted = spelled(train, context + 1, size), spelled(test, context + 1, size)
        grams, counts = np.unique(known, return_counts=True)
        contexts, first = np.unique(grams // size, return_index=True)
        total, followers = np.add.reduceat(counts, first), np.diff(np.append(first, len(grams)))
        seen = looked_up(grams, counts, wanted)
        weight = np.maximum(looked_up(contexts, followers, wanted // size), 1)  # an unseen one leaves the shorter alone
        shorter = probability[-len(wanted) :]
        probability = (seen + weight * shorter) / (looked_up(contexts, total, wanted // size) + weight)
        rows.append({"cell": "counts", "window": context, "bits per character": -np.log2(probability).mean()})
    return pd.DataFrame(rows)


def spelled(tokens: np.ndarray, length: int, size: int) -> np.ndarray:
    """Each stretch of so many tokens as one number, the newest token last."""
    wide = tokens.astype(np.int64)
    return sum(wide[i : len(wide) - length + 1 + i] * size ** (length - 1 - i) for i in range(length))


def looked_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The values of wanted keys, 0 where there is none; `keys` are sorted."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)


def recorded(table: pd.DataFrame) -> pd.DataFrame:
    """One row a run."""
    frame = pd.DataFrame(
        {"cell": table["cell"], "window": table["bptt_length"].astype(int), "seed": table["seed"].astype(int)}
    )
    frame["thousand characters"] = table["steps"] * table["batch_size"] * table["bptt_length"] / 1000
    for name, metric in COLUMNS.items():
        frame[name] = table[metric]
    return frame


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each cell and window: how many seeds, means over them, and the least and most bits per character."""
    groups = rows.groupby(["cell", "window"])
    summary = groups.mean().drop(columns="seed")
    summary.insert(0, "seeds", groups["seed"].nunique())
    summary["least"], summary["most"] = groups["bits per character"].min(), groups["bits per character"].max()
    return summary.reset_index()


def draw(study: RecipeRuns, summary: pd.DataFrame) -> Figure:
    """Bits per character, mean and range, against the window; the gradient by lag in networks of the longest."""
    figure = Figure(figsize=(10.5, 4.2), dpi=100, layout="constrained")
    losses, lags = figure.subplots(1, 2)
    longest = summary.loc[summary["cell"] != "counts", "window"].max()
    for cell, (color, look) in LOOKS.items():
        chosen = summary[summary["cell"] == cell]
        if chosen.empty:
            continue
        losses.plot(chosen["window"], chosen["bits per character"], look, color=color, label=cell)
        losses.vlines(chosen["window"], chosen["least"], chosen["most"], color=color, linewidth=1.5)
        runs = study.table[(study.table["cell"] == cell) & (study.table["bptt_length"] == longest)]
        for run in runs.index[:1]:
            curve = study.curve(run, "gradient_by_lag/last")
            lags.plot(curve.index, curve - curve.iloc[0], look[1:], color=color, linewidth=1.8, label=cell)
    counts = summary[summary["cell"] == "counts"]
    losses.plot(counts["window"], counts["bits per character"], "x:", color="black", label="counts of the last k")
    losses.set(xscale="log", xlabel="window k (k1 = k2)", ylabel="bits per character, evaluation text")
    windows = sorted(summary["window"].unique())
    losses.set_xticks(windows, [str(window) for window in windows])
    losses.minorticks_off()
    losses.set_title("the same number of characters and of updates", fontsize=11)
    lags.set(xlabel="lag (characters back)", ylabel="log10 of the norm, 0 at lag 0")
    lags.set_title(f"one loss's gradient, after training with windows of {longest}", fontsize=11)
    for axes in (losses, lags):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=9)
    return figure


def analyse(study: RecipeRuns) -> None:
    """Write figure.png and table.csv beside this file (or into ``--out``) and print the table."""
    rows = recorded(study.table)
    summary = pd.concat([summarise(rows), counted(Text(test_fraction=0))], ignore_index=True)
    study.save(draw(study, summary), summary, rows, index=False, digits=4)


if __name__ == "__main__":
    run_analysis(analyse, __file__, __doc__)
