"""python -m rnnexp.evaluate and python -m rnnexp.sample: what they print and record, and what they refuse."""

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from companions import called
from sweep_helpers import client
from trained_runs import train

import rnnexp
from rnnexp.command import evaluate, sample
from rnnexp.tracking.sync import sync_folders


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with a run of each kind."""
    place = tmp_path_factory.mktemp("runs")
    text = place / "words.txt"
    text.write_text("the cat sat on the mat; the dog saw the cat. " * 30, encoding="utf-8")
    train(place / "recall", "task.lag=3")
    train(place / "text", "task=text", f"task.path={text}", "output_size=8")
    train(place / "sine", "task=sine")
    return place


@pytest.fixture
def run(here, monkeypatch, capsys):
    """Run one of the commands in this process."""
    monkeypatch.chdir(here)

    def call(module, *arguments):
        return called(module.main, arguments, capsys)

    return call


def python(here, *arguments):
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=120)


def test_the_modules_are_the_commands(here, run):
    done = python(here, "rnnexp.evaluate", "recall", "task.lag=2,4", "--json")
    assert done.stdout == run(evaluate, "recall", "task.lag=2,4", "--json").stdout
    assert (done.returncode, done.stderr) == (0, "")
    done = python(here, "rnnexp.sample", "text", "--prompt", "the c", "--length", "40", "--temperature", "0.7")
    assert done.stdout == run(sample, "text", "--prompt", "the c", "--length", "40", "--temperature", "0.7").stdout
    assert (done.returncode, done.stderr, len(done.stdout)) == (0, "", 40)
    assert callable(rnnexp.evaluate)


def test_a_grid_has_a_row_for_each_combination(run):
    done = run(evaluate, "recall", "task.lag=2,4,8", "task.eval_sequences=10,20", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    rows = found["rows"]
    assert [(row["task.lag"], row["task.eval_sequences"]) for row in rows] == [
        (lag, count) for lag in (2, 4, 8) for count in (10, 20)
    ]
    trained = rnnexp.load("recall")
    for row in rows:
        expected = trained.evaluate(lag=row["task.lag"], eval_sequences=row["task.eval_sequences"])
        assert (row["loss"], row["accuracy"]) == (expected.loss, expected.accuracy)
        assert row["baseline"] == expected.baseline.loss
        assert row["solved"] is expected.solved
    assert (found["step"], found["task"]) == (30, "recall")


def test_the_table_shows_the_same_numbers(run):
    done = run(evaluate, "recall", "task.lag=range(2,5)", "--gradients")
    head, names, *rows = done.stdout.splitlines()
    assert head.startswith("Trained(task=recall")
    assert names.split()[:4] == ["task.lag", "loss", "baseline", "loss_over_baseline"]
    assert names.split()[-3:] == ["solved", "log10_ratio", "decay_rate"]
    assert [row.split()[0] for row in rows] == ["2", "3", "4"]
    loss = rnnexp.load("recall").evaluate(lag=2).loss
    assert rows[0].split()[1] == f"{loss:.4g}"


def test_without_settings_it_is_evaluated_as_it_was_trained(run):
    (row,) = json.loads(run(evaluate, "recall", "--json", "--which", "last").stdout)["rows"]
    assert row["loss"] == rnnexp.load("recall", which="last").loss


def test_all_numbers_of_the_gradient_are_in_the_json(run):
    (row,) = json.loads(run(evaluate, "recall", "task.lag=5", "--gradients", "--json").stdout)["rows"]
    study = rnnexp.load("recall").gradients(lag=5).metrics()
    assert {"gradient/decay_rate", "recurrent/spectral_radius"} <= study.keys() <= row.keys()
    assert row["gradient/log10_ratio"] == study["gradient/log10_ratio"]


def test_the_text_is_all_that_is_printed(run):
    done = run(sample, "text", "--prompt", "the ü", "--length", "33", "--seed", "4")
    assert done.stdout == rnnexp.load("text").generate("the ü", 33, rng=np.random.default_rng(4))
    assert done.stderr == "rnnexp: not in the vocabulary, and read as its unknown symbol: 'ü'\n"


def test_a_series_is_printed_as_csv_beside_the_true_one(run):
    rows = list(csv.DictReader(io.StringIO(run(sample, "sine", "--prompt", "30", "--length", "5").stdout)))
    assert len(rows) == 35
    series = rnnexp.load("sine").generate(30, 5)
    assert [row["generated"] for row in rows[:30]] == [""] * 30
    assert np.allclose([float(row["generated"]) for row in rows[30:]], series.generated[:, 0])
    assert np.allclose([float(row["true"]) for row in rows], series.true[:, 0])


def test_figure_and_numbers_go_into_files(run, tmp_path):
    figure, numbers = tmp_path / "next.png", tmp_path / "next.csv"
    done = run(sample, "sine", "--out", str(figure), "--out", str(numbers))
    assert (done.returncode, done.stdout) == (0, "")
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert len(numbers.read_text().splitlines()) == 301


MISTAKES = [
    (evaluate, ["recall", "lag=5"], "got lag=5", "did you mean 'task.lag'?"),
    (evaluate, ["recall", "hidden_size=5"], "only settings of its task, recall,", "they are task.lag"),
    (evaluate, ["recall", "task=echo"], "got task=echo", "they are task.lag"),
    (evaluate, ["recall", "task.path=x"], "got task.path=x", "they are task.lag"),
    (evaluate, ["recall", "task.lag=0"], "task.lag must be a whole number >= 1, got 0", ""),
    (evaluate, ["recall", "task.lag=5,x"], "task.lag must be a whole number >= 1, got x", ""),
    (evaluate, ["recall", "task.lag=interval(1,2)"], "values that can be enumerated", "task.lag=range(1,6)"),
    (evaluate, ["recall", "task.lag=1,,2"], "cannot parse the argument", ""),
    (evaluate, ["recall", "task.distractors=2,5"], "10 tokens, not 7 tokens", "task=recall task.distractors=5"),
    (evaluate, ["recall", "task.lag=2,3", "task.distractors=1,2", "--record"], "--record needs one key", "task.lag=5"),
    (evaluate, ["recall", "--record"], "--record needs one key", "task.lag=5,10,20 --record"),
    (evaluate, ["sine", "task.shortest=3.5", "--record"], "--record needs whole numbers", "--json"),
    (evaluate, ["recall/checkpoints", "--which", "first"], "cannot parse the command line", "--help"),
    (evaluate, ["recall/checkpoints/best.npz", "--which", "best"], "--which must be left out", "run folder"),
    (evaluate, ["0" * 32], "there is no tracking database", "start from the folder"),
    (sample, ["recall"], "can't continue sequences of task=recall", "text, sine and mackey_glass can"),
    (sample, ["text", "--prompt", "ÄÖ", "--length", "0"], "--length must be a whole number >= 1", "--help"),
    (sample, ["text", "--temperature", "-1"], "--temperature must be a number >= 0", "--help"),
    (sample, ["text", "--out", "x.png"], "--out must be left out for a text", "> sample.txt"),
    (sample, ["text", "--seed", "-1"], "--seed must be a whole number >= 0", "--seed 1"),
    (sample, ["sine", "--prompt", "def"], "--prompt must be a number of steps", "--prompt 100"),
    (sample, ["sine", "--temperature", "1"], "--temperature must be left out for a series", "it is for text"),
    (
        sample,
        ["sine", "--out", "x.gif"],
        "--out must be a file .png, .pdf, .svg, .jpg, .tif, .webp or .csv",
        "--out next.png",
    ),
    (sample, ["sine", "--out", "nowhere/x.png"], "--out must be a file that can be written", "No such file"),
]


@pytest.mark.parametrize(("module", "arguments", "problem", "hint"), MISTAKES, ids=[" ".join(m[1]) for m in MISTAKES])
def test_a_mistake_is_answered_in_two_lines_and_leaves_nothing(run, here, module, arguments, problem, hint):
    before = sorted(here.rglob("*")), (here / "recall" / "run.jsonl").read_bytes()
    done = run(module, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 2
    assert problem in done.stderr.splitlines()[0]
    assert hint in done.stderr.splitlines()[1]
    assert (sorted(here.rglob("*")), (here / "recall" / "run.jsonl").read_bytes()) == before


@pytest.fixture
def recorded_run(folder, command, recorded, run, monkeypatch):
    """A run in MLflow, in the current folder: its id."""
    done = command(folder, "steps=20", "hidden_size=5", "task.lag=3")
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(folder)
    (found,) = recorded(folder)
    return found.info.run_id


def test_recorded_numbers_are_in_the_run_by_value(recorded_run, folder, run, tmp_path, monkeypatch):
    done = run(evaluate, recorded_run, "task.lag=2,5", "task.eval_sequences=50", "--record")
    assert done.returncode == 0, done.stderr
    assert f"to run {recorded_run}, FINISHED" in done.stdout
    again = run(evaluate, recorded_run, "task.lag=5,9", "task.eval_sequences=50", "--record", "--json")
    rows = json.loads(again.stdout)["rows"]
    reader = client(folder / "mlflow.db")

    def curve(name):
        return [(point.step, point.value) for point in reader.get_metric_history(recorded_run, name)]

    trained = rnnexp.load(recorded_run)
    expected = [(lag, trained.evaluate(lag=lag, eval_sequences=50)) for lag in (2, 5, 9)]
    assert curve("generalization/lag/loss") == [(lag, found.loss) for lag, found in expected]
    assert curve("generalization/lag/solved") == [(lag, float(found.solved)) for lag, found in expected]
    assert rows[1]["loss"] == expected[2][1].loss
    assert reader.get_run(recorded_run).info.status == "FINISHED"
    table = trained.metrics
    assert table[table.metric == "generalization/lag/loss"].step.tolist() == [2, 5, 9]
    refused = run(evaluate, recorded_run, "task.lag=5", "task.eval_sequences=51", "--record")
    assert refused.returncode == 1
    assert "the run has generalization/lag/loss at 5 already" in refused.stderr
    assert curve("generalization/lag/loss") == [(lag, found.loss) for lag, found in expected]
    # From elsewhere the store has to be named, and the hints do.
    monkeypatch.chdir(tmp_path)
    assert "there is no tracking database" in run(evaluate, recorded_run).stderr
    there = f"sqlite:///{folder / 'mlflow.db'}"
    assert run(evaluate, recorded_run, "--uri", there).returncode == 0
    missing = run(evaluate, "f" * 32, "--uri", there)
    assert "the run must be a run in" in missing.stderr
    assert "give --uri ... if it is in another" in missing.stderr
    with pytest.raises(rnnexp.checks.UserError, match="must be a run in") as refusal:
        rnnexp.load("f" * 32, uri=there)
    assert refusal.value.hint == "give uri=... if it is in another"


def test_points_that_the_store_does_not_take_wait_in_the_log(recorded_run, folder, run):
    database = folder / "mlflow.db"
    run_folder = rnnexp.load(recorded_run).folder
    database.rename(folder / "away.db")
    done = run(evaluate, str(run_folder), "task.lag=2", "--record")
    assert done.returncode == 1
    assert "and not in MLflow" in done.stderr
    assert f"python -m rnnexp.tracking sync {run_folder}" in done.stderr
    (folder / "away.db").rename(database)
    assert sync_folders([str(run_folder)], None) == 0
    assert [point.step for point in client(database).get_metric_history(recorded_run, "generalization/lag/loss")] == [2]


def test_a_sweep_is_not_a_run_and_its_jobs_are_named(folder, command, recorded, run, monkeypatch):
    done = command(folder, "-m", "seed=0,1", "steps=10", "hidden_size=4")
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(folder)
    (parent,) = [one for one in recorded(folder) if one.data.tags["rnnexp.kind"] == "sweep"]
    assert "the run must be a single run, not a whole sweep" in run(evaluate, parent.info.run_id).stderr
    (place,) = folder.glob("multirun/*/*")
    problem, hint = run(evaluate, str(place)).stderr.splitlines()
    assert "there is no checkpoint in" in problem
    assert "it is the folder of a sweep" in hint
    assert run(evaluate, hint.partition("such as ")[2]).returncode == 0


def test_a_checkpoint_without_its_run_cannot_be_recorded_in(here, run, tmp_path):
    alone = tmp_path / "alone.npz"
    alone.write_bytes((here / "recall" / "checkpoints" / "best.npz").read_bytes())
    done = run(evaluate, str(alone), "task.lag=2", "--record")
    assert "a checkpoint without its run folder has no record to write into" in done.stderr


def test_a_run_that_has_not_ended_is_not_recorded_in(run, tmp_path):
    log = train(tmp_path / "alone", "task.lag=3") / "run.jsonl"
    log.write_text("".join(line for line in log.read_text().splitlines(keepends=True) if not line.startswith('{"end"')))
    done = run(evaluate, str(log.parent), "task.lag=2", "--record")
    assert (done.returncode, done.stdout) == (1, "")
    assert "has not ended" in done.stderr
    assert run(evaluate, str(log.parent), "task.lag=2").returncode == 0


def test_a_run_without_mlflow_has_them_in_its_log(here, run, tmp_path):
    place = train(tmp_path / "alone", "task.lag=3")
    done = run(evaluate, str(place), "task.lag=2,4", "--record")
    assert done.stdout.endswith(f"points in {place / 'run.jsonl'}\n")
    table = rnnexp.load(place).metrics
    assert table[table.metric == "generalization/lag/loss"].step.tolist() == [2, 4]
