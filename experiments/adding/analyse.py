"""From recorded runs to the figure and the table of this study.

Run the recipe first (see the README), then ``python experiments/adding/analyse.py`` in the same folder.
"""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from rnnexp.recipe import RecipeRuns, first_below, recipe_runs

HERE = Path(__file__).parent
LOOKS = {
    "tanh RNN": ("#0072B2", "-"),
    "IRNN": ("#CC79A7", ":"),
    "LSTM": ("#E69F00", "--"),
    "GRU": ("#009E73", "-."),
}
BASELINE = 1.0 / 6.0  # the variance of the sum of two numbers uniform on [0, 1)
BELOW = 0.9  # of it: from here on the marked numbers are used
LEARNED = 0.01


def label(run: pd.Series) -> str:
    """What a run's network is called."""
    if run["cell"] != "rnn":
        return str(run["cell"]).upper()
    return "IRNN" if run["cell.activation"] == "relu" else "tanh RNN"


def recorded(study: RecipeRuns) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """One row a run, and by update its evaluation loss and log10(||dC/dh_0|| / ||dC/dh_T||)."""
    found = study.table
    table = pd.DataFrame({"network": [label(run) for _, run in found.iterrows()]}, index=found.index)
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
    return table.sort_values(["network", "seed"]), {
        run: pd.concat([curves[run], ratios[run]], axis=1) for run in curves
    }


def draw(table: pd.DataFrame, curves: dict[str, pd.DataFrame]) -> Figure:
    """The loss, and how much of the gradient reaches the first state, over the updates."""
    figure = Figure(figsize=(11, 4.2), dpi=100, layout="constrained")
    losses, ratios = figure.subplots(1, 2)
    losses.axhline(BASELINE, color="black", linewidth=1, label="always the mean: 1/6")
    for name, (color, dash) in LOOKS.items():
        for place, (run, row) in enumerate(table[table["network"] == name].iterrows()):
            shown = f"{name}, {row['units']} units" if place == 0 else None
            for axes, metric in ((losses, "eval/loss"), (ratios, "gradient/log10_ratio")):
                curve = curves[str(run)][metric].dropna().sort_index()
                axes.plot(curve.index, curve, color=color, linestyle=dash, linewidth=1.8, label=shown)
    losses.set(yscale="log", ylabel="evaluation loss (squared error)", title="the loss")
    ratios.set(ylabel="log10 of ||dC/dh_0|| / ||dC/dh_T||", title="what reaches the first state")
    for axes in (losses, ratios):
        axes.set(xlabel="parameter updates")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=9)
    return figure


def main() -> None:
    """Write figure.png and table.csv beside this file (or into ``--out``) and print the table."""
    study = recipe_runs("adding", folder=HERE, description=__doc__)
    table, curves = recorded(study)
    study.save(draw(table, curves), table, table, index=False)


if __name__ == "__main__":
    main()
