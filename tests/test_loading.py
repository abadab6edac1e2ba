"""`rnnexp.load`: what comes back is what was trained, and what can't be loaded is answered with what can be tried."""

import json
import shutil
import sys

import numpy as np
import pytest
from trained_runs import train

import rnnexp
from rnnexp import own_code
from rnnexp.checks import InvalidValue, UserError
from rnnexp.loading import _points
from rnnexp.npz import TEXT, digest
from rnnexp.tracking.keys import mlflow_key
from rnnexp.tracking.run_log import RUN_LOG
from rnnexp.training import checkpoint
from rnnexp.training.checkpoint_folder import Checkpoints


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run whose evaluation loss was lowest before its end."""
    place = tmp_path_factory.mktemp("runs") / "run"
    return train(place, "eval_every=10", "checkpoint.every=10", "optimizer.learning_rate=0.3", "seed=7")


def losses(folder):
    """Loss by step of the kept checkpoints, the best one's included."""
    states = [checkpoint.load(path) for path in Checkpoints(folder / "checkpoints").latest()]
    return {state["trainer"]["step"]: state["loss"] for state in states}


@pytest.mark.parametrize("which", [None, "best", "last"])
def test_the_network_is_the_one_of_the_checkpoint(folder, which):
    trained = rnnexp.load(folder, which=which)
    kept = losses(folder)
    step = max(kept) if which == "last" else min(kept, key=kept.get)
    assert (trained.step, trained.loss) == (step, kept[step])
    saved = checkpoint.load(trained.checkpoint)["trainer"]["parameters"]
    assert saved.keys() == trained.network.parameters.values.keys()
    for name, value in trained.network.parameters.values.items():
        assert np.array_equal(value, saved[name])


def test_best_and_last_are_two_networks_here(folder):
    kept = losses(folder)
    assert min(kept, key=kept.get) < max(kept)


@pytest.mark.parametrize("place", ["", "checkpoints", "checkpoints/best.npz"])
def test_run_folder_checkpoint_folder_and_file_are_the_same(folder, place, monkeypatch):
    monkeypatch.chdir(folder.parent)
    trained = rnnexp.load(f"{folder.name}/{place}")
    assert (trained.network.parameters.vector == rnnexp.load(folder).network.parameters.vector).all()
    assert len(trained.metrics) == len(rnnexp.load(folder).metrics)


@pytest.mark.parametrize("which", ["best", "last"])
def test_an_evaluation_without_other_settings_is_the_recorded_one_to_the_bit(folder, which):
    trained = rnnexp.load(folder, which=which)
    assert trained.evaluate().loss == trained.loss
    assert trained.evaluate().loss == trained.evaluate(lag=trained.config["task"]["lag"]).loss


def test_the_best_weights_may_be_of_an_evaluation_between_two_checkpoints(tmp_path):
    settings = ("eval_every=10", "checkpoint.every=1000", "optimizer.learning_rate=0.3", "seed=7")
    folder = train(tmp_path / "run", *settings)
    trained = rnnexp.load(folder)
    evaluations = trained.metrics.query("metric == 'eval/loss'").set_index("step").value
    assert trained.step == evaluations.idxmin() < trained.config["steps"]
    assert trained.loss == trained.evaluate().loss == evaluations.min()
    assert rnnexp.load(folder, which="last").step == trained.config["steps"]
    (folder / "checkpoints" / "best.npz").unlink()
    assert np.array_equal(rnnexp.load(folder).network.parameters.vector, trained.network.parameters.vector)


def test_the_configuration_is_plain_and_whole(folder):
    config = rnnexp.load(folder).config
    assert (config["seed"], config["hidden_size"], config["task"]["lag"]) == (7, 6, 8)
    assert json.loads(json.dumps(config)) == config


def test_the_metrics_are_those_of_the_whole_run(folder):
    table = rnnexp.load(folder, which="best").metrics
    assert list(table.columns) == ["metric", "step", "value"]
    losses = table[table.metric == "eval/loss"]
    assert losses.step.tolist() == [0, 10, 20, 30]
    (final,) = table[table.metric == "final/eval/loss"].value
    assert losses.value.iloc[-1] == final
    assert table[table.metric == "gradient_by_lag/first"].step.tolist() == list(range(10))
    assert not table.duplicated(["metric", "step"]).any()


def test_a_checkpoint_without_its_run_has_the_metrics_until_then(folder, tmp_path):
    alone = shutil.copy(folder / "checkpoints" / "step-000000020.npz", tmp_path / "alone.npz")
    trained = rnnexp.load(alone)
    assert (trained.folder, trained.step) == (None, 20)
    table = trained.metrics
    assert table[table.metric == "eval/loss"].step.tolist() == [0, 10, 20]


def test_a_representation_says_what_it_is(folder):
    shown = repr(rnnexp.load(folder, which="last"))
    for part in ("task=recall", "TimeRNN", "hidden_size=6", "parameters", "step 30", "loss", "step-000000030.npz"):
        assert part in shown


@pytest.mark.parametrize(
    "overrides",
    [
        ("cell=lstm", "num_layers=2", "learn_initial_state=true"),
        ("task=text", "embedding_dim=6", "tie=true", "task.path=words.txt", "output_size=9", "cell=gru"),
        ("task=adding", "task.length=12", "embedding_dim=null", "dtype=float64", "gradients=off"),
        ("task=echo", "cell.activation=relu", "init=identity", "freeze=[embedding]", "shortcut=true"),
    ],
    ids=["lstm", "text", "adding", "echo"],
)
def test_every_kind_of_network_comes_back(tmp_path, monkeypatch, overrides):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("the cat sat on the mat; the dog saw the cat. " * 30, encoding="utf-8")
    trained = rnnexp.load(train(tmp_path / "run", *overrides), which="last")
    assert trained.evaluate().loss == trained.loss
    assert np.isfinite(trained.gradients().norms.mean).all()


CELL = """
from rnnexp.layers import TimeRNN
class Mine(TimeRNN):
    pass
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A run with a cell of the user's own, in a file beside it."""
    (tmp_path / "my_loaded_cell.py").write_text(CELL)
    (tmp_path / "conf" / "cell").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    run = train(tmp_path / "run", "cell._target_=my_loaded_cell.Mine")
    monkeypatch.delitem(sys.modules, "my_loaded_cell")
    monkeypatch.setattr(sys, "path", sys.path[1:])
    return run


def test_a_class_of_the_users_own_is_found_in_the_current_folder(own):
    trained = rnnexp.load(own)
    assert type(trained.network.recurrent).__name__ == "Mine"
    assert trained.evaluate().loss == trained.loss


def test_elsewhere_the_answer_says_where_to_start(own, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(UserError, match=r"cell\._target_ must be .*, got my_loaded_cell\.Mine") as refused:
        rnnexp.load(own)
    assert "No module named 'my_loaded_cell'" in refused.value.hint
    assert "start where the run was started" in refused.value.hint
    assert f"{own / 'own_code'} keeps the source of its classes" in refused.value.hint
    monkeypatch.chdir(own / "own_code")
    rnnexp.load(own)


def test_code_that_has_changed_since_is_named(own, capsys):
    rnnexp.load(own)
    assert capsys.readouterr().err == ""
    sys.modules.pop("my_loaded_cell")
    own_code._read.cache_clear()  # as in another process
    (own.parent / "my_loaded_cell.py").write_text(CELL + "    more = 1\n")
    rnnexp.load(own)
    assert "the code of the run has changed since it was trained: my_loaded_cell.py" in capsys.readouterr().err


def test_a_module_that_the_configuration_does_not_name_is_not_imported(own, folder):
    rnnexp.load(folder)
    assert "my_loaded_cell" not in sys.modules


def rewritten(path, change):
    """A checkpoint with another plain part, and a checksum that is right."""
    with np.load(path) as file:
        arrays = dict(file)
    del arrays["!sha256"]
    plain = json.loads(arrays[TEXT].tobytes())
    change(plain)
    if plain["state"].get("/best", True) is None:
        del arrays["best/parameters"]
    arrays[TEXT] = np.frombuffer(json.dumps(plain).encode(), np.uint8)
    np.savez(path, **arrays, **{"!sha256": digest(arrays)})


def other_version(folder):
    for path in (folder / "checkpoints").glob("*.npz"):
        rewritten(path, lambda plain: plain.update(version=1))


def lost(folder):
    shutil.rmtree(folder / "checkpoints")


def without_best(folder):
    (folder / "checkpoints" / "best.npz").unlink()
    for path in (folder / "checkpoints").glob("*.npz"):
        rewritten(path, lambda plain: plain["state"].update({"/best": None}))


def half_written(folder):
    for path in (folder / "checkpoints").glob("*.npz"):
        path.write_bytes(path.read_bytes()[:-500])


def not_a_run(folder):
    for path in (folder / "checkpoints").glob("*.npz"):
        path.unlink()
        checkpoint.save(path, {"weights": np.zeros(3)})


def older_settings(folder):
    for path in (folder / "checkpoints").glob("*.npz"):
        rewritten(path, lambda plain: plain["state"]["/run"]["/settings"]["/task"].update({"/old": 1}))


def other_sizes(folder):
    for path in (folder / "checkpoints").glob("*.npz"):
        rewritten(path, lambda plain: plain["state"]["/run"]["/settings"].update({"/hidden_size": 7}))


CASES = [
    (lost, "there is no checkpoint in .*run", "train it again, without checkpoint=none"),
    (half_written, "best.npz can't be used: .*(truncated|not an .npz)", "train it again"),
    (other_version, "was written by another version of rnnexp", "load it with the version of rnnexp that wrote it"),
    (without_best, "has no best checkpoint", "which=last"),
    (not_a_run, "best.npz is not of a run of python -m rnnexp", "give the checkpoint of a run"),
    (older_settings, "can't be built here: unknown key 'task.old'", "load it with the version"),
    (other_sizes, r"best.npz: the checkpoint does not fit: .*Wx has shape \(5, 6\)", "load it with the version"),
]


@pytest.mark.parametrize(("spoil", "problem", "hint"), CASES, ids=[case[0].__name__ for case in CASES])
def test_what_cannot_be_loaded_is_answered_in_two_lines(folder, tmp_path, spoil, problem, hint):
    copy = shutil.copytree(folder, tmp_path / "run")
    spoil(copy)
    with pytest.raises(UserError, match=problem) as refused:
        rnnexp.load(copy)
    assert hint in refused.value.hint


def test_the_hint_for_a_run_without_a_best_checkpoint_works(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "run")
    without_best(copy)
    assert rnnexp.load(copy, which="last").step == 30


def test_the_hint_for_a_damaged_checkpoint_names_one_that_can_be_used(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "run")
    last = copy / "checkpoints" / "step-000000030.npz"
    last.write_bytes(last.read_bytes()[:-500])
    with pytest.raises(UserError) as refused:
        rnnexp.load(copy, which="last")
    text, _, other = refused.value.hint.partition(": ")
    assert text == "this one can be used"
    assert rnnexp.load(other).step == 20


@pytest.mark.parametrize(
    ("source", "problem", "hint"),
    [
        ("nowhere", "must be a run folder, a checkpoint file, or the id", "nothing is there"),
        ("", "must be a run folder", "nothing is there"),
        (".", "there is no checkpoint in", "it is not the folder of a run: give one of those in it, such as run"),
        ("run/run.jsonl", "run.jsonl can't be used", "give a run folder"),
        ("0" * 32, "there is no tracking database", "start from the folder where the runs were recorded"),
    ],
)
def test_a_source_that_names_nothing_is_refused(folder, monkeypatch, source, problem, hint):
    monkeypatch.chdir(folder.parent)
    with pytest.raises(UserError, match=problem) as refused:
        rnnexp.load(source)
    assert hint in refused.value.hint


def test_arguments_that_contradict_each_other_are_refused(folder):
    with pytest.raises(InvalidValue, match="which must be one of best, last, got first"):
        rnnexp.load(folder, which="first")
    with pytest.raises(InvalidValue, match="which must be left out with a checkpoint file"):
        rnnexp.load(folder / "checkpoints" / "best.npz", which="best")


def test_a_run_without_checkpoints_says_how_to_have_some(tmp_path):
    with pytest.raises(UserError, match="there is no checkpoint") as refused:
        rnnexp.load(train(tmp_path / "run", "checkpoint=none"))
    assert "without checkpoint=none" in refused.value.hint


@pytest.fixture
def text_run(tmp_path, monkeypatch):
    """A run on a text file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("the cat sat on the mat; the dog saw the cat. " * 30, encoding="utf-8")
    return train(tmp_path / "run", "task=text", "task.path=words.txt")


def test_other_data_under_the_same_name_are_refused(text_run, tmp_path):
    before = (tmp_path / "words.txt").read_text()
    (tmp_path / "words.txt").write_text(before.upper(), encoding="utf-8")
    with pytest.raises(UserError, match=r"words\.txt are not those that the network was trained on") as refused:
        rnnexp.load(text_run)
    assert "put the file back as it was" in refused.value.hint
    (tmp_path / "words.txt").write_text(before, encoding="utf-8")
    rnnexp.load(text_run)


def test_a_data_file_that_is_not_found_from_here_is_named(text_run, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(UserError, match=r"task\.path must be .*, got words\.txt") as refused:
        rnnexp.load(text_run)
    assert "start where the run was started" in refused.value.hint


def test_the_runs_own_checkpoint_is_not_a_state_dict_and_the_hint_works(folder):
    trained = rnnexp.load(folder)
    with pytest.raises(UserError, match=r"best\.npz is the checkpoint of a run, not a state_dict") as refused:
        rnnexp.load_weights(trained.network, trained.checkpoint)
    hinted = eval(refused.value.hint.partition(" is its network")[0], {"rnnexp": rnnexp})
    assert (hinted.parameters.vector == trained.network.parameters.vector).all()


def test_points_that_the_log_of_a_sweeps_run_lacks_are_those_of_the_checkpoint(tmp_path):
    name = mlflow_key("map@3")
    lines = [{"begin": {}}, {"metrics": [[name, 1.0, 0, 1], [name, 3.0, 0, 3], ["final/loss", 9.0, 0, 3]]}]
    (tmp_path / RUN_LOG).write_text("".join(json.dumps(line) + "\n" for line in lines))
    curve = {"name": "map@3", "points": np.array([[1, 1.0], [2, 2.0], [3, 3.0]])}
    *found, last = _points({"history": {"curves": [curve]}}, tmp_path)
    assert found == [(name, 1, 1.0), (name, 2, 2.0), (name, 3, 3.0)]
    assert last == ("final/loss", 3, 9.0)
