"""Every recipe at a small size, and its analysis from the recorded runs to the figure and the table."""

import csv
import os
import subprocess
import sys

import pytest

STUDIES = {
    "echo_threshold": [["bptt_length=2,3", "seed=0,1", "task.lag=2", "steps=40", "hidden_size=6"]],
    "influence_balancing": [
        ["bptt_length=1,200", "steps=30"],
        ["bptt_length=1,20,60", "bptt_stride=1", "steps=1"],
        ["bptt=randomized", "bptt_length=16", "steps=30"],
    ],
    "gradient_flow": [["init=gaussian,orthogonal", "init.recurrent.gain=1,2", "task.length=20", "hidden_size=8"]],
}


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_goes_from_its_recipe_to_its_figure_and_table(study, folder, command, pytestconfig):
    for sweep in STUDIES[study]:
        done = command(folder, "-m", f"experiment={study}", *sweep)
        assert done.returncode == 0, done.stderr
    out = folder / "out"
    out.mkdir()
    script = pytestconfig.rootpath / "experiments" / study / "analyse.py"
    done = subprocess.run(
        [sys.executable, str(script), "--out", str(out)], cwd=folder, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert (out / "figure.png").stat().st_size > 10_000
    with (out / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == {"echo_threshold": 2, "influence_balancing": 3, "gradient_flow": 4}[study]
    assert done.stdout.strip()


def test_every_recipe_has_a_study_with_a_readme_that_shows_its_commands(pytestconfig):
    root = pytestconfig.rootpath
    recipes = {path.stem for path in (root / "conf" / "experiment").glob("*.yaml")}
    assert recipes == set(STUDIES)
    for name in recipes:
        readme = (root / "experiments" / name / "README.md").read_text(encoding="utf-8")
        commands = [line for line in readme.splitlines() if line.startswith("python -m rnnexp")]
        assert commands
        head = (root / "conf" / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
        assert all(f"#   {line}" in head.splitlines() for line in commands)


def test_an_analysis_without_runs_says_what_is_missing(folder, pytestconfig):
    script = pytestconfig.rootpath / "experiments" / "echo_threshold" / "analyse.py"
    done = subprocess.run([sys.executable, str(script)], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1
    assert "there is no FINISHED run in the MLflow experiment echo_threshold" in done.stderr
    assert "Traceback" not in done.stderr
