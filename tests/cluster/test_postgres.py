"""Sweeps recorded in PostgreSQL, directly and behind an MLflow server, that dies in the middle and comes back."""

import os
import subprocess
import sys
from collections import Counter, defaultdict

import pytest
import servers
from conftest import starting
from failing_stores import as_it_came, fewer, logged, measured, tracking, unfinished
from servers import finished, until

from rnnexp.records import load_jobs

pytestmark = pytest.mark.cluster
LENGTH = ("hidden_size=20", "steps=500", "schedule._target_=held.Held", "checkpoint=none", "hydra.sweep.dir=sweep")
#: A training that waits in the middle until the database is dead.
HELD = """
import os
import time
from rnnexp.training import Constant
class Held(Constant):
    def factor(self, step, steps):
        while step == 250 and not os.path.exists(os.environ["DEAD"]):
            time.sleep(0.05)
        return super().factor(step, steps)
"""
SWEEPS = {
    "workers": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=4", "seed=range(8)"),
    "stack": ("hydra/launcher=stacked", "seed=range(64)"),
}
#: Opens a store when there is another process that does, as soon as both have MLflow.
OPEN = """
import sys
import mlflow.store.tracking.sqlalchemy_store
from rnnexp.tracking.store import open_store
open_store(sys.argv[1], "first")
"""
JOBS = {"workers": 8, "stack": 64}


@pytest.fixture(scope="module")
def store(place):
    """A server whose database two processes opened at once when it was empty; what became of them."""
    folder = place / "postgres"
    folder.mkdir()
    with servers.postgres(folder) as server:
        command = [sys.executable, "-c", OPEN, server.uri]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        both = [subprocess.Popen(command, **pipes) for _ in range(2)]
        server.first = [finished(process) for process in both]
        yield server


@pytest.fixture(scope="module")
def mlflow_server(place, store):
    """An MLflow server on the database; its address."""
    folder = place / "server"
    folder.mkdir()
    (port,) = servers.free_ports(1)
    arguments = ["--backend-store-uri", store.uri, "--artifacts-destination", str(folder / "files")]
    command = [sys.executable, "-m", "mlflow", "server", *arguments, "--port", str(port), "--workers", "1"]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with servers.daemon(*command, log=folder / "log", env=environment, cwd=folder):
        until(lambda: servers.answers(f"http://127.0.0.1:{port}/health"), 240, "the MLflow server")
        yield f"http://127.0.0.1:{port}"


def points(store, way):
    """How often every (metric, step, value) of each run of an experiment is in the store, by the run's folder."""
    rows = store.sql(
        "select t.value, m.key, m.step, m.value from metrics m join tags t using (run_uuid)"
        " join runs r using (run_uuid) join experiments e using (experiment_id)"
        f" where t.key = 'rnnexp.folder' and e.name = '{way}'",
        "mlflow",
    )
    found = defaultdict(Counter)
    for folder, key, step, value in (row.rsplit("|", 3) for row in rows.splitlines()):
        found[folder][key, int(step), float(value)] += 1
    return found


def test_of_two_processes_that_open_an_empty_database_at_once_none_dies(store):
    assert [done.returncode for done in store.first] == [0, 0], [done.stderr for done in store.first]
    assert store.sql("select count(*) from experiments where name = 'first'", "mlflow") == "1"


@pytest.mark.timeout(900)
def test_nothing_is_lost_and_nothing_twice_when_the_database_dies(place, store, mlflow_server):
    """Four sweeps at once, as workers and as a stack, directly and behind a server, on a database that is killed."""
    uris = {"directly": store.uri, "behind_a_server": mlflow_server}
    dead = place / "dead"
    folders = {(way, name): place / way / name for way in uris for name in SWEEPS}

    def mine(way):
        return f"from runs where experiment_id = (select experiment_id from experiments where name = '{way}')"

    def opened(way):
        """Whether all workers have opened the store, and some runs are there: else a worker fails its job."""
        runs = {name: sum(bool(job.run) for job in load_jobs(place / way / name / "sweep")) for name in SWEEPS}
        there = store.sql(f"select count(*) {mine(way)}", "mlflow")
        return runs["workers"] >= 4 and runs["stack"] and int(there) > 2

    def any_ended(folder):
        return any(job.status != "RUNNING" for job in load_jobs(folder / "sweep"))

    with starting() as start:
        going = {}
        for (way, name), folder in folders.items():
            folder.mkdir(parents=True)
            (folder / "held.py").write_text(HELD)
            recorded = (f"tracking.experiment={way}", f"tracking.uri={uris[way]}")
            going[folder] = start(folder, "-m", *SWEEPS[name], *LENGTH, *recorded, DEAD=str(dead))
        until(lambda: all(opened(way) for way in uris), 400, "some runs")
        store.kill()
        dead.touch()
        # One job of each sweep, at least, comes to its end without a database.
        until(lambda: all(map(any_ended, folders.values())), 240, "jobs that ended")
        store.start()
        ended = {folder: finished(process) for folder, process in going.items()}
    for (way, _), folder in folders.items():
        assert ended[folder].returncode == 0, ended[folder].stdout + ended[folder].stderr
        assert "Traceback" not in ended[folder].stderr
        if unfinished(folder):
            synced = tracking(folder, "sync", "--uri", uris[way], "sweep")
            assert synced.returncode == 0, synced.stderr
    for way in uris:
        statuses = store.sql(f"select status, count(*) {mine(way)} group by status", "mlflow")
        assert statuses == f"FINISHED|{8 + 1 + 64 + 1}"
        found = points(store, way)
        for name, jobs in JOBS.items():
            for number in range(jobs):
                folder = place / way / name / "sweep" / str(number)
                assert set(found[str(folder)].values()) == {1}
                assert found[str(folder)] == logged(folder)
                assert fewer(as_it_came(found[str(folder)]), measured(folder))
