"""From recorded runs to the figure and the table of this study.

Run the recipe first (see the README), then ``python experiments/two_lag/analyse.py`` in the same folder.
"""

import pandas as pd
from matplotlib.figure import Figure

from rnnexp.recipe import RecipeRuns, run_analysis
from rnnexp.tasks import TwoLag

LOOKS = {"k1 = k2 = k": ("#0072B2", "o-", -0.06), "k1 = 1, k2 = k": ("#D55E00", "s--", 0.06)}
FLOORS = {"none": ":", "second": "--", "first": "-.", "both": "-"}
TOP = 0.70  # of the loss axis: what is beyond is written, not drawn


KEYS = ["hidden_size", "cutting", "window"]


def recorded(table: pd.DataFrame) -> pd.DataFrame:
    """One row a run: size, cutting, window, seed, final evaluation loss, and the gradient's angle to the full one's."""
    names = list(LOOKS)
    keys = {
        "hidden_size": table["hidden_size"].astype(int),
        "cutting": table["bptt_stride"].map({1: names[1]}).fillna(names[0]),
        "window": table["bptt_length"].astype(int),
        "seed": table["seed"],
    }
    rows = pd.DataFrame(keys).assign(loss=table["final/eval/loss"], cosine=table["final/gradient/alignment"])
    rows["steps"] = table["steps"] * table["batch_size"] * table["bptt_stride"].fillna(table["bptt_length"])
    return rows


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """By size, cutting and window: the same over the seeds."""
    groups = rows.groupby(KEYS)
    summary = groups["loss"].agg(["median", "min", "max", "size"]).rename(columns={"size": "seeds"})
    summary["cosine"] = groups["cosine"].median()
    summary.insert(0, "million steps", groups["steps"].first() / 1e6)
    return summary.reset_index()


def draw(summary: pd.DataFrame, task: TwoLag) -> Figure:
    """Final loss against the window, a panel for each size, with the best losses there are."""
    sizes = sorted(summary["hidden_size"].unique())
    figure = Figure(figsize=(5.2 * len(sizes), 4.2), dpi=100, layout="constrained")
    panels = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
    lags = {"none": "neither bit", "second": f"bit {task.second_lag} ago", "first": f"bit {task.first_lag} ago"}
    for axes, size in zip(panels, sizes, strict=True):
        for name, floor in task.floors().items():
            label = f"knows {lags.get(name, 'both bits')}: {floor:.3f}"
            axes.axhline(floor, color="black", linestyle=FLOORS[name], linewidth=1, label=label)
        for lag in (task.first_lag, task.second_lag):  # windows from lag + 1 on hold a bit and its effect
            axes.axvline(lag + 0.5, color="#999999", linewidth=1)
        for cutting, (color, look, aside) in LOOKS.items():
            chosen = summary[(summary["hidden_size"] == size) & (summary["cutting"] == cutting)]
            if chosen.empty:
                continue
            spread = [chosen["median"] - chosen["min"], chosen["max"] - chosen["median"]]
            windows = chosen["window"] + aside
            axes.errorbar(windows, chosen["median"], spread, fmt=look, color=color, capsize=3, label=cutting)
            for window, worst in zip(windows, chosen["max"], strict=True):
                if worst > TOP:
                    note = f"one seed: {worst:.2f}"
                    axes.annotate(note, (window, TOP), xytext=(4, -4), textcoords="offset points", va="top", fontsize=8)
        axes.set(xlabel="window k (grey: from here on it holds a bit and its effect)", title=f"{size} tanh units")
        axes.set_ylim(min(task.floors().values()) - 0.015, TOP)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("evaluation loss (nats per step)")
    panels[-1].legend(fontsize=8, loc="center right")
    return figure


def analyse(study: RecipeRuns) -> None:
    """Write figure.png and table.csv beside this file (or into ``--out``) and print the table."""
    rows = recorded(study.table)
    summary = summarise(rows)
    first = study.table.iloc[0]
    task = TwoLag(first_lag=int(first["task.first_lag"]), second_lag=int(first["task.second_lag"]))
    study.save(draw(summary, task), summary, rows, index=False)


if __name__ == "__main__":
    run_analysis(analyse, __file__, __doc__)
