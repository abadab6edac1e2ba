"""How much of the training time drawing the data takes: ``python experiments/data_cost/run.py``.

For each task at its default settings, batches are drawn alone and trained on (vanilla RNN with 100 units, batch of 20,
the gradient of whole sequences, or of windows of 100 steps of a stream; no MLflow), in turn, several times. It prints
the share time of drawing / time of training with its drawing, from the medians. Only ratios mean anything.
"""

import argparse
import csv
import math
import statistics
import tempfile
import time
from pathlib import Path

from hydra import compose, initialize_config_dir

from rnnexp.build import build_experiment
from rnnexp.command.check_first import register
from rnnexp.settings import check_root, conf_dir
from rnnexp.tasks import EpisodeTask
from rnnexp.training import Streams, train

HIDDEN_SIZE, BATCH_SIZE, STREAM_STEPS = 100, 20, 100


def example_table(folder: Path) -> Path:
    """Data for the task that reads the user's own file."""
    path = folder / "waves.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["sine", "cosine"])
        rows.writerows([math.sin(0.1 * step), math.cos(0.1 * step)] for step in range(20_000))
    return path


def times(overrides: list[str], updates: int) -> tuple[float, float]:
    """Seconds of drawing the data of so many updates, and of training on as many."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        experiment = build_experiment(check_root(compose("config", overrides=overrides)))
    task, rng = experiment.task, Streams(1).data
    began = time.perf_counter()
    if isinstance(task, EpisodeTask):
        for _ in range(updates):
            task.sample(BATCH_SIZE, rng=rng)
    else:
        place = task.begin(BATCH_SIZE, rng=rng)
        for _ in range(updates):
            task.read(place, STREAM_STEPS, rng=rng)
    drawn = time.perf_counter()
    for _ in train(
        experiment.network,
        task,
        bptt=experiment.bptt,
        optimizer=experiment.optimizer,
        clipping=experiment.clipping,
        batch_size=BATCH_SIZE,
        steps=updates,
        rng=experiment.data,
    ):
        pass
    return drawn - began, time.perf_counter() - drawn


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", help="names of tasks; all when not given")
    parser.add_argument("--rounds", type=int, default=5, help="times that each is run")
    parser.add_argument("--updates", type=int, default=30, help="updates in each training")
    options = parser.parse_args()
    register()
    names = options.tasks or sorted(path.stem for path in (conf_dir() / "task").glob("*.yaml"))
    with tempfile.TemporaryDirectory() as folder:
        table = example_table(Path(folder))
        for name in names:
            overrides = [f"task={name}", f"hidden_size={HIDDEN_SIZE}", f"batch_size={BATCH_SIZE}", "embedding_dim=null"]
            overrides += [f"task.path={table}"] if name == "table" else []
            with initialize_config_dir(str(conf_dir()), version_base="1.3"):
                episodes = isinstance(
                    build_experiment(check_root(compose("config", overrides=overrides))).task, EpisodeTask
                )
            overrides.append(f"bptt_length={'null' if episodes else STREAM_STEPS}")
            both = [times(overrides, options.updates) for _ in range(options.rounds)]
            drawing, training = (statistics.median(column) for column in zip(*both, strict=True))
            print(f"{name:22}{drawing / training:7.2%} of training time", flush=True)


if __name__ == "__main__":
    main()
