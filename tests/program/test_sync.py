"""`python -m rnnexp.tracking sync` uploads what a store did not accept, all of it, and once."""

import pytest
from failing_stores import (
    BREAK,
    USED,
    as_it_came,
    faulty,
    fewer,
    measured,
    mend,
    run_folder,
    stored,
    tracking,
    unfinished,
)
from sweep_helpers import children, last_sweep, parents

from rnnexp.tracking.run_log import RUN_LOG


@pytest.fixture(scope="module")
def left_behind(new_folder, command):
    """A folder with a run whose database failed in its middle and is mended now."""
    folder = new_folder()
    faulty(folder, 20, BREAK)
    done = command(folder, *USED, "steps=40")
    assert done.returncode == 0, done.stderr
    mend(folder)
    return folder, run_folder(folder) / RUN_LOG


def test_all_is_uploaded_and_nothing_twice_even_if_a_sync_is_cut_off(left_behind, recorded):
    folder, log = left_behind
    copy = log.read_bytes()
    for _ in range(2):  # the second time as if the first had been killed before it could acknowledge anything
        log.write_bytes(copy)
        done = tracking(folder, "sync")
        assert (done.returncode, done.stderr) == (0, "")
        (line,) = done.stdout.splitlines()
        (run,) = recorded(folder)
        assert line.startswith("outputs/") and line.endswith(f"to run {run.info.run_id}, FINISHED")
        assert log.read_bytes().startswith(copy)
        assert run.info.status == "FINISHED"
        assert run.data.params["steps"] == "40"
        assert [given.dataset.name for given in run.inputs.dataset_inputs] == ["recall"]
        points = stored(folder / "mlflow.db", run.info.run_id)
        assert as_it_came(points) == measured(run_folder(folder))
        assert set(points.values()) == {1}
        assert run.data.metrics["final/eval/loss"] > 0
        again = tracking(folder, "sync")
        assert (again.returncode, again.stdout) == (0, "nothing to upload in outputs, multirun\n")
    log.write_bytes(copy)
    (folder / "mlflow.db").rename(folder / "moved.db")
    try:
        lost = tracking(folder, "sync")
        assert lost.returncode == 1
        assert lost.stderr.startswith("rnnexp: outputs/") and "there is no tracking database" in lost.stderr
        assert log.read_bytes() == copy
        found = tracking(folder, "sync", "--uri", f"sqlite:///{folder}/moved.db", str(log.parent))
        assert (found.returncode, found.stderr) == (0, "")
        assert set(stored(folder / "moved.db", run.info.run_id).values()) == {1}
    finally:
        (folder / "moved.db").rename(folder / "mlflow.db")


def test_help_says_what_it_does(tmp_path):
    done = tracking(tmp_path, "sync", "--help")
    assert done.returncode == 0
    for word in ("run.jsonl", "FOLDER", "outputs and multirun", "--uri", "Nothing is stored twice"):
        assert word in " ".join(done.stdout.split())


def test_where_nothing_is_missing(tmp_path):
    done = tracking(tmp_path, "sync")
    assert (done.returncode, done.stdout, done.stderr) == (0, "nothing to upload in outputs, multirun\n", "")
    done = tracking(tmp_path, "sync", "elsewhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[0] == "rnnexp: there is no folder elsewhere"


@pytest.mark.thorough
def test_a_sweep_goes_on_when_its_database_fails_and_sync_makes_the_missing_runs(folder, command, recorded):
    faulty(folder, 15, BREAK)
    done = command(folder, "-m", *USED, "steps=10", "seed=0,1,2,3")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("rnnexp: ")]
    assert len(lines) == 1 and "MLflow is not accepting data" in lines[0], done.stderr
    mend(folder)
    synced = tracking(folder, "sync")
    assert synced.returncode == 0, synced.stderr
    runs = recorded(folder)
    (parent,) = parents(runs)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert parent.data.metrics["jobs/finished"] == 4
    jobs = children(runs, parent)
    assert [job.data.params["seed"] for job in jobs] == ["0", "1", "2", "3"]
    sweep = last_sweep(folder)
    for number, job in enumerate(jobs):
        points = stored(folder / "mlflow.db", job.info.run_id)
        assert fewer(as_it_came(points), measured(sweep / str(number)))
        assert set(points.values()) == {1}
    assert unfinished(folder) == []
