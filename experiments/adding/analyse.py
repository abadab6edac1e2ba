"""From recorded runs to the figure and the table of this study.

Run the recipe first (see the README), then ``python experiments/adding/analyse.py`` in the same folder.
"""

import pandas as pd
from matplotlib.figure import Figure

from rnnexp.recipe import RecipeRuns, first_below, run_analysis

LOOKS = {
    "tanh RNN": ("#0072B2", "-"),
    "IRNN": ("#CC79A7", "-"),
    "IRNN, rate 0.0001": ("#D55E00", "--"),
    "IRNN, rate 1e-05": ("#D55E00", ":"),
    "IRNN, rate 1e-06": ("#56B4E9", "-."),
    "LSTM": ("#E69F00", "--"),
    "GRU": ("#009E73", "-."),
}
BASELINE = 1.0 / 6.0  # the variance of the sum of two numbers uniform on [0, 1)
PAPERS_RATE = 0.001
BELOW = 0.9  # of it: from here on the marked numbers are used
LEARNED = 0.01


def label(run: pd.Series) -> str:
    """What a run's network is called."""
    if run["cell"] != "rnn":
        return str(run["cell"]).upper()
    if run["cell.activation"] != "relu":
        return "tanh RNN"
    rate = run["optimizer.learning_rate"]
    return "IRNN" if rate == PAPERS_RATE else f"IRNN, rate {rate:g}"


def recorded(study: RecipeRuns) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """One row a run, and by update its evaluation loss and log10(||dC/dh_0|| / ||dC/dh_T||)."""
    found = study.table
    table = pd.DataFrame({"network": [label(run) for _, run in found.iterrows()]}, index=found.index)
    table.insert(0, "length", found["task.length"].astype(int))
    table["seed"], table["units"] = found["seed"], found["hidden_size"].astype(int)
    curves = {str(run): study.curve(run, "eval/loss") for run in found.index}
    ratios = {str(run): study.curve(run, "gradient/log10_ratio") for run in found.index}
    table["updates"] = [curves[str(run)].index[-1] for run in table.index]
    table["final_loss"] = [curves[str(run)].iloc[-1] for run in table.index]
    table["smallest_loss"] = [curves[str(run)].min() for run in table.index]
    table["first_below_baseline"] = [first_below(curves[str(run)], BELOW * BASELINE) for run in table.index]
    table["first_learned"] = [first_below(curves[str(run)], LEARNED) for run in table.index]
    table["log10_ratio_first"] = [ratios[str(run)].iloc[0] for run in table.index]
    table["log10_ratio_last"] = [ratios[str(run)].iloc[-1] for run in table.index]
    return table.sort_values(["length", "network", "seed"]), {
        run: pd.concat([curves[run], ratios[run]], axis=1) for run in curves
    }


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each length and network, over the seeds."""
    groups = rows.groupby(["length", "network", "units"])
    return pd.DataFrame(
        {
            "seeds": groups.size(),
            "updates": groups["updates"].max(),
            "median_final_loss": groups["final_loss"].median(),
            "smallest_final_loss": groups["final_loss"].min(),
            "largest_final_loss": groups["final_loss"].max(),
            "smallest_loss": groups["smallest_loss"].min(),
            "seeds_below_baseline": groups["first_below_baseline"].count(),
            "first_below_baseline": groups["first_below_baseline"].min().astype("Int64"),
            "last_below_baseline": groups["first_below_baseline"].max().astype("Int64"),  # of those that got there
            "seeds_learned": groups["first_learned"].count(),
            "median_log10_ratio_first": groups["log10_ratio_first"].median(),
            "median_log10_ratio_last": groups["log10_ratio_last"].median(),
        }
    )


def draw(table: pd.DataFrame, curves: dict[str, pd.DataFrame]) -> Figure:
    """For each length the loss, and how much of the gradient reaches the first state, over the updates."""
    lengths = sorted(table["length"].unique())
    figure = Figure(figsize=(11, 3.9 * len(lengths)), dpi=80, layout="constrained")
    for length, (losses, ratios) in zip(lengths, figure.subplots(len(lengths), 2, squeeze=False), strict=True):
        losses.axhline(BASELINE, color="black", linewidth=1, label="always the mean: 1/6")
        here = table[table["length"] == length]
        for name, (color, dash) in LOOKS.items():
            for place, (run, row) in enumerate(here[here["network"] == name].iterrows()):
                shown = f"{name}, {row['units']} units" if place == 0 else None
                for axes, metric in ((losses, "eval/loss"), (ratios, "gradient/log10_ratio")):
                    curve = curves[str(run)][metric].dropna().sort_index()
                    axes.plot(curve.index, curve, color=color, linestyle=dash, linewidth=1.2, label=shown)
        losses.set(yscale="log", ylabel="evaluation loss (squared error)", title=f"T = {length}: the loss")
        ratios.set(ylabel="log10 of ||dC/dh_0|| / ||dC/dh_T||", title=f"T = {length}: what reaches the first state")
        for axes in (losses, ratios):
            axes.set(xlabel="parameter updates")
            axes.grid(alpha=0.3)
        losses.legend(frameon=False, fontsize=8, loc="upper right")
    return figure


def analyse(study: RecipeRuns) -> None:
    """Write figure.png, table.csv and runs.csv beside this file (or into ``--out``) and print the table."""
    rows, curves = recorded(study)
    study.save(draw(rows, curves), summarise(rows), rows)


if __name__ == "__main__":
    run_analysis(analyse, __file__, __doc__)
