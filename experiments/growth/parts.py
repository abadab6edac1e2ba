"""The parts of what a user waits for, each a list of rows: what is measured, at which sizes."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from commands import command
from databases import runs
from files import reading, write_characters, write_table, write_text
from measuring import HERE, Row, answer, used


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes
    ----------
    updates : int
        Of each training whose evaluations are timed.
    text, table : list of float
        MB of the data that is evaluated on.
    lengths : list of int
        T of the sequences that are studied.
    jobs : list of int
        Of stacked sweeps.
    runs : list of int
        In a database.
    files : list of float
        MB of the files that are read.
    rounds : int
        Of what is run several times; the median counts.
    """

    updates: int
    text: list[float]
    table: list[float]
    lengths: list[int]
    jobs: list[int]
    runs: list[int]
    files: list[float]
    rounds: int


TINY = Sizes(20, [0.02], [0.02], [10, 20], [2, 4], [20, 40], [0.1, 0.2], 1)
USUAL = Sizes(1000, [0.2, 2, 10], [0.2, 2, 10], [30, 100, 300, 1000], [20, 60, 200], [100, 300, 1000], [8, 32, 100], 3)
FULL = Sizes(
    1000, [0.2, 2, 20], [3, 30, 300], [100, 1000, 10_000], [200, 1000], [1000, 3000, 10_000], [20, 60, 200, 300], 5
)
TASKS = ["recall", "echo", "parity", "copying", "adding"]


def evaluation(sizes: Sizes) -> list[Row]:
    """Evaluation and test by task and by the size of the data, as a share of training."""
    rows, updates = [], f"steps={sizes.updates}"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        cases = [(name, 1.0, "", [f"task={name}"]) for name in TASKS]
        for name, write, measured in (("text", write_text, sizes.text), ("table", write_table, sizes.table)):
            for size in measured:
                path = folder / f"{name}{size:g}.{'txt' if name == 'text' else 'csv'}"
                write(path, size)
                cases.append((name, size, "MB", [f"task={name}", f"task.path={path}"]))
        for name, size, of, overrides in cases:
            found = answer("training_cost.py", "evaluation", updates, *overrides, folder=folder)
            rows.append(Row("evaluation", name, size, of, found["evaluation"] / found["training"], "of training"))
    return rows


def training(sizes: Sizes) -> list[Row]:
    """Statistics of the gradient, drawing the data and the softmax of 5,000 outputs, as shares of training."""
    rows, updates = [], f"steps={sizes.updates // 4}"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, steps, overrides in (
            ("H=10, T=9", sizes.updates, []),
            ("H=100, T=200", sizes.updates // 4, ["hidden_size=100", "task.lag=199", "bptt_length=null"]),
        ):
            found = answer("training_cost.py", "statistics", f"steps={steps}", *overrides, folder=folder)
            for choice in ("light", "full"):
                value = found[choice] / found["training"]
                rows.append(Row("training", f"gradients={choice}, {name}", 1, "", value, "of training"))
        for name in TASKS:
            found = answer("training_cost.py", "drawing", updates, f"task={name}", "hidden_size=100", folder=folder)
            rows.append(Row("training", f"drawing, {name}", 1, "", found["drawing"] / found["training"], "of training"))
        path = folder / "characters.txt"
        write_characters(path, 0.3)
        overrides = ["task=text", f"task.path={path}", "hidden_size=100", "embedding_dim=100", "steps=10"]
        found = answer("training_cost.py", "softmax", *overrides, folder=folder)
        share = found["softmax"] / found["update"]
        rows.append(Row("training", "softmax of 5,000 outputs", 1, "", share, "of training"))
    return rows


def study(sizes: Sizes) -> list[Row]:
    """One study with all statistics of the gradient, against the length of its sequences; 100 units."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for length in sizes.lengths:
            overrides = ["task=recall", f"task.lag={length - 1}", "hidden_size=100", "bptt_length=null"]
            found = answer("training_cost.py", "study", *overrides, folder=Path(place))
            rows.append(Row("study", "seconds", length, "T", found["seconds"], "CPU s"))
            rows.append(Row("study", "memory", length, "T", max(0.1, found["memory"]), "MB"))
    return rows


def stacked(sizes: Sizes) -> list[Row]:
    """A job of 50 updates in a stacked sweep, against the number of jobs, beside MLflow's client alone."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        printed = used([str(HERE / "stacked_jobs.py"), *map(str, sizes.jobs)], Path(place)).output
        for found in (json.loads(line) for line in printed.splitlines() if line.startswith("{")):
            for name, unit in (
                ("whole", "CPU s"),
                ("without", "CPU s"),
                ("training", "CPU s"),
                ("store", "CPU s"),
                ("points", ""),
            ):
                rows.append(Row("stacked", name, found["jobs"], "jobs", found[name], unit))
    return rows


PARTS: dict[str, Callable[[Sizes], list[Row]]] = {
    "evaluation": evaluation,
    "training": training,
    "study": study,
    "stacked": stacked,
    "command": lambda sizes: command(sizes.rounds),
    "runs": lambda sizes: runs(sizes.runs, sizes.rounds),
    "files": lambda sizes: reading(sizes.files, sizes.rounds),
}
