"""Every recipe at its quick size, and its analysis from the recorded runs to the figure and the table."""

import csv
import importlib.util
import io
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from compositions import composing, master

from rnnexp.build import build_experiment
from rnnexp.checks import UserError
from rnnexp.recipe import StudyPlan, of_study, planned, recipe_runs, with_settings_of
from rnnexp.sweeps.composition import Composer

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
    assert f"missing: {len(planned(recipe))} of the {len(planned(recipe))} runs" in done.stdout.splitlines()[0]
    monkeypatch.chdir(folder)
    draws_what_there_is(recipe, folder)


def loaded(recipe):
    """The analysis of a study, as a module."""
    spec = importlib.util.spec_from_file_location("analyse", ROOT / "experiments" / recipe / "analyse.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def draws_what_there_is(recipe, folder):
    """A sweep that was killed leaves its first runs, or after its first command's clean-up the last ones."""
    analysis = loaded(recipe)
    quick = recipe_runs(ROOT / "experiments" / recipe, uri=None, query=None, out=None)
    assert quick.out == Path(f"{recipe}-incomplete")  # and not beside the script, where the whole study's are
    for few in (quick.table.iloc[:1], quick.table.iloc[-1:]):
        analysis.analyse(replace(quick, table=few, out=folder))
        assert (folder / "figure.png").stat().st_size > 5_000
        assert (folder / "table.csv").read_text()


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_study_has_a_readme_with_its_commands_its_figure_and_its_cost(recipe):
    folder = ROOT / "experiments" / recipe
    readme = (folder / "README.md").read_text(encoding="utf-8")
    shown = [line for line in readme.splitlines() if line.startswith("python -m rnnexp -m ")]
    assert commands(recipe)[0] == shown
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
            for command, job in planned(recipe) + planned(recipe, quick=True):
                own = [each for each in job if not each.startswith("hydra/")]
                alike = tuple(re.sub(r"=[-\d.e]+$", "", each) for each in own)  # but for numbers
                if alike in seen:
                    continue
                seen.add(alike)
                try:
                    settings = composer.job(own, len(seen)).settings
                    build_experiment(settings)
                except Exception as error:
                    pytest.fail(f"conf/experiment/{recipe}.yaml: python -m rnnexp -m {command}\n{error}")
                assert settings["tracking"]["experiment"] == recipe  # what keeps two studies in a database apart


#: Two have tables of curves, and of single runs.
@pytest.mark.parametrize("recipe", sorted({*RECIPES} - {"initial_gradients", "influence_balancing"}))
def test_the_table_of_a_study_is_that_of_its_rows(recipe):
    folder, analysis = ROOT / "experiments" / recipe, loaded(recipe)
    rows = pd.read_csv(folder / "runs.csv")
    rows = analysis.compared(rows) if recipe == "immediate_derivatives" else rows
    made = analysis.counts(rows) if recipe == "fixed_points" else analysis.summarise(rows)
    made = pd.read_csv(io.StringIO(made.to_csv(index=made.index.names != [None])))
    shown = pd.read_csv(folder / "table.csv")
    shown = shown[shown["cell"] != "counts"] if recipe == "truncated_text" else shown
    keys = [name for name in made if not pd.api.types.is_float_dtype(made[name])]
    made, shown = (table.sort_values(keys, ignore_index=True) for table in (made, shown))
    rounded = 1e-3 if recipe == "immediate_derivatives" else 1e-4  # its shares are quotients of differences
    pd.testing.assert_frame_equal(made, shown, check_dtype=False, rtol=2e-3, atol=rounded)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_study_has_three_seeds_at_least_or_says_that_nothing_is_random(recipe):
    folder = ROOT / "experiments" / recipe
    table = pd.read_csv(folder / "table.csv")
    column = next((name for name in ("seeds", "trials") if name in table), None)
    seeds = table[column].dropna() if column else table.groupby("gradient").size()
    once = "Nothing is random" in (folder / "README.md").read_text(encoding="utf-8")
    assert len(seeds) > 1
    assert all(count >= 3 or (once and count == 1) for count in seeds)


def toy(**recorded):
    """A study of two jobs, and recorded runs of the older version, whose `bptt_length` is null, and of others."""
    settings = {"task.length": 100, "steps": 9, "bptt_length": "null", "cell": "rnn"}
    names = [["experiment=toy", f"seed={seed}"] for seed in (0, 1)]
    plan = StudyPlan([{**settings, "seed": seed} for seed in (0, 1)], names, ["experiment=toy seed=0,1"] * 2)
    columns = {
        "status": "FINISHED",
        "task.length": [100, 5, 100, 100],
        "steps": 9.0,
        "seed": [0, 1, 0, 2],
        "bptt_length": None,
        "cell": "rnn",
        "run_name": ["one", "two", "three", "four"],
        "final/eval/loss": 0.1,
    }
    return plan, pd.DataFrame(columns | recorded, index=["older", "quick", "newer", "further seed"])


def test_runs_with_other_settings_and_repeated_ones_are_not_of_a_study():
    plan, recorded = toy()
    assert plan.runs(recorded) == [["older", "newer"], []]
    assert plan.runs(recorded.assign(bptt_length=20)) == [[], []]
    assert list(with_settings_of(recorded[["seed"]], [{"seed": 1, "task.lag": 3}])) == ["seed", "task.lag"]
    later = replace(plan, jobs=[{**job, "a new setting": 1} for job in plan.jobs])
    older = recorded.assign(**{"a new setting": [None, 1, None, 1]})
    assert later.runs(older) == [["older", "newer"], []]
    assert later.runs(older.assign(**{"a new setting": 2})) == [[], []]
    windowed = replace(plan, jobs=[{**job, "bptt_length": 20} for job in plan.jobs])
    assert windowed.runs(recorded.assign(bptt_length=20)) == [["older", "newer"], []]
    assert plan.runs(recorded[["status"]]) == [[], []]  # killed before its parameters were recorded


def test_a_study_says_which_runs_are_missing_which_are_left_out_and_what_to_do(capsys):
    plan, recorded = toy()
    found, diverged, complete = of_study("toy", plan, recorded, ["tracking.uri=sqlite:///other place.db"])
    assert (list(found.index), len(diverged), complete) == (["newer"], 0, False)
    assert capsys.readouterr().out.splitlines() == [
        "missing: 1 of the 2 runs of this study; what follows is of 1",
        "  seed=1",
        "to run these only:",
        "  python -m rnnexp -m experiment=toy seed=0,1 skip_finished=true 'tracking.uri=sqlite:///other place.db'",
        "left out: of the finished runs in the experiment toy, 1 whose jobs were run again later and 2 with settings "
        "of no job (the last: seed=2)",
    ]
    ended = {"status": ["FINISHED", "FINISHED", "FAILED", "DIVERGED"], "seed": [0, 3, 1, 1], "task.length": 100}
    found, diverged, complete = of_study("toy", plan, toy(**ended)[1])
    assert (list(found.index), list(diverged.index), complete) == (["older"], ["further seed"], True)
    assert capsys.readouterr().out.splitlines() == [
        "diverged: 1 of the 2 runs of this study",  # and to run it again is no use
        "  seed=1 (DIVERGED)",
        "left out: of the finished runs in the experiment toy, 1 with settings of no job (the last: seed=3)",
    ]
    found, _, complete = of_study("toy", plan, toy(**{"seed": [0, 1, 0, 1], "task.length": 100})[1])
    assert (list(found.index), complete) == (["newer", "further seed"], True)


def test_without_a_run_of_a_study_those_of_other_settings_are_not_taken_for_it(monkeypatch):
    plan, recorded = toy(steps=20.0)
    monkeypatch.setattr(
        StudyPlan, "of", lambda name, quick: replace(plan, jobs=[{**job, "steps": 1} for job in plan.jobs])
    )
    with pytest.raises(UserError, match=r"4 have settings of no job of it \(the last: steps=20, seed=2\).*--filter"):
        of_study("toy", plan, recorded)
    with pytest.raises(UserError, match="run the commands above"):
        of_study("toy", plan, recorded.assign(status="FAILED"))


def test_every_folder_with_an_analysis_has_a_recipe():
    assert sorted(path.parent.name for path in (ROOT / "experiments").glob("*/analyse.py")) == RECIPES


def test_an_analysis_without_runs_says_what_is_missing(folder):
    script = ROOT / "experiments" / "echo_threshold" / "analyse.py"
    done = subprocess.run([sys.executable, str(script)], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1
    assert "there is no run in the MLflow experiment echo_threshold" in done.stderr
    assert "README.md" in done.stderr
    assert "Traceback" not in done.stderr
