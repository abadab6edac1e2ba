"""A sweep is one thing: a parent run with a child for every job, a table, and a comparison."""

import csv
import json
import math
from urllib.parse import unquote

import pytest
from sweep_helpers import children, counts, job_records, last_sweep, parents, sweep_folders, table

GRID = ("hidden_size=4,6", "bptt_length=5,20", "seed=0,1", "steps=30", "tracking.figures=false")
JOBS = [
    {"hidden_size": str(size), "bptt_length": str(length), "seed": str(seed)}
    for size in (4, 6)
    for length in (5, 20)
    for seed in (0, 1)
]
NAMES = [", ".join(map(str, job.values())) for job in JOBS]  # what MLflow's list of runs shows is short


@pytest.fixture(scope="module")
def sweep_in(new_folder):
    return new_folder()


@pytest.fixture(scope="module")
def done(sweep_in, command):
    finished = command(sweep_in, "-m", *GRID)
    assert finished.returncode == 0, finished.stderr
    return finished


@pytest.fixture(scope="module")
def runs(done, sweep_in, recorded):
    return recorded(sweep_in)


@pytest.fixture(scope="module")
def parent(runs):
    (only,) = parents(runs)
    return only


def test_there_is_one_parent_with_a_child_for_every_job_and_nothing_else(runs, parent):
    assert len(runs) == 9
    assert len(children(runs, parent)) == 8


def test_children_are_named_by_what_differs(runs, parent):
    assert [run.info.run_name for run in children(runs, parent)] == NAMES


def test_children_hold_their_values_and_are_finished(runs, parent):
    for run, job in zip(children(runs, parent), JOBS, strict=True):
        assert run.info.status == "FINISHED"
        assert run.data.tags["rnnexp.kind"] == "run"
        for key, value in job.items():
            assert run.data.params[key] == value
        assert run.data.params["steps"] == "30"


def test_parent_and_children_share_the_id_of_the_sweep(runs, parent, sweep_in):
    ids = {run.data.tags["rnnexp.sweep"] for run in runs}
    assert len(ids) == 1
    assert ids == {json.loads((last_sweep(sweep_in) / "sweep.json").read_text())["id"]}


def test_the_parent_is_finished_and_holds_the_overrides_and_the_counts(parent):
    assert parent.info.status == "FINISHED"
    assert parent.data.params["overrides"] == " ".join(GRID)
    assert counts(parent) == {"finished": 8}
    assert set(parent.data.metrics) >= {
        f"jobs/{name}" for name in ("finished", "skipped", "failed", "diverged", "killed", "not_run")
    }
    assert "error" not in parent.data.tags


def test_the_best_child_is_the_one_with_the_smallest_loss(runs, parent):
    losses = [run.data.metrics["final/eval/loss"] for run in children(runs, parent)]
    best, job = children(runs, parent)[losses.index(min(losses))], JOBS[losses.index(min(losses))]
    assert parent.data.tags["rnnexp.best_run"] == best.info.run_id
    assert parent.data.tags["rnnexp.best_job"] == ", ".join(f"{key}={value}" for key, value in job.items())
    assert parent.data.metrics["jobs/best_loss"] == min(losses)


def test_stdout_has_a_table_of_the_jobs_and_the_best(runs, parent, done):
    rows = table(done.stdout)
    assert rows[0] == ["job", "hidden_size", "bptt_length", "seed", "status", "final", "loss"]
    losses = [run.data.metrics["final/eval/loss"] for run in children(runs, parent)]
    expected = [
        [str(number), *job.values(), "FINISHED", f"{loss:.6g}"]
        for number, (job, loss) in enumerate(zip(JOBS, losses, strict=True))
    ]
    assert rows[1:] == expected
    assert "8 FINISHED" in done.stdout.splitlines()
    assert parent.data.tags["rnnexp.best_job"] in next(
        line for line in done.stdout.splitlines() if line.startswith("best ")
    )


def test_stdout_has_the_links_to_the_charts_and_the_comparison(runs, parent, done):
    lines = {line.split()[0]: unquote(line.split()[-1]) for line in done.stdout.splitlines() if "http://" in line}
    experiment = parent.info.experiment_id
    assert lines["charts"].startswith(f"http://127.0.0.1:5000/#/experiments/{experiment}/")
    assert f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'" in lines["charts"]
    assert lines["comparison"].startswith("http://127.0.0.1:5000/#/compare-runs?")
    for run in children(runs, parent):
        assert f'"{run.info.run_id}"' in lines["comparison"]


def test_nothing_is_complained_of(done):
    assert done.stderr == ""


def test_the_comparison_is_kept_with_the_parent_and_in_the_folder(parent, sweep_in, artifacts):
    kept = {path.name for path in artifacts(parent).iterdir()}
    assert kept >= {"sweep.csv", "sweep.html"}
    pictures = {name for name in kept if name.endswith(".png")}
    assert pictures
    in_folder = {path.name for path in last_sweep(sweep_in).iterdir() if path.is_file()}
    assert in_folder >= {"sweep.csv", "sweep.html", *pictures}
    for name in pictures:
        assert (artifacts(parent) / name).read_bytes().startswith(b"\x89PNG")


def test_the_comparison_as_csv_has_every_job_with_its_values(runs, parent, artifacts):
    with (artifacts(parent) / "sweep.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    for row, job, run in zip(rows, JOBS, children(runs, parent), strict=True):
        assert row["run"] == run.info.run_id
        assert {key: row[key] for key in job} == job
        assert row["status"] == "FINISHED"
        assert math.isclose(float(row["final/eval/loss"]), run.data.metrics["final/eval/loss"], rel_tol=1e-6)


def test_the_comparison_as_html_stands_on_its_own(artifacts, parent):
    page = (artifacts(parent) / "sweep.html").read_text(encoding="utf-8")
    assert "hidden_size" in page and "bptt_length" in page
    assert "data:image/png;base64," in page
    assert 'src="http' not in page and "<script src" not in page


def test_the_note_of_the_parent_has_the_table(parent):
    note = parent.data.tags["mlflow.note.content"]
    for number in range(8):
        assert any(line.split()[:1] == [str(number)] for line in note.splitlines())
    assert "8 FINISHED" in note


def test_every_job_left_its_record_and_its_folder(runs, parent, sweep_in):
    assert len(sweep_folders(sweep_in)) == 1
    sweep = last_sweep(sweep_in)
    records = job_records(sweep)
    assert [record["number"] for record in records] == list(range(8))
    assert [record["run"] for record in records] == [run.info.run_id for run in children(runs, parent)]
    assert {record["status"] for record in records} == {"FINISHED"}
    for number in range(8):
        for name in ("config.yaml", "metrics.csv"):
            assert (sweep / str(number) / name).is_file()
    assert not list(sweep.rglob("*.tmp"))


def test_a_sweep_over_recipes_is_recorded_in_one_experiment(folder, command, recorded):
    """Of the sweep, not of each recipe: else neither the links nor the report would find its jobs."""
    recipes = ("experiment=echo_threshold,two_lag", "hidden_size=4", "steps=2", "eval_every=2", "batch_size=4")
    done = command(folder, "-m", *recipes, "tracking.figures=false")
    assert done.returncode == 0, done.stderr
    runs = recorded(folder)
    (parent,) = parents(runs)
    assert [run.info.experiment_id for run in children(runs, parent)] == [parent.info.experiment_id] * 2
    config = (last_sweep(folder) / "0" / "config.yaml").read_text(encoding="utf-8")
    assert "experiment: rnnexp" in config
