"""From recorded runs to the figure and the tables of this study.

Run the recipe first (see the README), then ``python experiments/influence_balancing/analyse.py`` in the same folder.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnnexp.recipe import RecipeRuns, run_analysis

SMALLEST = 1e-12  # loss that is drawn
WINDOWS = {
    "windows of 1": ("#E69F00", ":"),
    "windows of 10": ("#D55E00", "--"),
    "windows of 100": ("#CC79A7", "-."),
    "windows of 200": ("#009E73", (0, (6, 2))),
    "ARTBP, mean 16": ("#0072B2", "-"),
}
CARRIED = {
    "RTRL, rate 0.0001": ("black", "-"),
    "UORO, rate 5e-06": ("#009E73", "--"),
    "UORO, rate 1e-05": ("#0072B2", "-"),
    "UORO, rate 0.0001": ("#D55E00", ":"),
}


COLUMNS = [
    *("gradient", "updates", "seed", "loss at the start", "loss at the end", "smallest loss"),
    *("cosine with the full gradient", "run"),
]


def label(run: pd.Series) -> str:
    """What a run's gradient is called in the figure."""
    algorithm = run["algorithm"]
    if algorithm in ("rtrl", "uoro"):
        return f"{algorithm.upper()}, rate {run['optimizer.learning_rate']:g}"
    length = int(run["bptt_length"])
    return f"ARTBP, mean {length}" if algorithm == "artbp" else f"windows of {length}"


def first_gradient(study: RecipeRuns, run: str) -> float:
    """Truncated gradient over full gradient in theta, before any update.

    With one number to learn the cosine is the sign of that ratio, and the relative error is 1 - ratio: the truncated
    gradient never exceeds the full one here, since what truncation leaves out always has the full one's sign.
    """
    return 1.0 - float(study.curve(run, "gradient/alignment_error").iloc[0])


def tabulate(study: RecipeRuns) -> tuple[pd.DataFrame, pd.Series]:
    """Loss at the start and the end of every trained run, and the ratio of the gradients by window for BPTT(h; 1)."""
    rows, ratios = [], {}
    for run, settings in study.table.iterrows():
        if settings["algorithm"] == "bptt" and settings["bptt_stride"] == 1:
            ratios[int(settings["bptt_length"])] = first_gradient(study, str(run))
            continue
        losses = study.curve(run, "eval/loss")
        rows.append(
            {
                "gradient": label(settings),
                "updates": int(settings["steps"]),
                "seed": int(settings["seed"]),
                "loss at the start": losses.iloc[0],
                "loss at the end": losses.iloc[-1],
                "smallest loss": losses.min(),
                "cosine with the full gradient": settings["final/gradient/alignment"],
                "run": run,
            }
        )
    order = [*WINDOWS, *CARRIED]
    table = pd.DataFrame(rows, columns=COLUMNS).sort_values("seed", kind="stable")
    known = table["gradient"].map({name: at for at, name in enumerate(order)}).fillna(len(order))
    return table.iloc[known.argsort(kind="stable")], pd.Series(ratios, dtype=float).sort_index()


def draw_losses(axes: Axes, study: RecipeRuns, table: pd.DataFrame, looks: dict[str, tuple[str, object]]) -> None:
    """Loss over training, a line a run; from the first evaluation after the start on, where the axis is logarithmic."""
    seen = set()
    several = table["gradient"].value_counts()
    for name, run in zip(table["gradient"], table["run"], strict=True):
        if name not in looks:
            continue
        color, dash = looks[name]
        points = study.curve(run, "eval/loss").clip(lower=SMALLEST)
        points = points[points.index > 0] if axes.get_xscale() == "log" else points
        shown = None if name in seen else name + (f" ({several[name]} seeds)" if several[name] > 1 else "")
        axes.plot(
            points.index, points, color=color, linestyle=dash, linewidth=1.8 if several[name] < 2 else 1.2, label=shown
        )
        seen.add(name)
    axes.set(yscale="log", ylim=(SMALLEST / 10, 1e18), xlabel="parameter updates")


def draw(study: RecipeRuns, table: pd.DataFrame, ratios: pd.Series) -> Figure:
    """Loss over training for windows and for carried gradients; the truncated gradient's sign and size by window."""
    figure = Figure(figsize=(13.5, 4.8), dpi=100, layout="constrained")
    windows, carried, signs = figure.subplots(1, 3)
    draw_losses(windows, study, table, WINDOWS)
    windows.set(ylabel=f"loss, (s_0 - 1)^2 (below {SMALLEST:g}: drawn there)", title="windows, rate 0.0001")
    carried.set(xscale="log", title="carried forward, an update at every step")
    draw_losses(carried, study, table, CARRIED)
    signs.plot(ratios.index, ratios, "o-", color="#0072B2", label="BPTT(h; 1)")
    signs.axhline(1, color="black", linestyle="--", linewidth=1, label="the full gradient")
    signs.axhspan(min(0.0, ratios.min()) * 1.1, 0, color="#E69F00", alpha=0.15, label="wrong direction")
    signs.set(xlabel="window h", ylabel="truncated gradient / full gradient", title="the sign flips with the window")
    for axes in (windows, carried, signs):
        axes.title.set_fontsize(11)
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=9, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    return figure


def analyse(study: RecipeRuns) -> None:
    """Write figure.png, table.csv and signs.csv beside this file (or into ``--out``) and print the tables."""
    table, ratios = tabulate(study)
    shown = table.drop(columns="run")
    study.save(draw(study, table, ratios), shown, shown, index=False, digits=4)
    ratios.rename("truncated over full").to_csv(study.out / "signs.csv", index_label="window", float_format="%.4f")
    print("truncated over full gradient by window, BPTT(h; 1):")
    print(ratios.round(3).to_string())


if __name__ == "__main__":
    run_analysis(analyse, __file__, __doc__)
