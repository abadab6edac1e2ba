"""From recorded runs to the figure and the table of this study.

Run the recipe first (see the README), then ``python experiments/influence_balancing/analyse.py`` in the same folder.
"""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from rnnexp.recipe import RecipeRuns, recipe_runs

HERE = Path(__file__).parent
LOOKS = {
    "windows of 1": ("#E69F00", ":"),
    "windows of 10": ("#D55E00", "--"),
    "windows of 100": ("#CC79A7", "-."),
    "windows of 200": ("#009E73", (0, (6, 2))),
    "ARTBP, mean 16": ("#0072B2", "-"),
}


def label(run: pd.Series) -> str:
    """What a run's truncation is called in the figure."""
    length = int(run["bptt_length"])
    return f"ARTBP, mean {length}" if run["algorithm"] == "artbp" else f"windows of {length}"


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
        if settings["bptt_stride"] == 1:
            ratios[int(settings["bptt_length"])] = first_gradient(study, str(run))
            continue
        losses = study.curve(run, "eval/loss")
        rows.append(
            {
                "truncation": label(settings),
                "seed": int(settings["seed"]),
                "loss at the start": losses.iloc[0],
                "loss at the end": losses.iloc[-1],
                "cosine with the full gradient": settings["final/gradient/alignment"],
                "run": run,
            }
        )
    return pd.DataFrame(rows), pd.Series(ratios, dtype=float).sort_index()


def draw(study: RecipeRuns, table: pd.DataFrame, ratios: pd.Series) -> Figure:
    """Loss over training for each truncation; the gradient's sign and size by window."""
    figure = Figure(figsize=(10.5, 4.0), dpi=100, layout="constrained")
    losses, signs = figure.subplots(1, 2)
    seen = set()
    for name, run in zip(table["truncation"], table["run"], strict=True):
        color, dash = LOOKS.get(name, ("black", "-"))
        points = study.curve(run, "eval/loss").clip(lower=1e-12)
        shown = None if name in seen else name + (" (each seed)" if name.startswith("ARTBP") else "")
        losses.plot(points.index, points, color=color, linestyle=dash, linewidth=1.8, label=shown)
        seen.add(name)
    losses.set(yscale="log", ylim=(1e-13, 1e8), xlabel="parameter updates", ylabel="loss, (s_0 - 1)^2")
    losses.set_title("which truncation learns theta", fontsize=11)
    signs.plot(ratios.index, ratios, "o-", color="#0072B2", label="BPTT(h; 1)")
    signs.axhline(1, color="black", linestyle="--", linewidth=1, label="the full gradient")
    signs.axhspan(min(0.0, ratios.min()) * 1.1, 0, color="#E69F00", alpha=0.15, label="the wrong way")
    signs.set(xlabel="window h", ylabel="truncated gradient / full gradient")
    signs.set_title("the sign flips with the window", fontsize=11)
    for axes, place in ((losses, "best"), (signs, "center right")):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8, loc=place)
    return figure


def main() -> None:
    """Write figure.png, table.csv and signs.csv beside this file (or into ``--out``) and print the tables."""
    study = recipe_runs("influence_balancing", folder=HERE, description=__doc__)
    table, ratios = tabulate(study)
    shown = table.drop(columns="run")
    study.save(draw(study, table, ratios), shown, shown, index=False, digits=4)
    ratios.rename("truncated over full").to_csv(study.out / "signs.csv", index_label="window", float_format="%.4f")
    print("truncated over full gradient by window, BPTT(h; 1):")
    print(ratios.round(3).to_string())


if __name__ == "__main__":
    main()
