import csv
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCALARS = {
    "train/loss",
    "train/grad_norm",
    "train/clipped_fraction",
    "eval/loss",
    "eval/accuracy",
    "eval/loss_over_baseline",
    "gradient/log10_ratio",
    "gradient/decay_rate",
    "gradient/decay_fit",
    "gradient/alignment",
    "gradient/alignment_error",
    "gradient/horizon",
    "recurrent/spectral_radius",
    "recurrent/spectral_norm",
    "recurrent/saturated_fraction",
    "train/clipped_grad_norm",
    "update_ratio/recurrent.Wh",
}


@pytest.fixture(scope="module")
def default_run(new_folder, command, recorded):
    """One default run: its folder, what it printed, and its record."""
    folder = new_folder()
    done = command(folder, "hidden_size=10", drawn=True)
    assert done.returncode == 0, done.stderr
    (run,) = recorded(folder)
    return folder, done, run


def test_run_is_finished_and_named_by_what_was_overridden(default_run):
    _, _, run = default_run
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "hidden_size=10"


def test_metrics_have_the_agreed_names_and_end_as_final(default_run):
    _, _, run = default_run
    metrics = run.data.metrics
    assert set(metrics) >= SCALARS
    finals = {name.removeprefix("final/") for name in metrics if name.startswith("final/")}
    assert {"eval/loss", "eval/accuracy", "gradient/decay_rate", "best_eval_loss"} <= finals and len(finals) <= 12
    for name in SCALARS & finals:
        assert metrics[f"final/{name}"] == metrics[name]
    # MLflow's charts come in the order of their groups: the evaluation before what is a single point.
    assert min(metrics).startswith("eval/")
    assert all(math.isfinite(value) for value in metrics.values())


def test_default_task_is_learnt_and_best_is_the_smallest(default_run, curve):
    folder, _, run = default_run
    losses = [value for _, value in curve(folder, run, "eval/loss")]
    assert run.data.metrics["final/best_eval_loss"] == min(losses)
    assert losses[-1] < 0.1 * math.log(4)
    assert run.data.metrics["eval/loss_over_baseline"] == pytest.approx(losses[-1] / math.log(4))


def test_curve_by_lag_has_the_lag_as_its_step(default_run, curve):
    folder, _, run = default_run
    first, last = (dict(curve(folder, run, f"gradient_by_lag/{which}")) for which in ("first", "last"))
    assert sorted(first) == sorted(last) == list(range(10))  # recall with lag 8: nine steps and the state before
    assert first[0] == last[0] == 0.0, "relative to the norm at lag 0"
    assert run.data.metrics["gradient/log10_ratio"] == pytest.approx(last[9])


def test_parameters_are_flat_and_plain(default_run):
    _, _, run = default_run
    expected = {
        "hidden_size": "10",
        "embedding_dim": "5",
        "output_size": "4",
        "bptt_length": "20",
        "bptt_stride": "null",
        "seed": "0",
        "task": "recall",
        "task.lag": "8",
        "optimizer": "adam",
        "optimizer.learning_rate": "0.005",
        "init.recurrent.gain": "1.0",
        "dtype": "float32",
    }
    assert expected.items() <= run.data.params.items()
    assert not any("${" in value or "{" in value for value in run.data.params.values())


def test_artifacts_are_complete_and_lie_beside_the_database(default_run, artifacts):
    folder, _, run = default_run
    where = artifacts(run)
    assert where.is_absolute() and where.is_relative_to(folder)
    assert {path.name for path in where.iterdir()} == {
        "config.yaml",
        "metrics.csv",
        "gradient_by_lag.csv",
        "gradient_by_lag.json",
        "loss.png",
        "gradient_by_lag.png",
        "gradient_over_training.png",
        "gradient_report.html",
        "eigenvalues.png",
        "hidden_units.png",
        "summary.json",
    }
    summary = json.loads((Path(run.data.tags["rnnexp.folder"]) / "summary.json").read_text())
    assert (summary["status"], summary["error"], summary["run"]) == ("FINISHED", None, run.info.run_id)
    assert summary["config_hash"] == run.data.tags["rnnexp.config_hash"]
    sent = {name: run.data.metrics[name] for name in summary["metrics"]}
    assert sent == {name: pytest.approx(value, rel=1e-15) for name, value in summary["metrics"].items()}
    assert "final/eval/loss" in sent and "test/loss" in sent and summary["started"] < summary["ended"]
    assert yaml.safe_load((where / "config.yaml").read_text())["hidden_size"] == 10
    for figure in ("loss.png", "gradient_by_lag.png"):
        assert (where / figure).read_bytes().startswith(b"\x89PNG")
    with (where / "gradient_by_lag.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {int(row["lag"]) for row in rows} == set(range(10))
    assert {int(row["step"]) for row in rows} == set(range(0, 1001, 100))


def test_commit_is_a_tag(default_run):
    _, _, run = default_run
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.data.tags["rnnexp.commit"].removesuffix("-dirty") == head.stdout.strip()
    assert "mlflow.source.git.commit" not in run.data.tags  # that of the folder where it was started: in none


def test_end_tells_losses_gradient_place_and_link(default_run):
    folder, done, run = default_run
    text = done.stdout
    losses = re.search(r"evaluation loss +([\d.]+) +([\d.]+) +([\d.]+)", text)
    assert float(losses[1]) == pytest.approx(run.data.metrics["final/eval/loss"], abs=1e-4)
    assert float(losses[2]) == pytest.approx(run.data.metrics["final/best_eval_loss"], abs=1e-4)
    assert float(losses[3]) == pytest.approx(math.log(4), abs=1e-4)
    assert f"10^{run.data.metrics['gradient/log10_ratio']:.2f}" in text
    assert f"{run.data.metrics['gradient/decay_rate']:+.4f}" in text
    assert f"{run.data.metrics['recurrent/spectral_radius']:.4f}" in text
    assert f"mlflow ui --backend-store-uri sqlite:///{folder}/mlflow.db --host 127.0.0.1" in text
    link = f"/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}?workflowType=machine_learning"
    assert link in text


def test_without_a_terminal_there_is_one_line_an_evaluation_on_stderr(default_run):
    _, done, _ = default_run
    lines = done.stderr.splitlines()
    assert len(lines) == 21
    assert all(re.match(r"step \d+/1000  evaluation loss [\d.]+", line) for line in lines)


def test_on_a_terminal_there_is_a_bar(folder):
    in_a_terminal = (
        "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode("
        "pty.spawn([sys.executable, '-m', 'rnnexp', 'steps=300', 'tracking=none'])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", in_a_terminal],
        cwd=folder,
        capture_output=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
        env={"TERM": "xterm-256color", "COLUMNS": "100", "PATH": "/usr/bin:/bin", "HOME": str(folder)},
    )
    assert done.returncode == 0
    assert "━" in done.stdout.decode()
    assert "300 updates" in done.stdout.decode()


def test_same_seed_same_numbers_and_another_seed_other_numbers(folder, command, recorded):
    for seed in ("3", "3", "4"):
        assert command(folder, f"seed={seed}", "steps=60").returncode == 0
    first, again, other = (run.data.metrics for run in recorded(folder))
    assert first == again
    assert first["eval/loss"] != other["eval/loss"]


def test_tracking_uri_of_the_environment_is_honoured(tmp_path, migrated_database, command, recorded):
    shutil.copy(migrated_database, tmp_path / "other.db")
    done = command(tmp_path, "steps=20", MLFLOW_TRACKING_URI="sqlite:///other.db")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "mlflow.db").exists()
    assert len(recorded(tmp_path, database="other.db")) == 1
    assert f"sqlite:///{tmp_path}/other.db" in done.stdout


@pytest.mark.thorough
def test_a_missing_database_is_made_by_two_runs_at_once(tmp_path, recorded):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "rnnexp", "steps=20", f"seed={seed}"],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for seed in range(2)
    ]
    outcomes = [(run.communicate(timeout=300)[1], run.returncode) for run in runs]
    assert [code for _, code in outcomes] == [0, 0], outcomes
    assert [run.info.status for run in recorded(tmp_path)] == ["FINISHED", "FINISHED"]


def test_without_tracking_results_are_in_the_run_folder(tmp_path, command):
    done = command(tmp_path, "tracking=none", "steps=40", "hydra.run.dir=results")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "mlflow.db").exists()
    assert {"metrics.csv", "gradient_by_lag.csv", "loss.png", "gradient_by_lag.png", "config.yaml"} <= {
        path.name for path in (tmp_path / "results").iterdir()
    }


def test_a_sweep_records_every_combination(folder, command, recorded):
    done = command(folder, "-m", "hidden_size=4,6", "seed=0,1", "steps=20")
    assert done.returncode == 0, done.stderr
    runs = [run for run in recorded(folder) if run.data.tags["rnnexp.kind"] == "run"]
    assert sorted((run.data.params["hidden_size"], run.data.params["seed"]) for run in runs) == [
        ("4", "0"),
        ("4", "1"),
        ("6", "0"),
        ("6", "1"),
    ]
    assert all(run.info.status == "FINISHED" for run in runs)


def test_a_diverging_run_is_failed_and_says_what_to_try(folder, command, recorded):
    done = command(
        folder, "optimizer=sgd", "optimizer.learning_rate=1e30", "clipping=none", "init=normal", "cell.activation=relu"
    )
    assert done.returncode == 1
    assert "diverged at step" in done.stderr and "optimizer.learning_rate" in done.stderr
    assert "Traceback" not in done.stderr
    (run,) = recorded(folder)
    assert run.info.status == "FAILED"
    assert "diverged at step" in run.data.tags["diverged"] and "diverged at step" in run.data.tags["error"]
    assert all(math.isfinite(value) and abs(value) < 1e300 for value in run.data.metrics.values())
