"""What fails after training is reported in a line: the run is FINISHED in MLflow, on the screen and in the table."""

import csv

import pytest
from sweep_helpers import children, last_sweep, parents, table

SHORT = ("steps=6", "hidden_size=3")
#: Everything that comes after training fails.
FAULTY = """
import matplotlib.figure
from rnnexp import pages
from rnnexp.comparison import files, sweep_figures
from rnnexp.plot import axes, gradient_plots
from rnnexp.sweeps import account
from rnnexp.tracking import gradient_report, model, recorder, summary


def fail(*given, **named):
    raise ValueError("no \\x1b[31mfont\\nat all")


for place, names in {
    matplotlib.figure.Figure: ["savefig"],
    recorder: ["write_report"],
    summary: ["losses"],
    model: ["save_model"],
    sweep_figures: ["_by_key"],
    files: ["_write_page"],
    account: ["print_table"],
}.items():
    for name in names:
        setattr(place, name, fail)
"""


def told(done):
    assert "Traceback" not in done.stderr and "\x1b" not in done.stderr
    return [line for line in done.stderr.splitlines() if not line.startswith("step ")]


def test_everything_after_the_training_of_a_run_may_fail(folder, warm, recorded):
    done = warm.run(folder, *SHORT, "tracking.model=true", before=FAULTY, drawn=True)
    assert done.returncode == 0, done.stderr
    lines = told(done)
    for what in ("loss.png", "gradient_by_lag.png", "the summary of the run"):
        assert f"rnnexp: {what} is left out: ValueError: no \\x1b[31mfont" in lines
    assert f"{SHORT[1]}: 6 updates in " in done.stdout and "run folder " in done.stdout
    assert any(line.startswith("rnnexp: the model was not logged: ") for line in lines)
    (run,) = recorded(folder)
    assert run.info.status == "FINISHED" and "final/eval/loss" in run.data.metrics
    (kept,) = folder.glob("outputs/*/*")
    assert {"metrics.csv", "config.yaml", "gradient_by_lag.csv"} <= {path.name for path in kept.iterdir()}


#: Notes what comes when.
NOTED = """
import mlflow
from matplotlib.figure import Figure
savefig, create_run = Figure.savefig, mlflow.MlflowClient.create_run
Figure.savefig = lambda *given, **named: (print("a figure is drawn"), savefig(*given, **named))[1]
mlflow.MlflowClient.create_run = lambda *given, **named: (print("the run is created"), create_run(*given, **named))[1]
"""


def test_the_result_is_printed_before_what_takes_longer(folder, warm):
    done = warm.run(folder, *SHORT, before=NOTED)
    assert done.returncode == 0, done.stderr
    order = (
        "6 updates in",
        "test loss",
        "run folder",
        "a figure is drawn",
        "the run is created",
        "MLflow run",
        "and open",
    )
    places = [done.stdout.index(text) for text in order]
    assert places == sorted(places), done.stdout


def test_everything_after_the_last_job_of_a_sweep_may_fail(folder, warm, recorded):
    done = warm.run(folder, "-m", "seed=0,1", *SHORT, before=FAULTY, drawn=True)
    assert done.returncode == 0, done.stderr
    lines = told(done)
    assert "rnnexp: sweep.html is left out: ValueError: no \\x1b[31mfont" in lines
    assert "rnnexp: the table of the jobs is left out: ValueError: no \\x1b[31mfont" in lines
    assert "2 FINISHED" in done.stdout.splitlines() and "comparison          http" in done.stdout
    (parent,) = parents(recorded(folder))
    assert parent.info.status == "FINISHED"
    assert {run.info.status for run in children(recorded(folder), parent)} == {"FINISHED"}
    with (last_sweep(folder) / "sweep.csv").open(encoding="utf-8", newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["FINISHED", "FINISHED"]


def test_names_that_mean_something_to_matplotlib_or_to_a_terminal_are_drawn_and_printed_as_they_are(
    folder, command, recorded
):
    (folder / "$$.txt").write_text("the same words over and over again. " * 40)
    text = ("task=text", 'task.path="$$.txt"', "batch_size=2", "bptt_length=5", *SHORT)
    done = command(folder, "-m", *text, 'run_name="$$ a\x1b[31m\n$x$"', "seed=0,1", "tracking.figures=true", drawn=True)
    assert done.returncode == 0 and told(done) == [], done.stderr
    assert "\x1b" not in done.stdout
    assert [row[2] for row in table(done.stdout)[1:]] == ["FINISHED", "FINISHED"]
    runs = recorded(folder)
    assert {run.info.status for run in runs} == {"FINISHED"} and len(runs) == 3
    assert all(run.info.run_name.isprintable() for run in runs)
    assert (last_sweep(folder) / "sweep.html").is_file() and (last_sweep(folder) / "0" / "loss.png").is_file()


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("latin-1", marks=pytest.mark.thorough)])
def test_a_terminal_that_can_not_show_a_name_shows_it_as_python_writes_it(folder, command, encoding):
    done = command(folder, *SHORT, "run_name=한글", PYTHONIOENCODING=encoding)
    assert done.returncode == 0 and told(done) == [], done.stderr
    assert r"\ud55c\uae00: 6 updates" in done.stdout
