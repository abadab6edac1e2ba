"""Runs on streams, killed at random moments and resumed: bit for bit as if nothing had happened."""

import pytest
from resume_runs import check_case

CASES = {
    "echo": (("task=echo", "bptt_length=8", "bptt_stride=2", "optimizer=rmsprop"), ["KILL", "TERM", "INT"]),
    "echo lstm": (("task=echo", "cell=lstm", "num_layers=2", "schedule=step", "optimizer=sgd"), ["INT", "INT", "KILL"]),
    "text": (
        ("task=text", "task.path=TEXT", "cell=gru", "bptt_length=10", "regularizer=weight_decay"),
        ["KILL", "INT"],
    ),
    "randomized": (("task=echo", "algorithm=artbp", "bptt_length=6", "optimizer=adamw"), ["TERM", "KILL"]),
    "adaptive": (
        ("task=echo", "algorithm=adaptive_bptt", "task.lag=3", "learn_initial_state=true"),
        ["KILL", "TERM", "KILL"],
    ),
}


@pytest.mark.thorough
@pytest.mark.parametrize("case", CASES)
def test_a_run_killed_at_random_ends_as_if_it_had_not_been(warm, case):
    check_case(warm, case, *CASES[case])


def test_every_kind_of_kill_is_planned():
    plans = [name for _, plan in CASES.values() for name in plan]
    assert len(plans) >= 13 and set(plans) == {"INT", "TERM", "KILL"}
