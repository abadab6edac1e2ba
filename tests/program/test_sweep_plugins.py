"""Sweeps by launchers and sweepers of others: joblib, submitit and Optuna."""

import pytest
import yaml
from sweep_helpers import children, counts, job_records, last_sweep, parents

pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
SHORT = ("steps=10", "tracking.figures=false")


@pytest.mark.thorough
def test_four_workers_on_a_folder_without_a_database(tmp_path, command, recorded):
    launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=4")
    done = command(tmp_path, "-m", "seed=range(4)", *SHORT, *launcher)
    assert done.returncode == 0, done.stderr
    runs = recorded(tmp_path)
    (parent,) = parents(runs)
    jobs = children(runs, parent)
    assert [run.data.params["seed"] for run in jobs] == [str(seed) for seed in range(4)]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert all("final/eval/loss" in run.data.metrics for run in jobs)
    assert counts(parent) == {"finished": 4}
    assert "locked" not in done.stderr


@pytest.mark.thorough
def test_submitit_on_this_machine(folder, command, recorded):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    launcher = ("hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5")
    done = command(folder, "-m", "seed=0,1", *SHORT, *launcher)
    assert done.returncode == 0, done.stderr
    runs = recorded(folder)
    (parent,) = parents(runs)
    assert {run.info.status for run in runs} == {"FINISHED"}
    jobs = children(runs, parent)
    assert [run.info.run_name for run in jobs] == ["0", "1"]
    assert counts(parent) == {"finished": 2}
    sweep = last_sweep(folder)
    assert len(list(folder.glob("multirun/*/*"))) == 1  # the workers agree on it
    for record, run in zip(job_records(sweep), jobs, strict=True):
        assert record["run"] == run.info.run_id
        assert str(record["pid"]) != sweep.name.rpartition("-")[2]
        assert (sweep / str(record["number"]) / "metrics.csv").is_file()


@pytest.fixture(scope="module")
def searched_in(new_folder):
    return new_folder()


@pytest.fixture(scope="module")
def search(searched_in, command):
    """Four trials, of which those with a large learning rate diverge."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    sweeper = (
        "hydra/sweeper=optuna",
        "hydra.sweeper.n_trials=4",
        "hydra.sweeper.n_jobs=1",
        "hydra.sweeper.sampler.seed=1",
    )
    diverging = ("optimizer=sgd", "cell.activation=relu", "clipping=none")
    values = "optimizer.learning_rate=tag(log,interval(0.001,1e7))"
    return command(searched_in, "-m", *sweeper, *diverging, values, *SHORT)


@pytest.fixture(scope="module")
def found(search, searched_in, recorded):
    return recorded(searched_in)


def test_optuna_has_a_child_for_every_trial(found):
    (parent,) = parents(found)
    jobs = children(found, parent)
    assert len(jobs) == 4 and len(found) == 5
    assert [run.info.run_name.partition(": ")[0] for run in jobs] == ["0", "1", "2", "3"]  # whose values are unknown
    assert len({run.data.params["optimizer.learning_rate"] for run in jobs}) == 4


def test_optuna_survives_a_diverging_trial_which_is_counted(search, found):
    (parent,) = parents(found)
    statuses = [run.info.status for run in children(found, parent)]
    assert set(statuses) == {"FINISHED", "FAILED"}
    assert statuses.index("FAILED") < 3, "another seed of the sampler is needed"
    assert counts(parent) == {"finished": statuses.count("FINISHED"), "diverged": statuses.count("FAILED")}
    assert parent.info.status == "FAILED"
    assert search.returncode == 1
    assert "DIVERGED" in search.stderr and "Traceback" not in search.stderr


def test_optuna_and_the_parent_agree_on_the_best(found, search, searched_in):
    (parent,) = parents(found)
    results = yaml.safe_load((last_sweep(searched_in) / "optimization_results.yaml").read_text())
    assert results["name"] == "optuna"
    assert results["best_value"] == pytest.approx(parent.data.metrics["jobs/best_loss"])
    (best,) = [run for run in found if run.info.run_id == parent.data.tags["rnnexp.best_run"]]
    rate = results["best_params"]["optimizer.learning_rate"]
    assert float(best.data.params["optimizer.learning_rate"]) == pytest.approx(rate)


@pytest.mark.thorough
def test_optuna_without_a_failure(tmp_path, command):
    sweeper = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=2")
    values = "optimizer.learning_rate=tag(log,interval(0.001,0.1))"
    done = command(tmp_path, "-m", *sweeper, values, *SHORT, "tracking=none")
    assert done.returncode == 0, done.stderr
    assert [record["status"] for record in job_records(last_sweep(tmp_path))] == ["FINISHED"] * 2
    assert (last_sweep(tmp_path) / "optimization_results.yaml").is_file()


def test_optuna_refuses_a_mistake_before_the_first_trial(tmp_path, command):
    sweeper = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=2")
    done = command(tmp_path, "-m", *sweeper, "optimizer.learning_rate=interval(0.001,0.1)", "hidden_size=0")
    assert done.returncode == 1
    assert done.stderr.startswith("rnnexp: hidden_size must be a whole number >= 1, got 0")
    assert len(done.stderr.splitlines()) == 2
    assert list(tmp_path.iterdir()) == []
