"""From recorded runs to the figure and the table of this study.

Run the recipe first (see the README), then ``python experiments/fixed_points/analyse.py`` in the same folder.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rnnexp.analysis import FixedPoints, fixed_points, principal_components, state_trajectories
from rnnexp.layers import Network
from rnnexp.loading import load
from rnnexp.plot.state_plots import draw_points
from rnnexp.recipe import RecipeRuns, run_analysis
from rnnexp.tasks import Batch
from rnnexp.trained import Trained
from rnnexp.training import Streams

STARTS, SETTLE = 1000, 200
REACH = 2.0  # visited states are up to 1.5 of their root mean square distance from their mean
LOOKS = {"rnn": ("#0072B2", "o"), "gru": ("#E69F00", "s"), "lstm": ("#009E73", "^")}


def held_out(trained: Trained) -> Batch:
    """The evaluation sequences of a run."""
    batch = trained.task.evaluation(rng=Streams(trained.config["seed"]).evaluation)
    return batch.cast(trained.network.dtype)


def search(trained: Trained) -> FixedPoints:
    """Points without a pulse, from around the states that the network visits in its evaluation."""
    rng = np.random.default_rng(0)
    return fixed_points(trained.network, held_out(trained), rng=rng, starts=STARTS, reach=REACH)


def joined_edges(network: Network, points: FixedPoints) -> int:
    """Edges of the cube with a saddle that leads to both of its ends: pairs of outputs that differ in one sign.

    From a little off the saddle on either side along its unstable direction, the network runs without pulses.
    """
    saddles = [point for point in points.fixed if point.unstable == 1]
    if not saddles:
        return 0
    away = np.stack([sign * point.unstable_directions[0] for sign in (1e-3, -1e-3) for point in saddles])
    states = np.concatenate([[point.state for point in saddles]] * 2) + away
    network.recurrent.set_state(
        *np.split(states.astype(network.dtype), states.shape[-1] // network.recurrent.hidden_size, axis=-1)
    )
    silence = np.zeros((SETTLE, len(states), network.design.input_size), network.dtype)
    corners = np.sign(network.forward(silence)[-1]).reshape(2, len(saddles), -1)
    edges = {tuple(sorted(map(tuple, ends))) for ends in corners.swapaxes(0, 1) if (ends[0] != ends[1]).sum() == 1}
    return len(edges)


def summarise(run: pd.Series, trained: Trained, points: FixedPoints) -> dict[str, object]:
    """A run as a row: how well it learned, and how many points of each kind it has."""
    unstable = [point.unstable for point in points.fixed]
    stable = [point for point in points.fixed if not point.unstable]
    corners = {tuple(np.sign(point.output)) for point in stable if (np.abs(np.abs(point.output) - 1) < 0.1).all()}
    return {
        "cell": run["cell"],
        "seed": int(run["seed"]),
        "loss": run["final/eval/loss"],
        "error": run["final/eval/wrong_fraction"],
        "stable": len(stable),
        "corners": len(corners),
        **{f"saddles_{count}": unstable.count(count) for count in (1, 2, 3)},
        "joined_edges": joined_edges(trained.network, points),
        "slowest_stable": max(abs(point.eigenvalues[0]) for point in stable) if stable else np.nan,
        "spirals": sum(point.spiral for point in points.fixed),
        "slow": len(points) - len(points.fixed),
        "left_out": points.left_out,
        "largest_q": max(point.q for point in points.fixed),
    }


def counts(rows: pd.DataFrame) -> pd.DataFrame:
    """The smallest and the largest number of points of each kind, by cell."""
    kinds = ["stable", "corners", "saddles_1", "saddles_2", "saddles_3", "joined_edges", "slow"]
    table = rows.groupby("cell", sort=False)[kinds].agg(["min", "max"])
    table.columns = pd.Index([f"{kind}_{which}" for kind, which in table.columns])
    table.insert(0, "seeds", rows.groupby("cell", sort=False).size())
    return table.reset_index()


def draw(searched: pd.DataFrame, trained: Trained, points: FixedPoints, title: str) -> Figure:
    """The first network's states and points in space; and every network's points by their leading eigenvalue.

    `searched` has a row for each fixed point of each network.
    """
    figure = Figure(figsize=(11, 4.6), dpi=100, layout="constrained")
    space, moduli = figure.add_subplot(1, 2, 1, projection="3d"), figure.add_subplot(1, 2, 2)
    states = state_trajectories(trained.network, held_out(trained).sequences(8))
    components = principal_components(states, 3)
    for sequence in range(states.values.shape[1]):
        line = components.project(states.values[50:, sequence])  # every bit has been set
        space.plot(*line.T, color="#999999", linewidth=0.4, alpha=0.6)
    draw_points(space, points, components)
    names = [f"PC {at + 1} ({share:.0%})" for at, share in enumerate(components.explained)]
    space.set(xlabel=names[0], ylabel=names[1], zlabel=names[2], title=title)
    space.legend(fontsize=8, loc="upper left", bbox_to_anchor=(-0.12, 1.0), frameon=False)
    for shift, (cell, group) in zip((-0.25, 0.0, 0.25), searched.groupby("cell", sort=False), strict=False):
        color, marker = LOOKS[str(cell)]
        spread = group["seed"].rank(method="dense") / 30 - 0.1
        where = group["unstable"] + shift + spread
        label = f"{cell}, {group['seed'].nunique()} seeds"
        moduli.plot(where, group["leading_modulus"], marker, color=color, markersize=4, alpha=0.6, label=label)
    each = searched.groupby(["unstable", "cell", "seed"]).size().groupby("unstable").agg(["min", "max"])
    names = [
        f"{count}\n{low} to {high} points" if low < high else f"{count}\n{low} points"
        for count, low, high in each.itertuples()
    ]
    moduli.axhline(1.0, color="black", linewidth=0.8)
    moduli.set_xticks(each.index, names)
    moduli.set(xlabel="unstable directions, and how many such points a network has", ylabel="|leading eigenvalue|")
    moduli.grid(alpha=0.3)
    moduli.legend(fontsize=8)
    return figure


def analyse(study: RecipeRuns) -> None:
    """Write figure.png, table.csv and runs.csv beside this file (or into ``--out``) and print the table."""
    runs = study.table.assign(order=study.table["cell"].map(list(LOOKS).index)).sort_values(["order", "seed"])
    rows, searched, shown = [], [], None
    for name, run in runs.iterrows():
        trained = load(str(name), uri=study.uri)
        points = search(trained)
        rows.append(summarise(run, trained, points))
        searched.append(points.table().query("fixed").assign(cell=run["cell"], seed=run["seed"]))
        if shown is None:
            shown = trained, points, f"{run['cell']}, seed {run['seed']:.0f}"
    assert shown is not None
    study.save(draw(pd.concat(searched), *shown), counts(pd.DataFrame(rows)), pd.DataFrame(rows), index=False)


if __name__ == "__main__":
    run_analysis(analyse, __file__, __doc__)
