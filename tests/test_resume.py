"""What is checked before a run is resumed: its steps and its settings."""

import pytest

from rnnexp.checks import UserError
from rnnexp.resume import check_steps, check_unchanged


@pytest.mark.parametrize(
    ("steps", "done", "finished", "refused"),
    [
        (10, 10, 10, True),
        (10, 10, 0, False),
        (9, 10, 0, True),
        (11, 10, 10, False),
        (10, 7, 10, True),
        (10, 7, 0, False),
    ],
)
def test_which_steps_can_be_gone_on_for(steps, done, finished, refused):
    state = {"trainer": {"step": done}}
    if refused:
        with pytest.raises(UserError, match=f"steps must be more than the 10 .*got {steps}"):
            check_steps(steps, 10, state, finished)
    else:
        check_steps(steps, 10, state, finished)


def test_a_checkpoint_without_a_step_is_refused():
    for state in ({}, {"trainer": None}, {"trainer": {"step": "x"}}):
        with pytest.raises(UserError, match="it has no step"):
            check_steps(10, 10, state)


SETTINGS = {"seed": 0, "steps": 10, "task": {"_target_": "a.Recall", "lag": 3}, "init": {"recurrent": {"gain": 1.0}}}


@pytest.mark.parametrize("key", ["seed", "+seed", "task", "task.lag", "task@task", "initializer@init.recurrent"])
def test_what_is_the_same_is_no_difference(key):
    check_unchanged(SETTINGS, SETTINGS, [key.lstrip("+")])


@pytest.mark.parametrize(
    ("key", "now", "named"),
    [
        ("seed", {"seed": 1}, "seed must be 0, as in the run that is resumed, got 1"),
        ("task.lag", {"task": {"_target_": "a.Recall", "lag": 4}}, "task.lag must be 3"),
        ("task", {"task": {"_target_": "a.Echo"}}, "task must be a.Recall, as in the run that is resumed, got a.Echo"),
        ("experiment", {"init": {"recurrent": {"gain": 2.0}}}, "init.recurrent.gain must be 1.0"),
        ("initializer@init.recurrent", {"init": {"recurrent": {"gain": 2}}}, "init.recurrent.gain must be 1.0"),
    ],
)
def test_what_differs_is_named_with_both_values(key, now, named):
    with pytest.raises(UserError, match=named):
        check_unchanged(SETTINGS, {**SETTINGS, **now}, [key])


@pytest.mark.parametrize("key", ["steps", "tracking.uri", "checkpoint.every", "hydra.run.dir", "hydra/launcher"])
def test_what_may_differ_is_not_compared(key):
    check_unchanged(SETTINGS, {**SETTINGS, "steps": 20, "tracking": {"uri": "x"}}, [key])
