"""A store or a disk that fails in the middle of a run costs nothing that can be kept, and no run its true end."""

import os
import shutil
import subprocess
import sys

import pytest
from failing_stores import (
    BREAK,
    PLAIN,
    USED,
    as_it_came,
    faulty,
    fewer,
    free_port,
    logged,
    measured,
    server,
    stored,
    tracking,
    unfinished,
)
from sweep_helpers import children, job_records, parents, sweep_folders

from rnnexp.tracking.dead_runs import DIED_SILENTLY

STEPS = "steps=40"
#: Eight processes that begin at once where there is no database; the import, which takes longest, is done before.
EIGHT = """
import os
import sys
from pathlib import Path

import mlflow.store.tracking.sqlalchemy_store
from rnnexp.history import Point
from rnnexp.tracking.mlflow_run import MLflowRun
from rnnexp.tracking.store import open_store

PROCESSES, RUNS, BATCHES, POINTS = 8, 3, 14, 40
ready, go = os.pipe()


def write(process):
    os.close(go)
    os.read(ready, 1)  # until the parent closes it
    store = open_store(f"sqlite:///{Path.cwd()}/mlflow.db", "crowd")
    for number in range(RUNS):
        folder = Path("outputs", f"{process}-{number}")
        folder.mkdir(parents=True)
        run = MLflowRun(store, f"{process}-{number}", {"process": process}, "-", {"rnnexp.kind": "run"}, folder=folder)
        for step in range(BATCHES):
            run.add(Point(f"metric{name}", process + number / 8 + name / 512, step) for name in range(POINTS))
            run.flush()
        run.end("FINISHED", {})


children = []
for process in range(PROCESSES):
    child = os.fork()
    if not child:
        try:
            write(process)
        except BaseException as error:
            print(f"process {process}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    children.append(child)
os.close(go)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX processes")


@pytest.fixture(scope="module")
def reference(new_folder, command, recorded):
    """What a run stores without a failure, and of how many parameters."""
    folder = new_folder()
    done = command(folder, *PLAIN, STEPS)
    assert done.returncode == 0, done.stderr
    (run,) = recorded(folder)
    return stored(folder / "mlflow.db", run.info.run_id), run.data.params.keys()


@pytest.mark.thorough
@posix
def test_a_server_that_is_killed_in_the_middle_gets_the_whole_record_when_it_is_back(
    tmp_path, command, reference, migrated_database
):
    from mlflow import MlflowClient

    shutil.copy(migrated_database, tmp_path / "server.db")
    port = free_port()
    faulty(tmp_path, 20, "os.killpg(int(pathlib.Path('server.pid').read_text()), signal.SIGKILL)")
    with server(tmp_path, port) as uri:
        done = command(tmp_path, *USED, STEPS, f"tracking.uri={uri}")
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if not line.startswith("step ")]
    assert len(told) == 2 and told[0].startswith("rnnexp: MLflow is not accepting data ("), told
    assert f"(the tracking server {uri} does not answer: " in told[0]
    assert told[1].endswith("python -m rnnexp.tracking sync")
    assert "not uploaded yet    python -m rnnexp.tracking sync" in done.stdout
    with server(tmp_path, port) as uri:
        synced = tracking(tmp_path, "sync")
        assert (synced.returncode, synced.stderr) == (0, "")
        client = MlflowClient(tracking_uri=uri)
        (run,) = client.search_runs([client.get_experiment_by_name("rnnexp").experiment_id])
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert run.info.run_id in synced.stdout
    assert run.info.status == "FINISHED"
    points, params = reference
    assert stored(tmp_path / "server.db", run.info.run_id) == points
    assert set(points.values()) == {1}
    assert run.data.params.keys() == params
    assert {"metrics.csv", "config.yaml", "gradient_report.html"} <= files
    assert unfinished(tmp_path) == []


def test_a_database_that_is_back_before_the_end_gets_all_of_it_by_itself(folder, command, recorded, reference):
    faulty(
        folder,
        12,
        BREAK + "\n        if updates == 25:\n            os.rmdir('mlflow.db'); os.rename('aside.db', 'mlflow.db')",
    )
    done = command(folder, *USED, STEPS)
    assert done.returncode == 0, done.stderr
    assert "MLflow is not accepting data" in done.stderr
    assert "not uploaded" not in done.stdout
    (run,) = recorded(folder)
    assert run.info.status == "FINISHED"
    assert stored(folder / "mlflow.db", run.info.run_id) == reference[0]
    assert unfinished(folder) == []


REPLACED = {
    "by another database": "import shutil; shutil.copy('mlflow.db', 'new.db'); os.replace('new.db', 'mlflow.db')",
    "by one without this run": "import shutil; shutil.copy('empty.db', 'new.db'); os.replace('new.db', 'mlflow.db')",
    "by nothing": "os.rename('mlflow.db', 'aside.db')",
}


@pytest.mark.parametrize("how", REPLACED)
def test_a_database_that_is_replaced_or_removed_loses_nothing(folder, command, recorded, reference, how):
    shutil.copy(folder / "mlflow.db", folder / "empty.db")
    faulty(folder, 20, REPLACED[how])
    done = command(folder, *USED, STEPS)
    assert done.returncode == 1
    assert "MLflow is not accepting data (" in done.stderr and "FINISHED" in done.stdout
    problem, hint = done.stderr.splitlines()[-2:]
    assert ("any more" if how == "by nothing" else "was replaced by another file") in problem
    assert "python -m rnnexp.tracking sync" in hint
    if how == "by nothing":
        assert hint.partition("; ")[2].startswith("put it back, or record another run")
        shutil.copy(folder / "empty.db", folder / "mlflow.db")
    for _ in range(2):
        synced = tracking(folder, "sync")
        assert synced.returncode == 0, synced.stderr
        (run,) = recorded(folder)
        assert run.info.status == "FINISHED"
        assert stored(folder / "mlflow.db", run.info.run_id) == reference[0]
        assert unfinished(folder) == []


@pytest.mark.thorough
def test_a_sweep_whose_database_is_replaced_says_so(folder, command, recorded):
    shutil.copy(folder / "mlflow.db", folder / "empty.db")
    faulty(folder, 15, REPLACED["by one without this run"])
    done = command(folder, "-m", *USED, "steps=10", "seed=0,1")
    assert done.returncode == 1 and "was replaced by another file" in done.stderr.splitlines()[-2]
    assert tracking(folder, "sync").returncode == 0
    runs = recorded(folder)
    assert [run.info.status for run in runs] == ["FINISHED"] * 3
    (parent,) = parents(runs)
    assert [job.data.params["seed"] for job in children(runs, parent)] == ["0", "1"]


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small file system")
def test_a_disk_that_is_full_is_told_at_once_and_at_the_end_with_what_is_missing(folder, command, recorded, reference):
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted: {mounted.stderr.strip()}")
    fill = "file = os.open('disk/ballast', os.O_WRONLY | os.O_CREAT)"
    fill += "\n            while True:\n                try:\n                    os.write(file, bytes(4096))"
    fill += "\n                except OSError:\n                    break"
    faulty(folder, 20, fill)
    try:
        done = command(folder, *USED, STEPS, "hydra.run.dir=disk/run")
        written = {path.name for path in (disk / "run").iterdir()}
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("rnnexp: ")]
    told = [line for line in lines if " is left out: " not in line]  # the page, which is an extra
    assert len(told) == 2, done.stderr
    assert "run.jsonl can't be written: No space left on device; training continues" in told[0]
    assert "not everything could be written" in told[1]
    assert "metrics.csv" in told[1] and "metrics.csv" not in written
    (run,) = recorded(folder)
    assert run.info.status == "FAILED", "it is to be run again"
    assert "metrics.csv" in run.data.tags["error"]
    assert stored(folder / "mlflow.db", run.info.run_id) == reference[0]


@posix
@pytest.mark.parametrize("swept", [(), ("-m", "seed=0,1")], ids=["run", "sweep"])
def test_a_killed_run_keeps_what_it_measured_and_is_ended_by_the_next_one(folder, command, recorded, swept):
    faulty(folder, 33, "os.kill(os.getpid(), signal.SIGKILL)")
    assert command(folder, *swept, *USED, STEPS).returncode == -9
    killed = recorded(folder)
    assert {run.info.status for run in killed} == {"RUNNING"}
    assert len(killed) == (2 if swept else 1)
    (log,) = folder.glob("*/*/*/0/run.jsonl" if swept else "*/*/*/run.jsonl")
    kept = set(logged(log.parent))
    assert max(step for _, step, _ in kept) == 32
    run = killed[-1].info.run_id
    assert set(stored(folder / "mlflow.db", run)) == kept
    assert command(folder, *PLAIN, "steps=5").returncode == 0
    *ended, new = recorded(folder)
    assert {run.info.status for run in ended} == {"KILLED"}
    assert {run.data.tags["error"] for run in ended} == {DIED_SILENTLY}
    assert new.info.status == "FINISHED"


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crowd")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, "-c", EIGHT], cwd=folder, env=kept, capture_output=True, text=True, timeout=300
    )
    return folder, done


@pytest.mark.thorough
@posix
def test_eight_processes_begin_at_once_where_there_is_no_database(crowd, recorded):
    folder, done = crowd
    assert done.returncode == 0, done.stderr
    runs = recorded(folder, "crowd")
    assert sorted(run.info.run_name for run in runs) == sorted(f"{p}-{n}" for p in range(8) for n in range(3))


@posix
def test_the_records_of_eight_writers_are_complete(crowd, recorded):
    folder, _ = crowd
    synced = tracking(folder, "sync")  # for those that had to wait too long for the others
    assert synced.returncode == 0, synced.stderr
    for run in recorded(folder, "crowd"):
        process, number = map(int, run.info.run_name.split("-"))
        assert run.info.status == "FINISHED"
        assert run.data.params == {"process": str(process)}
        value = process + number / 8
        points = {(f"metric{name}", step, value + name / 512): 1 for step in range(14) for name in range(40)}
        assert stored(folder / "mlflow.db", run.info.run_id) == points


@pytest.mark.thorough
def test_two_sweeps_that_begin_at_once_in_one_folder_are_not_mixed(folder, recorded):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "HYDRA_"))}
    seeds = {"left": (0, 1), "right": (2, 3)}
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "rnnexp", "-m", *PLAIN, "steps=10", f"run_name={name}", f"seed={first},{second}"],
            cwd=folder,
            env=kept,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, (first, second) in seeds.items()
    ]
    for process in both:
        assert process.communicate(timeout=120)[1] == "" and process.returncode == 0
    runs = recorded(folder)
    assert {run.info.status for run in runs} == {"FINISHED"}
    found = {parent.info.run_name: parent for parent in parents(runs)}
    assert sorted(found) == ["left", "right"] and len(runs) == 6
    for name, parent in found.items():
        jobs = children(runs, parent)
        assert [int(job.data.params["seed"]) for job in jobs] == list(seeds[name])
        assert {job.data.tags["rnnexp.sweep"] for job in jobs} == {parent.data.tags["rnnexp.sweep"]}
    assert len(sweep_folders(folder)) == 2
    for sweep in sweep_folders(folder):
        for record in job_records(sweep):
            points = as_it_came(stored(folder / "mlflow.db", record["run"]))
            assert fewer(points, measured(sweep / str(record["number"])))
