"""Without MLflow a sweep has its account in its folder; its jobs have pictures if they are asked for."""

import csv
import json

import pytest
from sweep_helpers import job_records, last_sweep, table

SMALL = ("tracking=none", "steps=2", "gradients=off")
JOBS = ("hidden_size=2,3", "seed=range(2)")


def pictures(sweep):
    """The pictures of the jobs, by job."""
    return {path.parent.name for path in sweep.glob("*/*.png")}


@pytest.fixture(scope="module")
def sweep_of_four(tmp_path_factory, command):
    folder = tmp_path_factory.mktemp("four")
    return folder, command(folder, "-m", *SMALL, *JOBS)


def test_it_finishes_without_a_database(sweep_of_four):
    folder, done = sweep_of_four
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert [path.name for path in folder.iterdir()] == ["multirun"]
    assert "4 FINISHED" in done.stdout.splitlines()
    assert "MLflow" not in done.stdout and "http://" not in done.stdout
    assert len(table(done.stdout)) == 5


def test_the_comparison_is_in_the_folder_of_the_sweep(sweep_of_four):
    sweep = last_sweep(sweep_of_four[0])
    with (sweep / "sweep.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [(str(size), str(seed)) for size in (2, 3) for seed in range(2)]
    assert [(row["hidden_size"], row["seed"]) for row in rows] == expected
    assert {row["status"] for row in rows} == {"FINISHED"}
    assert all(float(row["final/eval/loss"]) > 0 for row in rows)
    assert "hidden_size" in (sweep / "sweep.html").read_text(encoding="utf-8")
    assert list(sweep.glob("*.png"))


def test_jobs_have_no_pictures_of_their_own(sweep_of_four):
    sweep = last_sweep(sweep_of_four[0])
    assert len(job_records(sweep)) == 4
    assert pictures(sweep) == set()
    for number in range(4):
        assert (sweep / str(number) / "metrics.csv").is_file()
        summary = json.loads((sweep / str(number) / "summary.json").read_text())
        assert (summary["status"], summary["run"], summary["job"]) == ("FINISHED", None, number)


def test_they_are_drawn_if_asked_for(tmp_path, command):
    done = command(tmp_path, "-m", *SMALL, "seed=0,1", "tracking.figures=true", "tracking.formats=[pdf,svg]")
    assert done.returncode == 0, done.stderr
    sweep = last_sweep(tmp_path)
    assert {path.suffix for path in sweep.rglob("*loss*.*")} == {".pdf", ".svg"}
    assert {path.parent.name for path in sweep.glob("*/loss.pdf")} == {"0", "1"}
    assert {path.stem for path in sweep.glob("*.svg")} == {path.stem for path in sweep.glob("*.pdf")} != set()
    assert "data:image/svg+xml;base64," in (sweep / "sweep.html").read_text(encoding="utf-8")


def test_whatever_differs_is_in_the_comparison(tmp_path, command):
    differs = {
        "initializer@init.output": ["orthogonal", "glorot"],
        "init.recurrent": ["{gain:1}", "{gain:2}"],
        "freeze": ["null", "embedding"],
    }
    swept = [f"{key}={','.join(values)}" for key, values in differs.items()]
    done = command(tmp_path, "-m", *SMALL, "tracking.figures=false", *swept)
    assert done.returncode == 0, done.stderr
    with (last_sweep(tmp_path) / "sweep.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for column, (key, values) in enumerate(differs.items(), start=1):
        assert {row[column] for row in table(done.stdout)[1:]} == set(values)
        told = [row[key] for row in rows]
        assert len(set(told)) == 2 and "" not in told, (key, told)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("subdir", "names"),
    [
        ("${hydra.job.num}", ["0", "1", "2", "3"]),
        ("h${hidden_size}_${hydra.job.num}", ["h2_0", "h3_1", "h2_2", "h3_3"]),
        ("${hydra.job.override_dirname}", [f"hidden_size={h},seed={s}" for s in (0, 1) for h in (2, 3)]),
    ],
)
def test_a_jobs_folder_may_be_named_by_its_own_values(tmp_path, command, subdir, names):
    usual = [
        f"hydra.sweep.subdir={subdir}",
        "hydra.sweep.dir=swept",
        "hydra.job.config.override_dirname.exclude_keys=[tracking,steps,gradients]",
    ]
    done = command(tmp_path, "-m", *SMALL, *usual, "seed=0,1", "hidden_size=2,3")
    assert done.returncode == 0, done.stderr
    for name, (seed, size) in zip(names, [(0, 2), (0, 3), (1, 2), (1, 3)], strict=True):
        settings = (tmp_path / "swept" / name / "config.yaml").read_text().splitlines()
        assert f"seed: {seed}" in settings and f"hidden_size: {size}" in settings
