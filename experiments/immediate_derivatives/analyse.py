"""From recorded runs to the figure and the tables of this study.

Run the recipe first (see the README), then ``python experiments/immediate_derivatives/analyse.py`` in the same folder.
"""

import pandas as pd
from matplotlib.figure import Figure

from rnnexp.recipe import RecipeRuns, run_analysis

SMALLEST = 1e-6  # loss that is drawn
LOOKS = {
    "rtrl": ("black", "o", "RTRL"),
    "immediate": ("#D55E00", "s", "immediate derivatives"),
    "output only": ("#0072B2", "^", "untrained recurrent weights"),
}


def recorded(table: pd.DataFrame) -> pd.DataFrame:
    """One row a run: task, gain of the initial recurrent weights, seed, what was trained and how, and final loss."""
    gradient = table["algorithm"].where(table["algorithm"] == "rtrl", "immediate")
    lag = table["task.lag"].map(lambda value: f" {value:.0f}", na_action="ignore")
    return pd.DataFrame(
        {
            "task": table["task"] + lag.where(table["task"] == "echo", "").fillna(""),
            "gain": table["init.recurrent.gain"],
            "gradient": gradient.mask(table["freeze"].astype(str).str.contains("recurrent"), "output only"),
            "seed": table["seed"].astype(int),
            "loss": table["final/eval/loss"],
            "loss over baseline": table["final/eval/loss_over_baseline"],
        }
    )


def compared(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a task, gain and seed: the final losses, and which part of rtrl's gain the others have."""
    wide = rows.pivot_table(index=["task", "gain", "seed"], columns="gradient", values=["loss", "loss over baseline"])
    found, over = (wide[name].reindex(columns=list(LOOKS)) for name in ("loss", "loss over baseline"))
    for name in ("immediate", "output only"):
        found[f"{name}, recovered"] = (1 - over[name]) / (1 - over["rtrl"])
    return found.reset_index()


def summarise(pairs: pd.DataFrame) -> pd.DataFrame:
    """Medians by task and gain, and the smallest and largest share that immediate derivatives recover."""
    groups = pairs.groupby(["task", "gain"])
    summary = groups[[name for name in pairs if name not in ("task", "gain", "seed")]].median()
    share = groups["immediate, recovered"]
    summary["smallest"], summary["largest"], summary["seeds"] = share.min(), share.max(), share.size()
    summary = summary.reset_index()
    lag = summary["task"].str.extract(r"(\d+)$")[0].astype(float)
    return summary.assign(_lag=lag).sort_values(["gain", "_lag", "task"]).drop(columns="_lag")


def draw(pairs: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Final losses by task, a panel for each gain of the initial recurrent weights."""
    gains = sorted(pairs["gain"].unique())
    figure = Figure(figsize=(5.6 * len(gains), 4.5), dpi=100, layout="constrained")
    panels = figure.subplots(1, len(gains), sharey=True, squeeze=False)[0]
    tasks = list(dict.fromkeys(summary["task"]))
    for axes, gain in zip(panels, gains, strict=True):
        for number, (name, (color, marker, label)) in enumerate(LOOKS.items()):
            for at, task in enumerate(tasks):
                losses = pairs.loc[(pairs["task"] == task) & (pairs["gain"] == gain), name].dropna()
                x = [at + 0.22 * (number - 1) + 0.03 * (n - 2) for n in range(len(losses))]
                axes.plot(
                    x, losses.clip(lower=SMALLEST), marker, color=color, markersize=4, label=None if at else label
                )
        axes.set_xticks(range(len(tasks)), [task.replace("two_lag", "two lags") for task in tasks], rotation=30)
        axes.set(yscale="log", title=f"orthogonal weights times {gain:g}")
        axes.title.set_fontsize(11)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("evaluation loss (nats; sine: squared error)")
    handles, names = panels[0].get_legend_handles_labels()
    title = f"each point is a seed; losses below {SMALLEST:g} are drawn there"
    figure.legend(handles, names, title=title, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def analyse(study: RecipeRuns) -> None:
    """Write figure.png, table.csv, runs.csv and recovered.csv beside this file, or into ``--out``."""
    rows = recorded(study.table)
    pairs = compared(rows)
    summary = summarise(pairs)
    study.save(draw(pairs, summary), summary, rows, index=False, digits=4)
    pairs.to_csv(study.out / "recovered.csv", index=False, float_format="%.4g")


if __name__ == "__main__":
    run_analysis(analyse, __file__, __doc__)
