"""Shares of training, measured in this process: ``python training_cost.py WHAT OVERRIDE ...``.

WHAT is `evaluation`, `statistics`, `drawing`, `study` or `softmax`.

It prints a line of JSON. Processor time only; ratios mean something, seconds are of one machine.
"""

import json
import resource
import statistics
import sys
import time
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir

from rnnexp.build import build_experiment
from rnnexp.command.check_first import register
from rnnexp.layers import SoftmaxCrossEntropy
from rnnexp.settings import check_root, conf_dir
from rnnexp.training import evaluate


def built(overrides: list[str]) -> Any:
    """The experiment that a command line describes."""
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return build_experiment(check_root(compose("config", overrides)))


def evaluation(overrides: list[str]) -> dict[str, float]:
    """Seconds of training, and of its evaluations with the two on the test set at the end."""
    experiment = built([*overrides, "gradients=off"])
    plain, evaluated, began = [], [], time.process_time()
    for report in experiment.reports():
        now = time.process_time()
        (plain if report.evaluation is None else evaluated).append(now - began)
        began = now
    update, task, network = statistics.fmean(plain), experiment.task, experiment.network
    seconds = sum(evaluated) - update * (len(evaluated) - 1)  # the first report is before any update
    if (unseen := experiment.unseen()) is not None:
        batch, began = unseen.cast(network.dtype), time.process_time()
        for _ in range(2):  # of the best and of the last weights
            evaluate(network.replica(), batch, task.target_kind, task)
        seconds += time.process_time() - began
    return {"training": update * experiment.steps, "evaluation": seconds}


def statistics_of_the_gradient(overrides: list[str]) -> dict[str, float]:
    """Seconds of a run without statistics of the gradient, and of what each choice of them adds."""
    seconds = {}
    for choice in ("off", "light", "full"):
        reports = built([*overrides, f"gradients={choice}"]).reports()
        seconds[choice] = _seconds(lambda reports=reports: [None for _ in reports])
    return {"training": seconds["off"], **{name: seconds[name] - seconds["off"] for name in ("light", "full")}}


def drawing(overrides: list[str]) -> dict[str, float]:
    """Seconds of a run's updates, and of drawing data for as many."""
    experiment = built([*overrides, "gradients=off"])
    trainer = experiment.run().trainer
    updates = _seconds(lambda: [trainer.update() for _ in range(experiment.steps)])
    return {"training": updates, "drawing": _seconds(lambda: [trainer.draw() for _ in range(experiment.steps)])}


def study(overrides: list[str]) -> dict[str, float]:
    """Seconds and MB that one study of the gradient takes, all statistics on."""
    experiment = built([*overrides, "gradients=full"])
    look, before = experiment.look(experiment.study), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    look(experiment.network.replica())
    seconds = time.process_time() - began
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"seconds": seconds, "memory": max(0, grown) / (1e6 if sys.platform == "darwin" else 1e3)}


def softmax(overrides: list[str]) -> dict[str, float]:
    """Seconds of an update, and of its loss with the softmax alone."""
    experiment = built([*overrides, "gradients=off"])
    trainer = experiment.run().trainer
    updates = [_seconds(trainer.update) for _ in range(experiment.steps)]
    rng, shape = np.random.default_rng(0), (*trainer.inputs.shape, experiment.task.output_size)
    outputs = rng.standard_normal(shape, np.float32)
    targets, criterion = rng.integers(shape[-1], size=shape[:-1]), SoftmaxCrossEntropy()
    losses = [
        _seconds(lambda: (criterion.forward(outputs, targets, overwrite=True), criterion.backward())) for _ in updates
    ]
    return {"update": statistics.median(updates), "softmax": statistics.median(losses)}


def _seconds(call: Any) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


if __name__ == "__main__":
    measures = {
        "evaluation": evaluation,
        "statistics": statistics_of_the_gradient,
        "drawing": drawing,
        "study": study,
        "softmax": softmax,
    }
    print(json.dumps(measures[sys.argv[1]](sys.argv[2:])))
