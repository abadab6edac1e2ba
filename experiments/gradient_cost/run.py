"""How much of the training time the gradient statistics take: ``python experiments/gradient_cost/run.py``.

For each size, the same training (no MLflow) is timed with gradients off, light and full, in turn, several times. It
prints the share (time with - time without) / time without, from the medians. Only ratios mean anything.
"""

import argparse
import statistics
import time

from rnnexp.algorithms import TruncatedBPTT
from rnnexp.experiment import Experiment
from rnnexp.gradients import GradientStudy
from rnnexp.layers import build_network
from rnnexp.tasks import Recall
from rnnexp.training import Adam, Constant, NoRegularizer, NormClipping, NoStopping, Streams

SIZES = {
    "default sizes (H=10, T=9)": {"lag": 8, "hidden_size": 10, "steps": 1000},
    "H=100, T=200": {"lag": 199, "hidden_size": 100, "steps": 300},
}
STUDIES = {
    "off": None,
    "light": {},
    "full": {"jacobians": True, "lag_split": True, "lyapunov_exponents": None, "snr_batches": 10},
}


def seconds(study: dict[str, object] | None, *, lag: int, hidden_size: int, steps: int) -> float:
    """Time of one training, from the first update to the last study."""
    streams, task = Streams(0), Recall(lag=lag)
    experiment = Experiment(
        network=build_network(
            hidden_size=hidden_size,
            embedding_dim=5,
            input_size=task.input_size,
            output_size=task.output_size,
            rng=streams.init,
        ),
        task=task,
        held_out=task.evaluation(rng=streams.evaluation),
        bptt=TruncatedBPTT(20 if lag < 20 else None),
        optimizer=Adam(0.01),
        schedule=Constant(),
        clipping=NormClipping(1.0),
        regularizer=NoRegularizer(),
        stopping=NoStopping(),
        study=None if study is None else GradientStudy(**study),
        batch_size=20,
        steps=steps,
        eval_every=None,
        data=streams.data,
        sampling=streams.sampling,
        test=streams.test,
        batches=streams.batches,
    )
    began = time.perf_counter()
    for _ in experiment.reports():
        pass
    return time.perf_counter() - began


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="times that each is run")
    parser.add_argument("--steps", type=int, help="updates in each training; by size when not given")
    options = parser.parse_args()
    for name, size in SIZES.items():
        size = {**size, "steps": options.steps or size["steps"]}
        times: dict[str, list[float]] = {choice: [] for choice in STUDIES}
        for _ in range(options.rounds):
            for choice, study in STUDIES.items():
                times[choice].append(seconds(study, **size))
        off = statistics.median(times["off"])
        shares = ", ".join(
            f"{choice} {statistics.median(times[choice]) / off - 1:+.1%}" for choice in STUDIES if choice != "off"
        )
        print(f"{name}, {size['steps']} updates: {shares} of training time")


if __name__ == "__main__":
    main()
