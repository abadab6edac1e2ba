"""What a network costs in a stack of many: ``python experiments/speed/stacked.py``.

The default network and task (10 units, sequences of 9 steps), at batch sizes 1 and 16: the time of a network's training
alone over its time among 64 with other seeds, in one process, in turns; of the updates alone, and of whole runs with
evaluations and gradient statistics. It refuses to print a ratio if a loss differs in its last bit.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

from hydra import compose, initialize_config_dir

from rnnexp.build import build_experiment
from rnnexp.command.check_first import register
from rnnexp.settings import check_root, conf_dir
from rnnexp.training import StackedTrainer, train_together


def experiments(count: int, overrides: list[str]) -> list[Any]:
    """As many experiments, one for each seed."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("config", overrides)
    built = []
    for seed in range(count):
        config.seed = seed
        built.append(build_experiment(check_root(config)))
    return built


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """How long a call takes, and what it gives."""
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result


def updates(count: int, steps: int, overrides: list[str]) -> float:
    """Ratio of the updates alone, one network's by itself over one's in the stack."""
    alone = experiments(1, overrides)[0].run().trainer
    stack = StackedTrainer([experiment.run().trainer for experiment in experiments(count, overrides)])
    single, losses = seconds(lambda: [alone.update().train_loss for _ in range(steps)])
    together, reports = seconds(lambda: [stack.update()[0].train_loss for _ in range(steps)])
    if losses != reports:
        raise SystemExit("the losses in the stack are not those of the network alone")
    return single / (together / count)


def runs(count: int, overrides: list[str]) -> float:
    """Ratio of whole runs."""
    alone = experiments(1, overrides)[0]
    several = [experiment.run() for experiment in experiments(count, overrides)]
    single, reports = seconds(lambda: list(alone.reports()))
    together, others = seconds(lambda: [report for index, report in train_together(several) if index == 0])
    if [report.train_loss for report in reports] != [report.train_loss for report in others]:
        raise SystemExit("the losses in the stack are not those of the network alone")
    return single / (together / count)


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--copies", type=int, default=64)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    register()
    for batch in (1, 16):
        overrides = [f"batch_size={batch}", f"steps={options.steps}", "tracking=none"]
        bare = statistics.median(updates(options.copies, options.steps, overrides) for _ in range(options.rounds))
        whole = statistics.median(runs(options.copies, overrides) for _ in range(options.rounds))
        print(
            f"batch size {batch}: a network among {options.copies} costs 1/{bare:.1f} of one alone (updates), "
            f"1/{whole:.1f} with evaluations and gradient statistics",
            flush=True,
        )


if __name__ == "__main__":
    main()
