"""Sweeps recorded in PostgreSQL, directly and behind an MLflow server, that dies in the middle and comes back."""

import os
import sys
import time
from collections import Counter

import pytest
import servers
from failing_stores import as_it_came, fewer, logged, measured, tracking, unfinished
from servers import finished, until

from rnnexp.records import load_jobs
from rnnexp.tracking.store import open_store

pytestmark = pytest.mark.cluster
LENGTH = ("hidden_size=20", "steps=500", "tracking.figures=false", "checkpoint=none", "hydra.sweep.dir=sweep")
SWEEPS = {
    "workers": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=4", "seed=range(8)"),
    "stack": ("hydra/launcher=stacked", "seed=range(64)"),
}


@pytest.fixture(scope="module")
def store(place):
    folder = place / "postgres"
    folder.mkdir()
    with servers.postgres(folder) as server:
        open_store(server.uri, "rnnexp")  # makes its tables
        yield server


@pytest.fixture(scope="module")
def mlflow_server(place, store):
    """An MLflow server on the database; its address."""
    folder = place / "server"
    folder.mkdir()
    (port,) = servers.free_ports(1)
    arguments = ["--backend-store-uri", store.uri, "--artifacts-destination", str(folder / "files")]
    command = [sys.executable, "-m", "mlflow", "server", *arguments, "--port", str(port), "--workers", "2"]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with servers.daemon(*command, log=folder / "log", env=environment, cwd=folder):
        until(lambda: servers.answers(f"http://127.0.0.1:{port}/health"), 240, "the MLflow server")
        yield f"http://127.0.0.1:{port}"


def points(store, run):
    """How often every (metric, step, value) of a run is in the store."""
    rows = store.sql(f"select key, step, value from metrics where run_uuid = '{run}'", "mlflow").splitlines()
    return Counter((key, int(step), float(value)) for key, step, value in (row.rsplit("|", 2) for row in rows))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", ["directly", "behind a server"])
def test_nothing_is_lost_and_nothing_twice_when_the_database_dies(place, store, request, start, way):
    uri = store.uri if way == "directly" else request.getfixturevalue("mlflow_server")
    folder = place / way.replace(" ", "_")
    experiment = f"tracking.experiment={folder.name}"
    going = {
        name: start(folder / name, "-m", *sweep, *LENGTH, experiment, f"tracking.uri={uri}")
        for name, sweep in SWEEPS.items()
    }
    mine = f"from runs where experiment_id = (select experiment_id from experiments where name = '{folder.name}')"
    # All workers have opened the store by then, and some runs are there: a worker that cannot open it fails its job.
    count = f"select count(*) {mine}"

    def opened(name):
        return len([record for record in load_jobs(folder / name / "sweep") if record.run])

    until(lambda: opened("workers") >= 4 and opened("stack") and int(store.sql(count, "mlflow")) > 2, 240, "some runs")
    store.kill()
    time.sleep(3)
    store.start()
    for name, process in going.items():
        done = finished(process)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        if unfinished(folder / name):
            synced = tracking(folder / name, "sync", "--uri", uri, "sweep")
            assert synced.returncode == 0, synced.stderr
    statuses = store.sql(f"select status, count(*) {mine} group by status", "mlflow")
    assert statuses == f"FINISHED|{8 + 1 + 64 + 1}"
    for name, jobs in (("workers", 8), ("stack", 64)):
        for number in range(jobs):
            run_folder = folder / name / "sweep" / str(number)
            where = f"key = 'rnnexp.folder' and value = '{run_folder}'"
            run = store.sql(f"select run_uuid from tags where {where}", "mlflow")
            found = points(store, run)
            assert set(found.values()) == {1}
            assert found == logged(run_folder)
            assert fewer(as_it_came(found), measured(run_folder))
