"""Stacks on the workers of a real dask scheduler, which are killed, lost, too old, or see another folder."""

import os
import signal
import socket
import sys
import threading
from contextlib import ExitStack, suppress

import pytest
import servers
from servers import finished, until
from sweep_helpers import children, client, counts, job_records, numbers, parents

from rnnexp.checks import UserError
from rnnexp.records import load_jobs

pytestmark = pytest.mark.cluster
LENGTH = ("hidden_size=20", "steps=1500", "checkpoint.every=50", "eval_every=500", "tracking.figures=false")


class Dask:
    """A scheduler on loopback, and workers without a nanny, whose death is the end of them."""

    def __init__(self, folder, stack):
        self.folder, self.stack = folder, stack
        (port,) = servers.free_ports(1)
        self.address = f"tcp://127.0.0.1:{port}"
        self.scheduler = self.begin("scheduler", "--host", "127.0.0.1", "--port", str(port))
        until(lambda: self.address in (folder / "scheduler.log").read_text(), 240, "the scheduler")
        self.workers = []

    def begin(self, kind, *arguments, before=(), **environment):
        command = [*before, sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments, "--no-dashboard"]
        log = self.folder / f"{kind}.log"
        given = {**os.environ, **environment}
        return self.stack.enter_context(servers.daemon(*command, log=log, env=given, cwd=self.folder))

    def worker(self, **options):
        self.workers.append(self.begin("worker", self.address, "--nthreads", "1", "--no-nanny", **options))
        registered = (self.folder / "worker.log").read_text
        until(lambda: registered().count("Registered to:") >= len(self.workers), 240, "a worker")
        return self.workers[-1]


@pytest.fixture
def dask(tmp_path):
    with ExitStack() as stack:
        yield Dask(tmp_path, stack)


def stacked(dask):
    launcher = ("-m", "hydra/launcher=stacked", "hydra.launcher.backend=dask", "hydra.launcher.max_copies=4")
    return (*launcher, f"hydra.launcher.address={dask.address}", *LENGTH, "hydra.sweep.dir=sweep")


@pytest.mark.timeout(600)
def test_what_a_killed_worker_was_training_is_continued_by_another(place, dask, start, run):
    folder = place / "dask"
    for _ in range(2):
        dask.worker()
    going = start(folder, *stacked(dask), "seed=range(0,12)")
    alone = start(folder, "seed=1", *LENGTH, "tracking=none", "hydra.run.dir=alone")
    sweep = folder / "sweep"
    saved = [sweep / str(number) / "checkpoints" for number in range(4)]  # of the first stack
    until(lambda: all(any(path.glob("step-*.npz")) for path in saved), 240, "checkpoints")
    (record,) = [record for record in load_jobs(sweep) if record.number == 1]
    assert record.pid in {worker.pid for worker in dask.workers}
    os.kill(record.pid, signal.SIGKILL)
    done = finished(going)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {record["status"] for record in job_records(sweep)} == {"FINISHED"}
    reader = client(folder / "mlflow.db")
    runs = reader.search_runs([reader.get_experiment_by_name("rnnexp").experiment_id])
    (parent,) = parents(runs)
    assert counts(parent) == {"finished": 12}
    jobs = children(runs, parent)
    assert len(jobs) == 12 and {job.info.status for job in jobs} == {"FINISHED"}
    assert {job.data.tags["pid"] for job in jobs} <= {str(worker.pid) for worker in dask.workers}
    assert finished(alone).returncode == 0
    assert numbers(sweep / "1") == numbers(folder / "alone")


@pytest.mark.timeout(600)
def test_a_scheduler_that_dies_ends_the_sweep_and_what_had_finished_is_kept(place, dask, start):
    folder = place / "scheduler"
    dask.worker()
    going = start(folder, *stacked(dask), "seed=range(0,24)", "steps=3000")
    sweep = folder / "sweep"
    until(lambda: any(record.status == "FINISHED" for record in load_jobs(sweep)), 240, "a job that finished")
    dask.scheduler.kill()
    done = finished(going)
    assert done.returncode == 1
    assert f"the dask scheduler {dask.address} was lost" in done.stderr
    assert "Traceback" not in done.stderr
    statuses = {record["status"] for record in job_records(sweep)}  # the scheduler died while the first stack ended
    assert "FINISHED" in statuses <= {"FINISHED", "KILLED"}


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 403 Forbidden\r\n\r\n"])
def test_what_is_no_scheduler_is_refused_in_time(monkeypatch, answer):
    from rnnexp.sweeps import dask_workers

    monkeypatch.setattr(dask_workers, "PATIENCE", 2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        (_, port), kept = listener.getsockname(), []

        def accept():
            with suppress(OSError):
                while True:
                    kept.append(listener.accept()[0])
                    kept[-1].sendall(answer)

        thread = threading.Thread(target=accept)
        thread.start()
        with pytest.raises(UserError) as refused:
            dask_workers.check(f"tcp://127.0.0.1:{port}")
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for one in kept:
            one.close()
    assert refused.value.problem == (
        f"no dask scheduler answers at hydra.launcher.address=tcp://127.0.0.1:{port}: "
        "something else does, or nothing in time"
    )


def test_workers_that_would_do_something_else_are_refused(place, dask, run, tmp_path):
    folder = place / "refused_by_dask"
    nobody = run(folder, *stacked(dask), "seed=0,1")
    lines = nobody.stderr.splitlines()
    assert lines[0] == f"rnnexp: the dask scheduler {dask.address} has no worker" and len(lines) == 2
    (tmp_path / "sitecustomize.py").write_text("import rnnexp.version\nrnnexp.version.__version__ = '0.0.9'\n")
    old = dask.worker(PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    refused = run(folder, *stacked(dask), "seed=0,1")
    lines = refused.stderr.splitlines()
    assert "has rnnexp 0.0.9, here it is 0.1.0" in lines[0] and len(lines) == 2, refused.stderr
    servers.end(old)
    assert sorted(path.name for path in folder.iterdir()) == ["mlflow.db"]


@pytest.mark.skipif(not servers.may_unshare(), reason="needs a mount namespace of its own")
def test_a_folder_that_a_worker_has_not_is_named(unshared, dask, run):
    folder = unshared / "dask"
    dask.worker(before=("unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {unshared} && exec "$@"', "sh"))
    done = run(folder, *stacked(dask), "seed=0,1")
    assert done.returncode == 1
    assert f"has the sweep's folder no {folder / 'sweep'}" in done.stderr, done.stderr
