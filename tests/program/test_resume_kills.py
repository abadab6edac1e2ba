"""Runs on episodes, killed at random moments and resumed: bit for bit as if nothing had happened."""

import pytest
from resume_runs import check_case

CASES = {
    "recall": (("optimizer=adam",), ["INT", "KILL", "TERM"]),
    "recall gru": (("cell=gru", "optimizer=sgd", "optimizer.momentum=0.9", "schedule=cosine"), ["KILL", "KILL"]),
    "adding lstm": (
        ("task=adding", "task.eval_sequences=50", "cell=lstm", "optimizer=adamw", "bptt_length=7"),
        ["TERM", "INT"],
    ),
    "reber": (("task=reber", "optimizer=rmsprop", "bptt_length=4", "schedule=warmup"), ["KILL", "INT", "KILL"]),
    "adding, windows that overlap": (
        (
            "task=adding",
            "task.eval_sequences=50",
            "bptt_length=9",
            "bptt_stride=4",
            "optimizer=adagrad",
            "dtype=float64",
        ),
        ["INT", "KILL"],
    ),
    "everything of the gradient": (("gradients=full", "gradients.every=20", "cell=lstm"), ["INT", "KILL"]),
    "omega": (("regularizer=omega", "optimizer=sgd", "optimizer.momentum=0.9", "clipping=value"), ["KILL", "INT"]),
    "no statistics": (("gradients=off", "freeze=[embedding]"), ["TERM", "KILL"]),
}


@pytest.mark.thorough
@pytest.mark.parametrize("case", CASES)
def test_a_run_killed_at_random_ends_as_if_it_had_not_been(warm, case):
    check_case(warm, case, *CASES[case])


def test_every_kind_of_kill_is_planned():
    plans = [name for _, plan in CASES.values() for name in plan]
    assert len(plans) >= 16 and set(plans) == {"INT", "TERM", "KILL"}
