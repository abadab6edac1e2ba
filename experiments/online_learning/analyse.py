"""From recorded runs to the figure and the tables of this study.

Run the recipe first (see the README), then ``python experiments/online_learning/analyse.py`` in the same folder.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnnexp.recipe import RecipeRuns, run_analysis
from rnnexp.tasks import TwoLag

LOOKS = {
    "rtrl": ("black", "o"),
    "snap": ("#0072B2", "s"),
    "uoro": ("#D55E00", "^"),
    "rflo": ("#009E73", "D"),
    "bptt 20": ("#56B4E9", "P"),
    "bptt 12": ("#56B4E9", "P"),
    "bptt 10": ("#CC79A7", "X"),
    "bptt 4": ("#CC79A7", "X"),
    "bptt 1": ("#E69F00", "v"),
}
KEYS = ["task", "every", "algorithm"]
#: Median alignment from which an algorithm counts as nearly exact.
NEARLY_EXACT = 0.9
#: How well the gradient points: in all parameters, and in the recurrent weights alone (the output layer's is exact).
ALIGNMENTS = {"alignment": "gradient/alignment", "recurrent alignment": "gradient/bias_cosine/recurrent.Wh"}


def recorded(study: RecipeRuns) -> pd.DataFrame:
    """One row a run: task, steps between updates, algorithm, seed, final loss, and how well the gradient pointed."""
    rows = []
    for run, settings in study.table.iterrows():
        kind = str(settings["task"])
        windowed = settings["algorithm"] == "bptt"
        row = {
            "task": f"echo {int(settings['task.lag'])}" if kind == "echo" else kind,
            "every": int(settings["bptt_stride"]),
            "algorithm": f"bptt {int(settings['bptt_length'])}" if windowed else settings["algorithm"],
            "seed": int(settings["seed"]),
            "loss": settings["final/eval/loss"],
            "loss over baseline": settings["final/eval/loss_over_baseline"],
        }
        for name, metric in ALIGNMENTS.items():
            looks = study.curve(run, metric)
            row |= {f"{name} before training": looks.iloc[0], f"mean {name}": looks.mean()}
        row["variance before training"] = None
        if settings["algorithm"] == "uoro":
            row["variance before training"] = study.curve(run, "gradient/variance").iloc[0]
        rows.append(row)
    return pd.DataFrame(rows)


def ordered(table: pd.DataFrame) -> pd.DataFrame:
    """Tasks by difficulty, algorithms as in `LOOKS`."""
    place = {name: at for at, name in enumerate(LOOKS)}
    lag = table["task"].str.extract(r"(\d+)$")[0].astype(float)
    keyed = table.assign(_kind=table["task"].str.split().str[0], _lag=lag, _place=table["algorithm"].map(place))
    return keyed.sort_values(["_kind", "every", "_lag", "_place"]).drop(columns=["_kind", "_lag", "_place"])


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """By task, steps between updates and algorithm: loss (median, smallest, largest) and median alignments."""
    groups = rows.groupby(KEYS)
    summary = groups["loss"].agg(["median", "min", "max", "size"]).rename(columns={"size": "seeds"})
    for name in [name for name in rows if "alignment" in name or "variance" in name]:
        summary[name] = groups[name].median()
    return ordered(summary.reset_index())


def correlations(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each task: Spearman's rank correlation of loss and mean recurrent alignment, over algorithms and seeds.

    Negative where better gradients go with lower losses; its square is the share of the ranks' variance explained. Once
    of all algorithms, and once without those that are nearly exact (median above 0.9).
    """
    found = []
    for (task, every), group in rows.groupby(["task", "every"]):
        name = "mean recurrent alignment"
        rough = group[group.groupby("algorithm")[name].transform("median") < NEARLY_EXACT]
        row = {"task": task, "every": every}
        for which, some in (("all", group), ("rough", rough)):
            row[f"{which}: algorithms"] = some["algorithm"].nunique()
            row[f"{which}: rank correlation"] = some["loss"].rank().corr(some[name].rank())
        row["rough: which"] = " ".join(
            name.replace("bptt ", "bptt-") for name in LOOKS if name in set(rough["algorithm"])
        )
        found.append(row)
    return ordered(pd.DataFrame(found).assign(algorithm="rtrl")).drop(columns="algorithm")


def draw_echo(axes: Axes, summary: pd.DataFrame, every: int) -> None:
    """Final loss against the lag, a line an algorithm."""
    chosen = summary[summary["task"].str.startswith("echo") & (summary["every"] == every)]
    lags = sorted({int(task.split()[1]) for task in chosen["task"]})
    present = [name for name in LOOKS if name in set(chosen["algorithm"])]
    for number, name in enumerate(present):
        color, marker = LOOKS[name]
        points = chosen[chosen["algorithm"] == name]
        x = [lags.index(int(task.split()[1])) + 0.09 * (number - len(present) / 2) for task in points["task"]]
        spread = [points["median"] - points["min"], points["max"] - points["median"]]
        axes.errorbar(x, points["median"], spread, fmt=f"-{marker}", color=color, markersize=5, linewidth=1, label=name)
    axes.axhline(0.6931, color="black", linestyle=":", linewidth=1)
    axes.set_xticks(range(len(lags)), [str(lag) for lag in lags])
    axes.set(
        ylim=(-0.03, 0.98), xlabel="lag of the echo (dotted: a coin flip)", ylabel="evaluation loss (nats per step)"
    )


def draw_levels(axes: Axes, rows: pd.DataFrame, task: str, floors: dict[str, float]) -> None:
    """Final losses of one task, a column an algorithm and a point a run."""
    chosen = rows[rows["task"] == task]
    if chosen.empty:
        return
    present = [name for name in LOOKS if name in set(chosen["algorithm"])]
    for at, name in enumerate(present):
        color, marker = LOOKS[name]
        losses = chosen.loc[chosen["algorithm"] == name, "loss"]
        spread = [at + 0.09 * (n - (len(losses) - 1) / 2) for n in range(len(losses))]
        axes.plot(spread, losses, marker, color=color, markersize=5)
    for name, floor in floors.items():
        axes.axhline(floor, color="black", linestyle=":", linewidth=1)
        axes.annotate(name, (-0.45, floor), fontsize=8, va="bottom")
    axes.set_xticks(range(len(present)), present, rotation=30, fontsize=9)
    axes.set(xlim=(-0.5, len(present) - 0.5), ylabel="evaluation loss (nats per step)")


def draw_alignment(axes: Axes, rows: pd.DataFrame) -> None:
    """Final loss against the recurrent weights' mean alignment, a point a run."""
    for name, (color, marker) in LOOKS.items():
        points = rows[rows["algorithm"] == name]
        axes.plot(
            points["mean recurrent alignment"],
            points["loss over baseline"],
            marker,
            color=color,
            markersize=4,
            alpha=0.7,
        )
    axes.axhline(1, color="black", linestyle=":", linewidth=1)
    axes.set(xlabel="mean alignment, recurrent weights", ylabel="final loss / baseline loss")


def draw(rows: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Above, what was learned; below, the same against the alignment."""
    figure = Figure(figsize=(14, 8.4), dpi=85, layout="constrained")
    panels = figure.subplots(2, 4)
    often, seldom, bits, text = panels[0]
    draw_echo(often, summary, 1)
    draw_echo(seldom, summary, 10)
    floors = TwoLag(first_lag=5, second_lag=9).floors()
    names = {"none": "neither bit known", "second": "bit 9 ago", "first": "bit 5 ago", "both": "both bits"}
    draw_levels(bits, rows, "two_lag", {names[name]: floor for name, floor in floors.items()})
    draw_levels(text, rows, "text", {})
    parts = {
        "echo, an update at every step": rows["task"].str.startswith("echo") & (rows["every"] == 1),
        "echo, at every tenth": rows["task"].str.startswith("echo") & (rows["every"] == 10),
        "two lags, 5 and 9": rows["task"] == "two_lag",
        "text": rows["task"] == "text",
    }
    for (title, chosen), above, below in zip(parts.items(), panels[0], panels[1], strict=True):
        above.set_title(title, fontsize=11)
        draw_alignment(below, rows[chosen])
        for axes in (above, below):
            axes.grid(alpha=0.3)
    for axes in (often, seldom):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper left")
    return figure


def analyse(study: RecipeRuns) -> None:
    """Write figure.png and the tables beside this file (or into ``--out``), and print two of them."""
    rows = recorded(study)
    summary = summarise(rows)
    study.save(draw(rows, summary), summary, rows, index=False, digits=4)
    found = correlations(rows)
    found.to_csv(study.out / "correlations.csv", index=False, float_format="%.3f")
    print(found.round(3).to_string(index=False))


if __name__ == "__main__":
    run_analysis(analyse, __file__, __doc__)
