"""What a person waits for with one command: the first line with a loss, and the whole of it.

The whole is compared with a program that does only what no such command can do without: it imports the same libraries,
starts and ends one MLflow run with a metric, and draws and stores as many figures.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import SURROUNDINGS, Row, used

COMMAND = ["-m", "rnnexp", "hidden_size=10"]
BARE = """
import hydra, matplotlib, mlflow, numpy
from matplotlib.figure import Figure
client = mlflow.MlflowClient("sqlite:///mlflow.db")
run = client.create_run(client.get_experiment_by_name("rnnexp").experiment_id).info.run_id
for number in range({figures}):
    figure = Figure(figsize=(6.4, 4.0), dpi=110)
    axes = figure.subplots()
    axes.plot(range(100), label="a curve")
    axes.set(xlabel="steps", ylabel="value", title="a title")
    axes.legend()
    figure.savefig(f"figure{{number}}.png")
    client.log_artifact(run, f"figure{{number}}.png")
client.log_metric(run, "loss", 1.0)
client.set_terminated(run)
"""


def first_loss(arguments: list[str], folder: Path) -> float:
    """Seconds until a command prints its first line with a loss."""
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, env=SURROUNDINGS, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if b"loss" in line:
                seconds = time.perf_counter() - began
                process.stdout.read()
                return seconds
    raise SystemExit(f"{' '.join(arguments)}: no line with a loss")


def command(rounds: int) -> list[Row]:
    """The first loss line beside that without MLflow; the whole command beside the bare program; recording's share."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        used(COMMAND, folder)  # makes the database
        figures = len(list(folder.glob("outputs/*/*/*.png")))
        series: dict[str, list[float]] = {}
        for _ in range(rounds):
            for name, value in (
                ("first loss", first_loss(COMMAND, folder)),
                ("first loss, tracking=none", first_loss([*COMMAND, "tracking=none"], folder)),
                ("whole", used(COMMAND, folder).seconds),
                ("whole, bare", used(["-c", BARE.format(figures=figures)], folder).seconds),
                ("whole, tracking=none", used([*COMMAND, "tracking=none"], folder).seconds),
            ):
                series.setdefault(name, []).append(value)
    return [
        Row("command", name, 1, "", statistics.median(values), "s" if "first" in name else "CPU s")
        for name, values in series.items()
    ]
