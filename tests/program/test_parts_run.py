"""Cells, truncations, regularizers and schedules by the real command, read back from MLflow."""

import csv

import pytest

LSTM = ("cell=lstm", "num_layers=2", "steps=300", "learn_initial_state=true", "hidden_size=8")


@pytest.fixture(scope="module")
def lstm_run(new_folder, command, recorded):
    folder = new_folder()
    done = command(folder, *LSTM, drawn=True)
    assert done.returncode == 0, done.stderr
    (run,) = recorded(folder)
    return folder, run, done.stdout


def test_an_lstm_has_the_statistics_of_h_and_c_and_of_every_layer(lstm_run, curve, artifacts):
    folder, run, printed = lstm_run
    metrics = run.data.metrics
    for name in ("gradient", "gradient_c", "gradient_layer1", "gradient_layer2"):
        assert metrics[f"{name}/decay_rate"] < 0.5
        assert f"{name}/log10_ratio" in metrics
    for name in ("gradient_by_lag", "gradient_by_lag_c", "gradient_by_lag_layer2"):
        assert [lag for lag, _ in curve(folder, run, f"{name}/last")] == list(range(10))
    assert 0.5 < metrics["gate/forget"] < 1.0
    assert "recurrent/pascanu_bound" not in metrics
    with (artifacts(run) / "gradient_by_lag.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["state"] for row in rows} == {"h", "c", "layer1", "layer2"}
    assert (artifacts(run) / "gradient_by_state.png").stat().st_size > 5000
    assert "gates on average" in printed and "in c" in printed


def test_the_settings_of_all_parts_are_parameters(lstm_run):
    _, run, _ = lstm_run
    expected = {
        "cell": "lstm",
        "cell.forget_bias": "1.0",
        "num_layers": "2",
        "learn_initial_state": "True",
        "tie": "False",
        "freeze": "null",
        "schedule": "constant",
        "schedule.warmup": "0",
        "regularizer": "none",
        "init.recurrent.gain": "1.0",
    }
    assert {key: run.data.params[key] for key in expected} == expected


def test_adaptive_truncation_logs_its_window_over_time(folder, command, recorded, curve, artifacts):
    arguments = [
        "task=echo",
        "algorithm=adaptive_bptt",
        "bptt_length=4",
        "algorithm.every=20",
        "steps=200",
        "algorithm.max_length=40",
        "tracking.formats=[png,pdf]",
    ]
    assert command(folder, *arguments).returncode == 0
    (run,) = recorded(folder)
    lengths = [value for _, value in curve(folder, run, "train/bptt_length")]
    assert len(set(lengths)) > 1
    assert all(1 <= value <= 40 for value in lengths)
    assert (artifacts(run) / "bptt_length.png").exists()
    assert (artifacts(run) / "bptt_length.pdf").exists()


def test_randomized_truncation_with_omega_and_a_schedule(folder, command, recorded, curve):
    arguments = ["task=echo", "algorithm=artbp", "bptt_length=8", "regularizer=omega", "schedule=cosine", "steps=200"]
    assert command(folder, *arguments).returncode == 0
    (run,) = recorded(folder)
    metrics = run.data.metrics
    rates = [value for _, value in curve(folder, run, "train/learning_rate")]
    assert rates == sorted(rates, reverse=True) and rates[0] == pytest.approx(0.005, rel=1e-3)
    assert metrics["train/penalty"] > 0
    assert len({value for _, value in curve(folder, run, "train/bptt_length")}) > 10


def test_frozen_weights_stay_and_tied_tables_train(folder, command, recorded):
    arguments = ["task=text", "tie=true", "embedding_dim=10", "freeze=recurrent.Wh", "steps=100", "optimizer=adamw"]
    assert command(folder, *arguments).returncode == 0
    (run,) = recorded(folder)
    assert run.data.metrics["update_ratio/recurrent.Wh"] == 0
    assert run.data.metrics["update_ratio/embedding.W"] > 0
    assert "update_ratio/output.W" not in run.data.metrics


@pytest.mark.parametrize(("window", "learned"), [(10, False), (11, True)])
def test_an_echo_after_ten_steps_needs_a_window_of_eleven(folder, command, recorded, window, learned):
    assert command(folder, "experiment=echo_threshold", f"bptt_length={window}").returncode == 0
    (run,) = recorded(folder, "echo_threshold")
    final, best = run.data.metrics["final/eval/loss"], run.data.metrics["final/best_eval_loss"]
    # On the way the output layer may read old bits off the recurrence for a while; and Adam may leap once it is done.
    assert best < 0.01 if learned else best > 0.4 and final > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize(("window", "learned"), [(5, False), (9, False), (10, False), (11, True), (12, True)])
def test_the_threshold_of_the_echo_does_not_depend_on_the_seed(folder, command, recorded, window, learned, seed):
    assert command(folder, "experiment=echo_threshold", f"bptt_length={window}", f"seed={seed}").returncode == 0
    (run,) = recorded(folder, "echo_threshold")
    final, best = run.data.metrics["final/eval/loss"], run.data.metrics["final/best_eval_loss"]
    assert best < 0.01 if learned else best > 0.4 and final > 0.6


@pytest.mark.parametrize(
    ("gradient", "wrong_way"),
    [(["bptt_length=1"], True), (["algorithm=artbp", "bptt_length=16"], False), (["algorithm=rtrl"], False)],
)
def test_short_windows_push_the_chain_the_wrong_way_and_unbiased_gradients_do_not(
    folder, command, recorded, gradient, wrong_way
):
    assert command(folder, "experiment=influence_balancing", "steps=1500", *gradient).returncode == 0
    (run,) = recorded(folder, "influence_balancing")
    start, final = 16.0, run.data.metrics["final/eval/loss"]
    assert final > 10 * start if wrong_way else final < start / 10
