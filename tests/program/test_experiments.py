"""Every recipe at its quick size, and its analysis from the recorded runs to the figure and the table."""

import csv
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from compositions import composing, master

from rnnexp.build import build_experiment
from rnnexp.recipe import RecipeRuns, of_study, planned, with_settings_of
from rnnexp.report import runs
from rnnexp.sweeps.composition import Composer, every_job

ROOT = Path(__file__).parents[2]
RECIPES = sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml"))
QUICK = "# In seconds, to see it work:"


def commands(recipe):
    """The commands in a recipe's head: of the study's real size, and of its quick one."""
    head = []
    for line in (ROOT / "conf" / "experiment" / f"{recipe}.yaml").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        head.append(line)
    split = head.index(QUICK)
    real, quick = (
        [line.removeprefix("#   ") for line in part if line.startswith("#   python -m rnnexp ")]
        for part in (head[:split], head[split:])
    )
    assert real
    assert quick
    assert all(f"experiment={recipe}" in line.split() for line in real + quick)
    return real, quick


@pytest.mark.parametrize(
    "recipe", [pytest.param(name, marks=() if name == "copying" else pytest.mark.thorough) for name in RECIPES]
)
def test_a_study_goes_from_its_recipe_to_its_figure_and_table(recipe, folder, command, monkeypatch):
    for line in commands(recipe)[1]:
        done = command(folder, *shlex.split(line)[3:])
        assert done.returncode == 0, done.stderr
    script = ROOT / "experiments" / recipe / "analyse.py"
    out = folder / "out"
    done = subprocess.run(
        [sys.executable, str(script), "--out", str(out)], cwd=folder, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert (out / "figure.png").stat().st_size > 10_000
    with (out / "table.csv").open() as file:
        rows = list(csv.reader(file))
    with (ROOT / "experiments" / recipe / "table.csv").open() as file:
        committed = next(csv.reader(file))
    assert rows[0] == committed  # the same columns as in the table that is shown
    assert len(rows) > 2
    shown = ROOT / "experiments" / recipe / "runs.csv"
    if shown.exists():
        assert (out / "runs.csv").read_text().splitlines()[0] == shown.read_text().splitlines()[0]
    assert f"all of the {len(planned(recipe))} runs of this study are missing" in done.stdout.splitlines()[0]
    monkeypatch.chdir(folder)
    draws_what_there_is(recipe, script, folder, monkeypatch)


def draws_what_there_is(recipe, script, folder, monkeypatch):
    """A sweep that was killed leaves its first runs, or after its first command's clean-up the last ones."""
    spec = importlib.util.spec_from_file_location("analyse", script)
    analysis = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(analysis)
    table = runs(recipe)
    for at, few in enumerate((table.iloc[:1], table.iloc[-1:])):
        out = folder / f"few{at}"
        monkeypatch.setattr(
            analysis, "recipe_runs", lambda name, few=few, out=out, **_: RecipeRuns(name, few, None, out)
        )
        analysis.main()
        assert (out / "figure.png").stat().st_size > 5_000
        assert (out / "table.csv").read_text()


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_study_has_a_readme_with_its_commands_its_figure_and_its_cost(recipe):
    folder = ROOT / "experiments" / recipe
    readme = (folder / "README.md").read_text(encoding="utf-8")
    shown = [line for line in readme.splitlines() if line.startswith("python -m rnnexp -m ")]
    assert set(commands(recipe)[0]) == set(shown)
    assert f"python experiments/{recipe}/analyse.py" in readme
    assert "](figure.png)" in readme
    assert "minutes on 2 cores" in readme
    assert (folder / "figure.png").exists()
    assert (folder / "figure.png").stat().st_size < 300_000


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_study_has_a_row_for_each_run_of_its_commands(recipe):
    folder = ROOT / "experiments" / recipe
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert "`runs.csv`" in readme
    with (folder / "runs.csv").open() as file:
        rows = len(list(csv.DictReader(file)))
    # An LSTM of `initial_gradients` has two rows; `influence_balancing` has those of one step in a table of their own.
    aside = {"initial_gradients": -5, "influence_balancing": 17}.get(recipe, 0)
    assert rows + aside == len(planned(recipe))
    assert f"\n{rows + aside} runs, " in readme


def test_every_setting_of_every_study_still_exists():
    """Each command is composed, and what is composed is built, since only its class knows a component's settings."""
    with composing():
        composer, seen = Composer(master("hydra.sweep.dir=here")), set()
        for recipe in RECIPES:
            quick = [job for line in commands(recipe)[1] for job in every_job(shlex.split(line)[4:])]
            for job in planned(recipe) + quick:
                own = [each for each in job if not each.startswith("hydra/")]
                alike = tuple(re.sub(r"=[-\d.e]+$", "", each) for each in own)  # but for numbers
                if alike not in seen:
                    seen.add(alike)
                    settings = composer.job(own, len(seen)).settings
                    assert settings["tracking"]["experiment"] == recipe  # what keeps two studies in a database apart
                    build_experiment(settings)


def test_runs_with_other_settings_and_repeated_ones_are_not_of_a_study():
    plan = [{"task.length": 100, "steps": 9, "seed": seed, "bptt_length": "null", "cell": "rnn"} for seed in (0, 1)]
    recorded = pd.DataFrame(
        {
            "name": "some run",
            "task.length": [100, 5, 100, 100],
            "steps": 9.0,
            "seed": [0, 1, 0, 2],
            "bptt_length": None,
            "cell": "rnn",
            "run_name": ["one", "two", "three", "four"],
            "final/eval/loss": 0.1,
        },
        index=["older", "quick", "newer", "further seed"],
    )
    assert list(of_study(recorded, plan).index) == ["newer"]  # and the run of seed 1 is missing
    assert list(of_study(recorded.assign(bptt_length=20), plan).index) == []
    assert list(with_settings_of(recorded[["seed"]], [{"seed": 1, "task.lag": 3}])) == ["seed", "task.lag"]
    later = [{**job, "a new setting": 1} for job in plan]
    older = recorded.assign(**{"a new setting": [None, 1, None, 1]})
    assert list(of_study(older, later).index) == ["newer"]
    assert list(of_study(older.assign(**{"a new setting": 2}), later).index) == []
    assert list(of_study(recorded.assign(bptt_length=20), [{**plan[0], "bptt_length": 20}]).index) == ["newer"]


def test_every_folder_with_an_analysis_has_a_recipe():
    assert sorted(path.parent.name for path in (ROOT / "experiments").glob("*/analyse.py")) == RECIPES


def test_an_analysis_without_runs_says_what_is_missing(folder):
    script = ROOT / "experiments" / "echo_threshold" / "analyse.py"
    done = subprocess.run([sys.executable, str(script)], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1
    assert "there is no FINISHED run in the MLflow experiment echo_threshold" in done.stderr
    assert "Traceback" not in done.stderr
