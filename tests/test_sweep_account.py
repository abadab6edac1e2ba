"""The summary of a sweep of very many jobs: little is kept of each, and the tables list some of them."""

import math

from rnnexp.records import JobRecord, Sweep, load_jobs
from rnnexp.sweeps.account import LOSS, MOST_LISTED, MOST_UNDONE, listed, plain_table


def jobs(count, undone):
    """Jobs of which the first ones did not finish; the last have the smallest losses, but for the very last."""
    for number in range(count):
        status = "FAILED" if number < undone else "FINISHED"
        loss = math.nan if number == count - 1 else 1.0 / (number + 1)
        yield JobRecord(number, "", [f"seed={number}"], status, values={"seed": number, "x": 1}, metrics={LOSS: loss})


def test_a_table_lists_all_of_few_jobs_and_the_best_and_some_unfinished_of_many(tmp_path):
    sweep = Sweep("id", tmp_path, ["seed"], ["seed=0,1"])
    few = list(jobs(MOST_LISTED, 3))
    assert listed(few) == (few, "") and len(plain_table(sweep, few)) == 1 + MOST_LISTED
    many = list(jobs(3000, 30))
    shown, which = listed(many)
    best = MOST_LISTED - MOST_UNDONE
    expected = [*range(2998, 2998 - best, -1), *range(MOST_UNDONE)]
    assert [record.number for record in shown] == expected
    assert (
        which == f"... the {best} jobs with the smallest loss and the first {MOST_UNDONE} that did not finish, of 3000"
    )
    lines = plain_table(sweep, many)
    assert len(lines) == MOST_LISTED + 2 and lines[-1] == which
    assert lines[1].split()[:3] == ["2998", "2998", "FINISHED"]


def test_of_jobs_that_ended_only_what_is_compared_is_kept(tmp_path):
    curve = [(lag, -0.1 * lag) for lag in range(200)]
    results = {LOSS: 0.5, "test/loss": 0.6, "network/parameters": 9.0}
    for number, status in enumerate(("FINISHED", "RUNNING")):
        metrics = {**results, "train/loss": 1.0}
        values = {"seed": 1, "hidden_size": 4}
        JobRecord(number, "", [], status, values=values, metrics=metrics, curve=curve).save(tmp_path)
    ended, running = load_jobs(tmp_path, brief=["seed"])
    assert (ended.values, ended.metrics, ended.curve) == ({"seed": 1}, results, curve[:1])
    assert running == load_jobs(tmp_path)[1] and len(running.curve) == 200
