"""The trained network as a model in MLflow: recorded by the command, loaded by its run's id where rnnexp is not."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
import yaml

from rnnexp.build import build_experiment
from rnnexp.layers import CRITERIA

QUICK = ("steps=30", "tracking.figures=false", "tracking.model=true")
#: Loads runs:/<id>/model with MLflow, and writes what it makes of an array.
ELSEWHERE = """
import sys
if sys.argv[1]:
    sys.path.insert(0, sys.argv[1])
try:
    import rnnexp.layers
except ImportError:
    pass
else:
    sys.exit("rnnexp is there")
import mlflow.pyfunc
import numpy
loaded = mlflow.pyfunc.load_model(sys.argv[2])
numpy.save(sys.argv[4], loaded.predict(numpy.load(sys.argv[3])))
"""


def predicted(run, inputs, folder, place, *, python=None):
    """What the model of a run makes of inputs, batch first, in a process that has numpy and mlflow but not rnnexp."""
    np.save(place / "inputs.npy", inputs)
    packages = str(np.__path__[0]).rpartition("numpy")[0]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    start = [sys.executable, "-I", "-S"] if python is None else [str(python), "-I"]
    done = subprocess.run(
        [*start, "-c", ELSEWHERE, packages if python is None else "", f"runs:/{run.info.run_id}/model",
         str(place / "inputs.npy"), str(place / "outputs.npy")],
        cwd=place,
        env={**kept, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"},
        capture_output=True,
        text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return np.load(place / "outputs.npy")


def held_out(run_folder):
    """The evaluation set of a run, and its kind of targets."""
    experiment = build_experiment(yaml.safe_load((run_folder / "config.yaml").read_text(encoding="utf-8")))
    return experiment.held_out, experiment.task.target_kind


def loss_elsewhere(run, folder, place, **how):
    """The evaluation loss of a run's model on what the run was evaluated on."""
    batch, kind = held_out(Path(run.data.tags["rnnexp.folder"]))
    outputs = predicted(run, np.ascontiguousarray(batch.inputs.swapaxes(0, 1)), folder, place, **how)
    outputs = np.ascontiguousarray(outputs.swapaxes(0, 1))
    return float(CRITERIA[kind]().forward(outputs, batch.targets, batch.mask))


def logged(folder, run):
    """The models of a run, as MLflow knows them."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    found = client.search_logged_models([run.info.experiment_id])
    return [model for model in found if model.source_run_id == run.info.run_id]


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "chosen",
    [
        ("cell=lstm", "num_layers=2", "learn_initial_state=true"),
        ("cell=leaky", "cell.leak=0.3", "shortcut=true"),
        ("task=adding", "task.length=20", "cell=gru", "dtype=float64"),
    ],
)
def test_the_model_of_a_run_has_its_loss_where_this_package_is_not(folder, command, recorded, tmp_path, chosen):
    done = command(folder, *QUICK, *chosen)
    assert done.returncode == 0, done.stderr
    (run,) = recorded(folder)
    assert run.info.status == "FINISHED"
    (model,) = logged(folder, run)
    assert (model.name, str(model.status)) == ("model", "READY")
    steps = int(run.data.params["steps"])
    assert [(made.model_id, made.step) for made in run.outputs.model_outputs] == [(model.model_id, steps)]
    assert model.params["cell"] == run.data.params["cell"]
    assert f"runs:/{run.info.run_id}/model (models:/{model.model_id})" in done.stdout
    assert all(line.startswith("step ") for line in done.stderr.splitlines()), done.stderr
    assert loss_elsewhere(run, folder, tmp_path) == pytest.approx(run.data.metrics["final/eval/loss"], rel=1e-6)
    # What a run writes stays together: nothing in the current folder but the database, its files, and the run folders.
    assert {path.name for path in folder.iterdir()} <= {"mlflow.db", "mlflow.db.lock", "mlartifacts", "outputs"}


def test_without_being_asked_there_is_no_model(folder, command, recorded):
    assert command(folder, "steps=5", "tracking.figures=false").returncode == 0
    (run,) = recorded(folder)
    assert logged(folder, run) == []
    assert not (Path(run.data.tags["rnnexp.folder"]) / "model").exists()


def test_a_run_that_diverges_leaves_no_model(folder, command, recorded):
    wild = ("optimizer=sgd", "optimizer.learning_rate=1e30", "clipping=none", "init=normal", "cell.activation=relu")
    assert command(folder, *QUICK, *wild).returncode == 1
    (run,) = recorded(folder)
    assert run.info.status == "FAILED"
    assert logged(folder, run) == []


def test_every_job_of_a_stack_has_its_own_model(folder, command, recorded, tmp_path):
    done = command(folder, "-m", *QUICK, "seed=0,1", "hydra/launcher=stacked")
    assert done.returncode == 0, done.stderr
    jobs = [run for run in recorded(folder) if run.data.tags["rnnexp.kind"] == "run"]
    losses = [loss_elsewhere(run, folder, tmp_path) for run in jobs]
    assert losses == pytest.approx([run.data.metrics["final/eval/loss"] for run in jobs], rel=1e-6)
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)


def test_null_means_no_models_in_a_sweep(folder, command, recorded):
    assert command(folder, "-m", *QUICK, "tracking.model=null", "seed=0").returncode == 0
    assert [logged(folder, run) for run in recorded(folder)] == [[], []]  # the sweep's and the job's


def test_a_store_that_does_not_take_the_model_costs_the_run_nothing(folder, command, recorded, artifacts):
    assert command(folder, "steps=5", "tracking.figures=false").returncode == 0
    (folder / "mlartifacts" / "rnnexp" / "models").write_text("in the way of the folder of the models")
    done = command(folder, *QUICK)
    assert done.returncode == 0, done.stderr
    _, run = recorded(folder)
    assert run.info.status == "FINISHED"
    assert {path.name for path in artifacts(run).iterdir()} >= {"config.yaml", "metrics.csv", "gradient_report.html"}
    assert "error" not in run.data.tags
    told = [line for line in done.stderr.splitlines() if not line.startswith("step ")]
    kept = Path(run.data.tags["rnnexp.folder"]) / "model"
    assert len(told) == 2 and told[0].startswith("rnnexp: the model was not logged: "), done.stderr
    assert str(kept) in told[1] and (kept / "MLmodel").is_file()
    assert "model  " not in done.stdout
    assert [str(model.status) for model in logged(folder, run)] == ["FAILED"]


def test_a_model_that_can_not_be_written_costs_the_run_nothing(folder, command, recorded):
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "model").write_text("in the way of the model's folder")
    done = command(folder, *QUICK, "hydra.run.dir=elsewhere")
    assert done.returncode == 0, done.stderr
    (run,) = recorded(folder)
    assert run.info.status == "FINISHED"
    assert "rnnexp: the model was not logged: " in done.stderr
    assert "Traceback" not in done.stderr
    assert logged(folder, run) == []


def test_a_text_model_is_asked_by_prompts(folder, command, recorded, tmp_path):
    (folder / "words.txt").write_text("the cat sat on the mat; the dog saw the cat. " * 30, encoding="utf-8")
    done = command(folder, *QUICK, "task=text", "task.path=words.txt")
    assert done.returncode == 0, done.stderr
    (run,) = recorded(folder)
    said = predicted(run, np.array(["the c", ""]), folder, tmp_path)
    assert [len(text) for text in said] == [200, 200]
    assert set("".join(said)) <= set("the cat sat on the mat; the dog saw the cat. ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tracking.model=perhaps",), ("tracking.model", "perhaps", "true or false, or null")),
        (("tracking.model=1",), ("tracking.model", "got 1")),
        (("tracking=none", "tracking.model=true"), ("tracking.model", "false with tracking=none")),
    ],
)
def test_what_can_not_be_is_refused_first(tmp_path, command, arguments, words):
    done = command(tmp_path, *arguments)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 2, done.stderr
    for word in words:
        assert word in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_model_runs_in_a_new_environment_with_what_it_asks_for(folder, command, recorded, tmp_path):
    assert command(folder, *QUICK, "cell=gru").returncode == 0
    (run,) = recorded(folder)
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    asked = Path(run.data.tags["rnnexp.folder"]) / "model" / "requirements.txt"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", asked], check=True, timeout=1200)
    found = loss_elsewhere(run, folder, tmp_path, python=python)
    assert found == pytest.approx(run.data.metrics["final/eval/loss"], rel=1e-6)
