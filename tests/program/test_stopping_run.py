"""A run that stops early, its test, its tags and its size, by the real command, as the record has them."""

import shlex

import numpy as np
import pytest
from resume_runs import Record, run_folder_of
from sweep_helpers import job_records, last_sweep, numbers

from rnnexp.layers import TimeGRU, build_network

STOPS = ("stopping=patience", "stopping.evaluations=1", "optimizer.learning_rate=0.3", "eval_every=10", "steps=400")
SMALL = ("hidden_size=5", "batch_size=4", "tracking.figures=false")


def test_a_stopped_run_is_finished_and_says_when_and_why(command, folder):
    done = command(folder, *STOPS, *SMALL, "tracking.tags={course: rnn101, year: 2026}")
    assert done.returncode == 0, done.stderr
    record, run_folder = Record(folder), run_folder_of(folder)
    assert record.status == "FINISHED"
    ((step, value),) = {point[:2] for point in record.points["final/stopped_at_step"]}
    assert 0 < step == value < 400
    assert record.tags["stopped"].startswith(f"at step {step} of 400: no improvement in 1 evaluation since step ")
    assert f"stopped             {record.tags['stopped']}" in done.stdout.splitlines()
    assert (record.tags["course"], record.tags["year"]) == ("rnn101", "2026")
    curve = record.points["eval/loss"]
    assert curve[-1][0] == step and curve[-1][1] >= min(loss for _, loss, _ in curve[:-1])
    tested = {name: record.latest[f"test/{name}"] for name in ("loss", "accuracy", "last_loss")}
    assert all(at == step for at, _ in tested.values())
    assert tested["loss"][1] != tested["last_loss"][1], "the best weights are not the last"
    assert not [name for name in record.latest if name.startswith("final/test")]
    assert record.latest["network/parameters"] == (0, 7 * 5 + 5 * 5 + 5 * 5 + 5 + 5 * 4 + 4)

    again = command(folder, f"resume={run_folder}")
    assert again.returncode == 1
    problem, hint = again.stderr.splitlines()
    assert problem.startswith(f"rnnexp: the run has stopped at step {step}: no improvement")
    more = shlex.split(hint.partition(": ")[2])
    on = command(folder, f"resume={run_folder}", *more)
    assert on.returncode == 0, on.stderr
    record = Record(folder)
    assert record.status == "FINISHED" and record.latest["final/eval/loss"][0] == 400
    assert "stopped" not in record.tags
    whole = command(folder, *[text for text in STOPS if "stopping" not in text], *SMALL, "hydra.run.dir=whole")
    assert whole.returncode == 0
    ours, theirs = numbers(run_folder), numbers(folder / "whole")
    kept = ("eval/", "solved")  # curves of training have a point more where it had stopped, and so has the study
    assert [row for row in ours if row[0].startswith(kept)] == [row for row in theirs if row[0].startswith(kept)]


def test_the_test_is_the_same_without_checkpoints_in_a_stack_and_in_silence(command, new_folder):
    sweep = (*STOPS, *SMALL, "seed=0,1,2", "checkpoint=none", "quiet=true", "tracking.tags={course: rnn101}")
    found = []
    for launcher in ((), ("hydra/launcher=stacked",)):
        folder = new_folder()
        done = command(folder, "-m", *launcher, *sweep)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        found.append([(record["status"], record["metrics"]) for record in job_records(last_sweep(folder))])
        steps = {metrics["final/stopped_at_step"] for _, metrics in found[-1]}
        assert len(steps) > 1 and max(steps) < 400
        assert all(metrics["test/loss"] > 0 for _, metrics in found[-1])
        head = (last_sweep(folder) / "sweep.csv").read_text().splitlines()[0].split(",")
        assert {"test/loss", "test/last_loss", "network/parameters"} <= set(head)
    assert found[0] == found[1]


def test_parameters_pick_the_size_and_it_is_recorded(command, folder):
    done = command(folder, "parameters=2000", "cell=gru", "steps=2", *SMALL[1:])
    assert done.returncode == 0, done.stderr
    record = Record(folder)
    size = int(record.params["hidden_size"])
    counts = {}
    for units in (size - 1, size, size + 1):
        sizes = {"hidden_size": units, "embedding_dim": 5, "input_size": 7, "output_size": 4}
        counts[units] = build_network(**sizes, cell=TimeGRU, rng=np.random.default_rng(0)).parameters.vector.size
    assert record.latest["network/parameters"][1] == counts[size]
    assert min(counts, key=lambda h: abs(counts[h] - 2000)) == size
    assert record.params["parameters"] == "2000"
    assert f"parameters          {counts[size]} with hidden_size={size} (asked for: 2000)" in done.stdout
    assert f"hidden_size: {size}" in (run_folder_of(folder) / "config.yaml").read_text()
    more = command(folder, f"resume={run_folder_of(folder)}", "steps=4")
    assert more.returncode == 0, more.stderr
    again = command(folder, "parameters=2000", "cell=gru", "steps=4", *SMALL[1:], "skip_finished=true")
    assert "is already FINISHED" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "problem", "hint"),
    [
        (
            ("parameters=3",),
            "parameters must be a whole number >= 50, which this network has with hidden_size=1",
            "=50",
        ),
        (("parameters=500", "hidden_size=10"), "parameters must be null with hidden_size=10, got 500", "one of them"),
        (("stopping=solved", "task=text"), "stopping must be none or patience for task Text", "stopping=patience"),
        (("stopping=early",), "stopping must be one of none, patience, solved, got early", "'patience'"),
        (("stopping=patience", "stopping.evaluations=0"), "stopping.evaluations must be a whole number >= 1", ""),
        (("tracking.tags.course=x",), "unknown key 'tracking.tags.course'", "'tracking.tags={course: x}'"),
        (("tracking.tags={mlflow.user: x}",), "a name in tracking.tags must be another name", "{my.mlflow.user: x}"),
    ],
)
def test_what_can_not_be_is_refused_in_two_lines(command, folder, arguments, problem, hint):
    done = command(folder, *arguments)
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(lines)) == (1, "", 2)
    assert lines[0].startswith(f"rnnexp: {problem}") and hint in lines[1]
    assert not (folder / "outputs").exists()


OWN = '''
class Enough:
    """Stop once the loss is below a number."""

    def __init__(self, loss=1.0):
        self.loss = loss

    def __call__(self, report):
        return f"below {self.loss}" if report.evaluation.loss < self.loss else ""
'''


def test_a_rule_of_the_users_joins_by_a_file(command, folder):
    (folder / "mine.py").write_text(OWN)
    (folder / "conf" / "stopping").mkdir(parents=True)
    (folder / "conf" / "stopping" / "enough.yaml").write_text("_target_: mine.Enough\nloss: 1.2\n")
    done = command(folder, "--config-dir", "conf", "stopping=enough", "eval_every=20", "tracking=none")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("stopped ")]
    assert line.endswith("of 1000: below 1.2")
