"""What is told of a job of a sweep before its end."""

import pytest

from rnnexp.tracking import progress
from rnnexp.tracking.progress import Pulse, duration


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_comes_now_and_then_with_the_time_that_is_left(clock, capsys):
    pulse = Pulse("jobs 0 to 63, a stack of 64", step=100, steps=1000)
    for step in range(101, 1001):
        clock[0] += 1.0
        pulse.show(step)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 29
    assert lines[0] == "jobs 0 to 63, a stack of 64: update 130 of 1000, 14 min left"
    assert lines[-1] == "jobs 0 to 63, a stack of 64: update 970 of 1000, 30 s left"


def test_a_run_by_itself_and_a_quiet_one_have_none(clock, capsys, monkeypatch):
    silent = Pulse("", 0, 10)
    pulse = Pulse("job 0", 0, 10)
    clock[0] += 40
    silent.show(1)
    monkeypatch.setattr(progress, "is_quiet", lambda: True)
    pulse.show(1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("seconds", "text"), [(3.2, "3 s"), (99.6, "2 min"), (5400, "90 min"), (36000, "10 h")])
def test_durations(seconds, text):
    assert duration(seconds) == text
