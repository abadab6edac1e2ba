"""Jobs in a pool of workers that ends with one of them: the others' are run again, and nothing runs for ever."""

from concurrent.futures.process import BrokenProcessPool

import pytest

from rnnexp.records import STOP_FILE, JobRecord, Sweep, load_jobs
from rnnexp.sweeps.workers import despite_kills

JOBS = range(3, 9)


class Pool:
    """Begins two jobs at a time; a deadly one ends the pool, with what runs beside it."""

    def __init__(self, folder, deadly):
        self.folder, self.deadly, self.launched = folder, list(deadly), []

    def __call__(self, numbers):
        self.launched.append(list(numbers))
        for pair in (numbers[at : at + 2] for at in range(0, len(numbers), 2)):
            for number in pair:
                self.write(number, "RUNNING")
            if killed := set(pair) & set(self.deadly):
                self.deadly.remove(killed.pop())
                raise BrokenProcessPool
            for number in pair:
                self.write(number, "FINISHED")

    def write(self, number, status):
        JobRecord(number, "", [], status, pid=2**22 + 1).save(self.folder)


@pytest.fixture
def run(tmp_path):
    def run(deadly, **settings):
        Sweep("id", tmp_path, [], [], **settings).save()
        pool = Pool(tmp_path, deadly)
        despite_kills(pool, JOBS, lambda number: [number], tmp_path)
        return pool.launched, {record.number: record.status for record in load_jobs(tmp_path)}

    return run


@pytest.mark.parametrize(
    ("deadly", "launched", "killed"),
    [
        ((), [[3, 4, 5, 6, 7, 8]], []),
        ((3,), [[3, 4, 5, 6, 7, 8], [5, 6, 7, 8], [3], [4]], []),
        ((8,), [[3, 4, 5, 6, 7, 8], [7], [8]], []),
        ((3, 3), [[3, 4, 5, 6, 7, 8], [5, 6, 7, 8], [3], [4]], [3]),
        ((4, 7), [[3, 4, 5, 6, 7, 8], [5, 6, 7, 8], [3], [4], [7], [8]], []),
        (tuple(JOBS) * 2, [[3, 4, 5, 6, 7, 8], [5, 6, 7, 8], [7, 8], [3], [4], [5], [6], [7], [8]], list(JOBS)),
    ],
)
def test_the_others_go_on(run, deadly, launched, killed):
    found, statuses = run(deadly)
    assert found == launched
    if deadly != tuple(JOBS) * 2:
        assert [number for number, status in statuses.items() if status == "KILLED"] == killed
        assert set(statuses.values()) <= {"FINISHED", "KILLED"} and list(statuses) == list(JOBS)


def test_after_a_stop_or_with_fail_fast_nothing_begins_again(run, tmp_path):
    with pytest.raises(BrokenProcessPool):
        run((3,), fail_fast=True)
    (tmp_path / STOP_FILE).write_text("stopped by Ctrl-C")
    with pytest.raises(BrokenProcessPool):
        run((3,))


def test_a_pool_in_which_no_job_can_begin_is_given_up(tmp_path):
    Sweep("id", tmp_path, [], []).save()

    def launch(numbers):
        raise BrokenProcessPool

    with pytest.raises(BrokenProcessPool):
        despite_kills(launch, JOBS, lambda number: [number], tmp_path)
