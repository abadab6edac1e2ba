"""Runs of dead processes are distinguished from those of live ones."""

import multiprocessing
import os
import signal
import socket
import sys

import pytest

from rnnexp.tracking import dead_runs
from rnnexp.tracking.dead_runs import DIED_SILENTLY, end_dead_runs, is_gone, process_start, process_tags
from rnnexp.tracking.store import open_store

linux = pytest.mark.skipif(sys.platform != "linux", reason="process starts are read from /proc")
HOST = socket.gethostname()


@pytest.fixture
def child():
    """A process of its own, which only waits."""
    process = multiprocessing.get_context("spawn").Process(target=signal.pause)
    process.start()
    yield process
    process.kill()
    process.join()


def tags_of(pid, start=None):
    return {"host": HOST, "pid": str(pid), **({"process_start": start} if start else {})}


def test_this_process_is_there():
    assert process_tags()["pid"] == str(os.getpid())
    assert not is_gone(process_tags())


@linux
def test_a_process_is_told_from_another_one_with_its_pid(child):
    start = process_start(child.pid)
    ticks, boot, namespace = start.split()
    assert not is_gone(tags_of(child.pid, start))
    assert is_gone(tags_of(child.pid, f"{int(ticks) - 1} {boot} {namespace}"))
    assert is_gone(tags_of(child.pid, f"{ticks} another-boot {namespace}"))
    assert not is_gone(tags_of(child.pid, f"1 {boot} 12345")), "another container, where pids mean something else"
    assert not is_gone({**tags_of(child.pid, "1 2 3"), "host": "elsewhere"})


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_process_is_gone_when_it_was_killed(child):
    known = tags_of(child.pid, process_start(child.pid))
    assert not is_gone(known) and not is_gone(tags_of(child.pid))
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it ended, and waits to be forgotten
    if sys.platform == "linux":
        assert is_gone(known) and is_gone(tags_of(child.pid))
    child.join()
    assert is_gone(known) and is_gone(tags_of(child.pid))
    assert not is_gone({**known, "host": "elsewhere"})
    assert not is_gone({"host": HOST})


@linux
def test_only_runs_of_dead_processes_here_are_ended(tmp_path, child, monkeypatch):
    store = open_store(f"sqlite:///{tmp_path}/mlflow.db", "lab")
    other = open_store(f"sqlite:///{tmp_path}/mlflow.db", "other")
    monkeypatch.setattr(dead_runs, "_seen", set())
    gone = tags_of(2**22 + 7, "1 2 " + process_start(os.getpid()).split()[2])

    def begin(name, tags, experiment=store):
        return store.client.create_run(experiment.experiment_id, tags=tags, run_name=name).info.run_id

    dead = {begin("sweep", gone)}
    dead.add(begin("job", {**gone, "mlflow.parentRunId": next(iter(dead))}))
    alive = {
        begin("mine", process_tags()),
        begin("its", tags_of(child.pid, process_start(child.pid))),
        begin("elsewhere", {**gone, "host": "elsewhere"}),
        begin("by hand", {}),
        begin("other", gone, other),
    }
    finished = begin("finished", gone)
    store.client.set_terminated(finished, "FINISHED")
    assert set(end_dead_runs(store)) == dead
    assert end_dead_runs(store) == [], "once a process"
    for run in map(store.client.get_run, dead):
        assert (run.info.status, run.data.tags["error"]) == ("KILLED", DIED_SILENTLY)
    for run in map(store.client.get_run, alive):
        assert run.info.status == "RUNNING" and "error" not in run.data.tags
    assert store.client.get_run(finished).info.status == "FINISHED"


@linux
def test_a_run_that_ends_well_while_it_is_looked_at_stays_so(tmp_path, monkeypatch):
    store = open_store(f"sqlite:///{tmp_path}/mlflow.db", "lab")
    monkeypatch.setattr(dead_runs, "_seen", set())
    run = store.client.create_run(store.experiment_id, tags=process_tags()).info.run_id

    def ends(tags):
        store.client.set_terminated(run, "FINISHED")
        return True

    monkeypatch.setattr(dead_runs, "is_gone", ends)
    assert end_dead_runs(store) == []
    assert store.client.get_run(run).info.status == "FINISHED"
