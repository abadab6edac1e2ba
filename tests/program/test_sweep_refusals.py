"""A sweep with a mistake in any of its jobs is refused in two lines before the first, and leaves nothing behind."""

import socket

import pytest
from sweep_helpers import refused

MISTAKES = [
    # what was typed, and what the answer must name
    (["hidden_size=4,0"], ["hidden_size must be a whole number >= 1, got 0", "in the job", "hidden_size=0"]),
    (["hidden_size=4,abc"], ["hidden_size must be a whole number >= 1, got ", "abc"]),
    (["hiden_size=4,5"], ["unknown key 'hiden_size'", "did you mean 'hidden_size'"]),
    (["optimizer.lr=0.1,0.2"], ["unknown key 'optimizer.lr'", "did you mean 'optimizer.learning_rate'"]),
    (["cell=rnn,lstn"], ["cell", "lstn", "did you mean 'lstm'"]),
    (["hidden_size="], ["hidden_size must be "]),
    (["hidden_size=choice()"], ["hidden_size=choice()", "choice needs values"]),
    (["+seed=0,1"], ["the key seed already exists", "leave out the +: seed=0,1"]),
    (["seed=0,1", "--cfg", "job"], ["-m and --cfg can't be given together"]),
    (["max_jobs=2,3"], ["max_jobs must be one value for the whole sweep"]),
    (["fail_fast=true,false", "seed=0,1"], ["fail_fast must be one value for the whole sweep"]),
    (
        ["seed=0,1", "hydra/launcher=stacked", "hydra.launcher.max_copies=0"],
        ["hydra.launcher.max_copies must be", "got 0"],
    ),
    (["optimizer.learning_rate=interval(0,1)"], ["optimizer.learning_rate", "interval(0,1)", "a list of values"]),
    (["seed=range(0,100)", "batch_size=range(1,101)"], ["max_jobs", "10000", "1000", "max_jobs=10000"]),
    (["seed=0,1,2", "max_jobs=2"], ["max_jobs", "3", "got 2"]),
    (["seed=0,1", "max_jobs=0"], ["max_jobs must be a whole number >= 1, got 0"]),
    (["cell=gru,rnn", "cell.activation=relu"], ["cell.activation must be tanh", "got relu", "cell=gru"]),
    (["task=recall,text", "task.path=missing.txt"], ["task.path"]),
    (["seed=0,1", "hydra.sweep.dir=/proc/rnnexp"], ["hydra.sweep.dir", "/proc/rnnexp", "writable"]),
    (["seed=0,1", "hydra.sweeper.max_batch_size=0"], ["hydra.sweeper.max_batch_size", "0", ">= 1"]),
    (["seed=range(0,0)"], ["seed must be at least one value", "range(0,0)"]),
    (["resume=a,b"], ["resume must be one value, given with -m", "-m resume=FOLDER continues one sweep"]),
    (["resume=a", "seed=0,1"], ["resume must be the folder of a sweep, with -m, got a", "without -m"]),
    (["tracking.experiment=a,b"], ["tracking.experiment must be one value", "a sweep"]),
    (["tracking=none,mlflow"], ["tracking must be one value", "a sweep"]),
    (["seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=0"], ["hydra.launcher.n_jobs must be", "got 0"]),
    (["seed=0,1", "hydra/launcher=stacked", "hydra.launcher.n_jobs=0"], ["hydra.launcher.n_jobs must be", "got 0"]),
]
SEARCH = ("hydra/sweeper=optuna", "hydra.sweeper.n_jobs=1")
MISTAKES += [
    ([*SEARCH, "hydra.sweeper.n_trials=4", *wrong], named)
    for wrong, named in (
        (["hiden_size=range(1,4)"], ["unknown key 'hiden_size'", "did you mean 'hidden_size'"]),
        (["cell=rnn,lstn"], ["cell", "lstn", "did you mean 'lstm'"]),
        (["hidden_size=range(-5,3)"], ["hidden_size must be a whole number >= 1, got -5"]),
        (["hidden_size=range(1,4)", "bptt_length=int(interval(0,9))"], ["bptt_length must be a whole number >= 1"]),
        (["hidden_size=interval(1,4)"], ["hidden_size must be a whole number >= 1, got interval(1,4)"]),
        (["optimizer.learning_rate=interval(0.1,1)", "max_jobs=3"], ["max_jobs", "4", "got 3"]),
        (["hidden_size=2,3", "hydra.sweeper.n_trials=0"], ["hydra.sweeper.n_trials must be", "got 0"]),
    )
]


@pytest.mark.quick(6)
@pytest.mark.parametrize(("arguments", "named"), MISTAKES, ids=lambda value: " ".join(value))
def test_a_mistake_is_refused_and_leaves_nothing(tmp_path, warm, arguments, named):
    refused(warm.run(tmp_path, "-m", *arguments), *named)
    assert list(tmp_path.iterdir()) == []


def test_a_tracking_server_that_is_down(tmp_path, command):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = command(tmp_path, "-m", "seed=0,1", f"tracking.uri=http://ann:secret@127.0.0.1:{port}")
    refused(done, f"127.0.0.1:{port}", "does not answer", "tracking.uri=sqlite:///mlflow.db")
    assert "secret" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database(tmp_path, command):
    (tmp_path / "mlflow.db").write_text("not a database, but long enough to look like something" * 20)
    refused(command(tmp_path, "-m", "seed=0,1"), "mlflow.db", "not a database")
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_deleted_experiment(folder, command):
    from mlflow import MlflowClient

    writer = MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    writer.delete_experiment(writer.create_experiment("rnnexp"))
    refused(command(folder, "-m", "seed=0,1"), "rnnexp", "restore", "tracking.experiment=")
    assert not (folder / "multirun").exists()


@pytest.mark.thorough
def test_the_folder_of_another_sweep(tmp_path, command):
    arguments = ("-m", "seed=0,1", "steps=2", "tracking=none", "tracking.figures=false", "max_jobs=2")
    arguments += ("hydra.sweep.dir=here",)
    assert command(tmp_path, *arguments).returncode == 0
    before = {path: path.read_bytes() for path in (tmp_path / "here").rglob("*") if path.is_file()}
    refused(command(tmp_path, *arguments), "here", "another sweep", "hydra.sweep.dir")
    assert {path: path.read_bytes() for path in (tmp_path / "here").rglob("*") if path.is_file()} == before


def test_an_error_in_code_of_ones_own_leaves_nothing(tmp_path, command):
    (tmp_path / "broken.py").write_text("class Broken:\n    def __init__(self):\n        raise RuntimeError('never')\n")
    done = command(tmp_path, "-m", "seed=0,1", "optimizer._target_=broken.Broken")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "never" in done.stderr or "optimizer" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"broken.py", "__pycache__"}


def test_an_empty_text_is_a_value_where_text_is_allowed(tmp_path, command):
    arguments = ("run_name=", "seed=0,1", "steps=2", "tracking=none", "tracking.figures=false")
    done = command(tmp_path, "-m", *arguments)
    assert done.returncode == 0, done.stderr
