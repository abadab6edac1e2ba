"""Runs killed at random moments by SIGINT, SIGTERM and SIGKILL, and resumed: bit for bit as if nothing had happened."""

import numpy as np
import pytest
from resume_runs import QUIET, Kills, Record, check_whole, run_folder_of
from warm_command import Warm

STEPS = 120
SMALL = (f"steps={STEPS}", "checkpoint.every=3", "eval_every=10", "hidden_size=6", "batch_size=4", *QUIET)

CASES = {
    "recall": (("optimizer=adam",), ["INT", "KILL", "TERM"]),
    "recall gru": (("cell=gru", "optimizer=sgd", "optimizer.momentum=0.9", "schedule=cosine"), ["KILL", "KILL"]),
    "adding lstm": (("task=adding", "cell=lstm", "optimizer=adamw", "bptt_length=7"), ["TERM", "INT"]),
    "reber": (("task=reber", "optimizer=rmsprop", "bptt_length=4", "schedule=warmup"), ["KILL", "INT", "KILL"]),
    "adding, windows that overlap": (
        ("task=adding", "bptt_length=9", "bptt_stride=4", "optimizer=adagrad", "dtype=float64"),
        ["INT", "KILL"],
    ),
    "echo": (("task=echo", "bptt_length=8", "bptt_stride=2", "optimizer=rmsprop"), ["KILL", "TERM", "INT"]),
    "echo lstm": (("task=echo", "cell=lstm", "num_layers=2", "schedule=step", "optimizer=sgd"), ["INT", "INT"]),
    "text": (
        ("task=text", "task.path=text.txt", "cell=gru", "bptt_length=10", "regularizer=weight_decay"),
        ["KILL", "INT"],
    ),
    "randomized": (("task=echo", "bptt=randomized", "bptt_length=6", "optimizer=adamw"), ["TERM", "KILL"]),
    "adaptive": (("task=echo", "bptt=adaptive", "task.lag=3", "learn_initial_state=true"), ["KILL", "TERM"]),
    "everything of the gradient": (("gradients=full", "gradients.every=20", "cell=lstm"), ["INT", "KILL"]),
    "omega": (("regularizer=omega", "optimizer=sgd", "optimizer.momentum=0.9", "clipping=value"), ["KILL", "INT"]),
    "no statistics": (("gradients=off", "freeze=[embedding]"), ["TERM", "KILL"]),
}
#: How many kills this file makes, sweeps not counted.
PLANNED = sum(len(plan) for _, plan in CASES.values())


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    opened = Warm(tmp_path_factory.mktemp("warm"))
    for folder in (opened.folder,):
        (folder / "text.txt").write_text("how much wood would a woodchuck chuck, if a woodchuck could? " * 40)
    yield opened
    opened.close()


def placed(warm, arguments):
    """The arguments with the path of the text."""
    return tuple(a.replace("task.path=", f"task.path={warm.folder}/") for a in arguments)


def only_run(folder):
    return Record(folder).id


@pytest.mark.parametrize(("arguments", "plan"), CASES.values(), ids=CASES)
def test_a_run_killed_at_random_ends_as_if_it_had_not_been(warm, arguments, plan, request):
    arguments = (*SMALL, *placed(warm, arguments))
    reference = warm.new_folder()
    whole = warm.run(reference, *arguments)
    assert whole.returncode == 0, whole.stderr
    rng = np.random.default_rng(list(request.node.callspec.id.encode()))
    kills = Kills(warm, rng, STEPS)
    folder = kills.through(plan, arguments, run_of=only_run)
    assert kills.made == plan
    print(f"{kills.made}, came too late: {kills.too_late}")
    check_whole(run_folder_of(folder), run_folder_of(reference), Record(folder), Record(reference))


def test_the_plan_is_at_least_thirty_kills_of_every_kind():
    plans = [name for _, plan in CASES.values() for name in plan]
    assert len(plans) >= 28 and set(plans) == {"INT", "TERM", "KILL"}
