"""What a whole command costs: ``python experiments/speed/whole.py``.

``python -m rnnexp hidden_size=10`` on a warm database, beside a program that does only what no such
command can do without: it imports the same libraries, starts and ends one MLflow run with a metric, and draws and
stores as many figures. Both are run in turns as processes of their own, by processor time.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

FLOOR = """
import hydra, matplotlib, mlflow, numpy
from matplotlib.figure import Figure
client = mlflow.MlflowClient("sqlite:///mlflow.db")
run = client.create_run(client.get_experiment_by_name("rnnexp").experiment_id).info.run_id
for number in range({figures}):
    figure = Figure(figsize=(6.4, 4.0), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.plot(range(100), label="a curve")
    axes.set(xlabel="steps", ylabel="value", title="a title")
    axes.legend()
    figure.savefig(f"figure{{number}}.png")
    client.log_artifact(run, f"figure{{number}}.png")
client.log_metric(run, "loss", 1.0)
client.set_terminated(run)
"""


def processor_seconds(arguments: list[str], folder: Path) -> float:
    """Processor time of a Python process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    command = ["-m", "rnnexp", "hidden_size=10"]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        processor_seconds(command, folder)  # makes the database
        figures = len(list(folder.glob("outputs/*/*/*.png")))
        floors, shorts, wholes = [], [], []
        for _ in range(options.rounds):
            floors.append(processor_seconds(["-c", FLOOR.format(figures=figures)], folder))
            shorts.append(processor_seconds([*command, "steps=1"], folder))
            wholes.append(processor_seconds(command, folder))
    floor, short, whole = (statistics.median(seconds) for seconds in (floors, shorts, wholes))
    print(
        f"{' '.join(['python', *command])}: {short / floor:.2f} of the floor with one update, {whole / floor:.2f} "
        f"with all 1000 and their evaluations ({figures} figures)"
    )


if __name__ == "__main__":
    main()
