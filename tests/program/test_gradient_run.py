"""What `gradients=full`, `light` and `off` leave behind."""

import csv
import math
import re

import pytest

from rnnexp.pages import significant


@pytest.fixture(scope="module")
def full_run(new_folder, command, recorded):
    folder = new_folder()
    done = command(folder, "gradients=full", "task.lag=15", "bptt_length=6", "steps=100", "hidden_size=12", drawn=True)
    assert done.returncode == 0, done.stderr
    (run,) = recorded(folder)
    return folder, run


def test_full_has_every_figure_and_the_report_says_it_in_sentences(full_run, artifacts):
    _, run = full_run
    where = artifacts(run)
    names = {path.name for path in where.iterdir()}
    assert {
        "step_jacobians.png",
        "lyapunov.png",
        "gradient_split.png",
        "gradient_by_time.png",
        "eigenvalues.png",
        "hidden_units.png",
    } <= names
    page = (where / "gradient_report.html").read_text(encoding="utf-8")
    rate = run.data.metrics["final/gradient/decay_rate"]
    assert f"factor of 10 every {significant(math.log(10) / abs(rate))} steps" in page
    assert f"The window of 6 steps covers {run.data.metrics['gradient/seen_by_window']:.0%} of it" in page
    assert page.count("data:image/png;base64,") == sum(name.endswith(".png") for name in names)
    assert not re.search(r"(src|href)=\"http", page)  # complete in itself


def test_full_logs_lyapunov_exponents_and_jacobians(full_run):
    _, run = full_run
    metrics = run.data.metrics
    exponents = [metrics[f"lyapunov/{index}"] for index in (1, 2, 3)]
    assert exponents == sorted(exponents, reverse=True)
    assert "lyapunov/4" not in metrics
    assert metrics["jacobian/largest_singular_value"] >= metrics["jacobian/mean_singular_value"]
    assert metrics["recurrent/pascanu_bound"] >= metrics["gradient/decay_rate"] - 0.5
    assert metrics["gradient/alignment_error"] > 0
    assert metrics["gradient/bias/recurrent.Wh"] > 0 and math.isfinite(metrics["gradient/snr"])
    assert metrics["state/staleness"] == 0.0, "the weights change at an episode's end only"


def test_table_by_lag_has_quantiles_for_pandas(full_run, artifacts):
    _, run = full_run
    with (artifacts(run) / "gradient_by_lag.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["step", "lag", "norm", "log10_relative", "q05", "median", "q95", "state"]
    assert all(float(row["q05"]) <= float(row["median"]) <= float(row["q95"]) for row in rows)


def test_off_takes_no_statistics(folder, command, recorded, artifacts):
    assert command(folder, "gradients=off", "steps=40").returncode == 0
    (run,) = recorded(folder)
    assert not any(name.startswith(("gradient", "recurrent", "update_ratio")) for name in run.data.metrics)
    assert not (artifacts(run) / "gradient_report.html").exists()


def test_every_studies_as_often_as_asked(folder, command, recorded, curve):
    assert command(folder, "gradients.every=30", "steps=100").returncode == 0
    (run,) = recorded(folder)
    assert [step for step, _ in curve(folder, run, "gradient/decay_rate")] == [0, 30, 60, 90, 100]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["gradients=full", "gradients.lyapunov_exponents=11"], ["gradients.lyapunov_exponents", "11", "10"]),
        (["gradients.every=0"], ["gradients.every", "0", ">= 1"]),
        (["gradients.tolerance=0"], ["gradients.tolerance", "0", "> 0"]),
        (["gradients.snr_batches=1"], ["gradients.snr_batches", "got 1", "try 10"]),
        (["gradients.jacobians=maybe"], ["gradients.jacobians", "maybe", "true or false"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_bad_settings_are_refused(tmp_path, command, arguments, named):
    done = command(tmp_path, *arguments)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 2
    assert all(word in done.stderr for word in named)
    assert list(tmp_path.iterdir()) == []


def test_smallest_sizes_and_shortest_sequences_are_studied_without_a_warning(folder, command, recorded):
    done = command(
        folder,
        "gradients=full",
        "hidden_size=1",
        "task.lag=1",
        "batch_size=1",
        "steps=3",
        PYTHONWARNINGS="error::RuntimeWarning",
    )
    assert done.returncode == 0, done.stderr
    (run,) = recorded(folder)
    assert all(math.isfinite(value) for value in run.data.metrics.values())


@pytest.mark.thorough
def test_a_gradient_that_is_exactly_zero_is_told(folder, command, recorded):
    done = command(
        folder,
        "cell.activation=relu",
        "init=gaussian",
        "init.recurrent.gain=0",
        "steps=2",
        "optimizer=sgd",
        "optimizer.learning_rate=1e-30",
        PYTHONWARNINGS="error::RuntimeWarning",
    )
    assert done.returncode == 0, done.stderr
    assert "exactly zero" in done.stdout
    (run,) = recorded(folder)
    assert run.info.status == "FINISHED"
    assert "gradient/log10_ratio" not in run.data.metrics
