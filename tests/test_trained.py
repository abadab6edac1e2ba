"""A trained network on other settings of its task, and what it continues a text or a series with."""

import numpy as np
import pandas as pd
import pytest
from trained_runs import train

import rnnexp
from rnnexp.checks import InvalidValue, UserError
from rnnexp.tasks import Batch, Recall, Sine


@pytest.fixture(scope="module")
def recall(tmp_path_factory):
    return rnnexp.load(train(tmp_path_factory.mktemp("recall"), "steps=150", "task.lag=3", "hidden_size=10"))


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """With a vocabulary that has the unknown symbol."""
    place = tmp_path_factory.mktemp("text")
    (place / "words.txt").write_text("the cat sat on the mat; the dog saw the cat. " * 30, encoding="utf-8")
    overrides = ("task=text", f"task.path={place / 'words.txt'}", "output_size=8", "steps=60")
    return rnnexp.load(train(place / "run", *overrides), which="last")


def table_run(place, *overrides):
    t = np.arange(400)
    np.savez(place / "waves.npz", a=100 + 5 * np.sin(t / 7), b=np.cos(t / 11))
    return rnnexp.load(
        train(place / "run", "task=table", f"task.path={place / 'waves.npz'}", "task.test_fraction=0", *overrides)
    )


@pytest.fixture(scope="module")
def sine(tmp_path_factory):
    return rnnexp.load(train(tmp_path_factory.mktemp("sine"), "task=sine", "task.longest=12", "steps=150"))


def test_elsewhere_it_is_the_same_network_on_the_sequences_of_those_settings(recall):
    task = Recall(lag=7, distractors=2, eval_sequences=40)
    batch = task.evaluation(rng=rnnexp.Streams(0).evaluation)
    expected = rnnexp.evaluate(recall.network.replica(), batch, "classes", task)
    assert recall.evaluate(lag=7, eval_sequences=40) == expected
    assert expected.loss > 2 * recall.evaluate().loss


def test_the_result_has_baseline_and_verdict(recall):
    found = recall.evaluate()
    assert found.baseline.loss == pytest.approx(np.log(4))
    assert found.solved is (found.loss < 0.05)
    assert rnnexp.Evaluation(0.01, 1.0, task=recall.task).solved is True
    assert rnnexp.Evaluation(0.06, 1.0, task=recall.task).solved is False
    bare = rnnexp.Evaluation(0.01, 1.0)
    assert (bare.baseline, bare.solved) == (None, None)


def test_a_representation_shows_the_numbers():
    shown = repr(rnnexp.Evaluation(0.0123456, None, None, 0.5, Sine()))
    assert shown == (
        "Evaluation(loss=0.0123456, absolute_error=0.5, nrmse=0.157134, baseline=0.5 (always the mean, 0), not solved)"
    )
    assert repr(rnnexp.Evaluation(1.0, 0.25)) == "Evaluation(loss=1, accuracy=0.25)"


def test_the_gradient_is_studied_there_as_the_run_did(recall):
    study = recall.gradients(lag=12)
    assert len(study.norms.common) == 14
    task = recall.elsewhere(lag=12)
    held_out = task.evaluation(rng=rnnexp.Streams(0).evaluation)
    batch: Batch = held_out.sequences(20)
    expected = rnnexp.norms_by_lag(recall.network.replica(), batch, "classes")
    assert np.allclose(study.norms.mean, expected.mean)


def test_nothing_of_it_changes_the_network(recall):
    before = recall.network.parameters.vector.copy()
    recall.evaluate(lag=9)
    recall.gradients(lag=9)
    assert np.array_equal(before, recall.network.parameters.vector)
    assert recall.network.recurrent.state is None


@pytest.mark.parametrize(
    ("settings", "problem", "hint"),
    [
        (
            {"distractors": 5},
            "with task.distractors=5 the task has other inputs .*: 10 tokens, not 7 tokens",
            "train a",
        ),
        ({"lag": 0}, r"task\.lag must be a whole number >= 1, got 0", ""),
        ({"lagg": 4}, r"unknown key 'task\.lagg'", "did you mean 'task.lag'?"),
        ({"path": "x.txt"}, r"unknown key 'task\.path'", "valid keys: task.lag, task.distractors"),
        ({"_target_": "os.system"}, r"unknown key 'task\._target_'", "valid keys"),
        ({"output_size": 5}, r"unknown key 'task\.output_size'", "valid keys"),
        ({"lag": 10**8}, "not enough memory: task.lag=100000000", "would fit"),
    ],
)
def test_settings_that_cannot_be_are_refused(recall, settings, problem, hint):
    for method in (recall.evaluate, recall.gradients):
        with pytest.raises(UserError, match=problem) as refused:
            method(**settings)
        assert hint in refused.value.hint


def test_a_text_of_other_characters_is_refused(text, tmp_path):
    (tmp_path / "other.txt").write_text("quick brown fox jumps over; " * 60, encoding="utf-8")
    with pytest.raises(UserError, match="other names of inputs than the network was trained with"):
        text.evaluate(path=str(tmp_path / "other.txt"))


def test_the_continuation_from_the_start_is_the_sample_of_the_run(text):
    assert text.generate("", 1000) == (text.folder / "sample.txt").read_text(encoding="utf-8")


def test_a_continuation_depends_on_prompt_temperature_and_generator(text):
    assert text.generate("the c", 50) == text.generate("the c", 50)
    assert text.generate("the c", 50) != text.generate("the d", 50)
    one, other = (text.generate("the c", 50, rng=np.random.default_rng(seed)) for seed in (1, 2))
    assert one != other
    assert text.generate("the c", 50, temperature=0) == text.generate("the c", 50, temperature=0, rng=None)
    assert len(text.generate("the c", 17)) == 17


def test_characters_outside_of_the_vocabulary_are_named_and_become_the_unknown_symbol(text, capsys):
    unknown = text.task.unknown
    assert unknown is not None
    found = text.generate("the üZ", 30)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "rnnexp: not in the vocabulary, and read as its unknown symbol: 'Z', 'ü'\n"
    assert found == text.generate("the " + 2 * text.task.characters[unknown], 30)
    assert capsys.readouterr().err == ""


def test_without_an_unknown_symbol_they_are_left_out_and_named(tmp_path, capsys):
    (tmp_path / "words.txt").write_text("the cat sat on the mat; the dog saw the cat. " * 30, encoding="utf-8")
    trained = rnnexp.load(train(tmp_path / "run", "task=text", f"task.path={tmp_path / 'words.txt'}"))
    assert trained.generate("the üc", 30) == trained.generate("the c", 30)
    assert capsys.readouterr().err == "rnnexp: not in the vocabulary, and left out: 'ü'\n"
    with pytest.raises(InvalidValue, match="prompt must be made of characters of the vocabulary, got üö") as refused:
        trained.generate("üö")
    assert "acdeghmnostw" in refused.value.hint


def test_a_sine_is_continued_near_the_true_one(sine):
    series = sine.generate(40, 20)
    assert (series.prompt, series.true.shape, series.generated.shape) == (40, (60, 1), (20, 1))
    assert np.isfinite(series.true).all()
    # The first step is the ordinary prediction.
    outputs = sine.network.replica().forward(series.true[:40, np.newaxis].astype(np.float32))
    assert np.allclose(series.generated[0], outputs[-1, 0], atol=1e-6)
    assert np.array_equal(series.true, sine.generate(40, 20).true)
    assert not np.array_equal(series.true, sine.generate(40, 20, rng=np.random.default_rng(5)).true)


def test_a_prompt_of_values_has_no_true_continuation(sine):
    series = sine.generate(np.sin(np.arange(30) / 1.7), 10)
    assert (series.prompt, len(series.generated)) == (30, 10)
    assert np.isnan(series.true[30:]).all()
    assert np.isnan(series.rmse)


def test_mackey_glass_is_continued_over_its_horizon(tmp_path):
    trained = rnnexp.load(train(tmp_path, "task=mackey_glass", "task.horizon=4"))
    series = trained.generate(50, 30)
    assert series.generated.shape == (30, 1)
    outputs = trained.network.replica().forward(series.true[:50, np.newaxis].astype(np.float32))
    assert np.allclose(series.generated[:4], outputs[-4:, 0], atol=1e-6)


def test_a_table_is_continued_in_its_own_units(tmp_path):
    trained = table_run(tmp_path)
    series = trained.generate(20, 10)
    assert list(series.names) == ["a", "b"]
    rows = 100 + 5 * np.sin(np.arange(320, 350) / 7)  # the last fifth is held out
    assert np.allclose(series.true[:, 0], rows)
    again = trained.generate(series.true[:20], 10)
    assert np.allclose(series.generated, again.generated, atol=1e-4)
    # Beyond the end of the table nothing is known.
    longer = trained.generate(70, 30)
    assert np.isfinite(longer.true[:80]).all()
    assert np.isnan(longer.true[80:]).all()


def test_columns_that_are_not_predicted_are_read_from_the_table(tmp_path):
    trained = table_run(tmp_path, "task.targets=[a]", "task.inputs=[b,a]")
    assert trained.generate(20, 10).true.shape == (30, 1)
    with pytest.raises(InvalidValue, match="length must be at most 61 after 20 steps of this series, got 62"):
        trained.generate(20, 62)
    trained.generate(20, 61)


@pytest.mark.parametrize("overrides", [("task.horizon=0",), ("task.targets=[a]", "task.inputs=[b]")])
def test_a_table_that_predicts_none_of_its_inputs_cannot_be_continued(tmp_path, overrides):
    with pytest.raises(UserError, match="can't continue sequences of task=table") as refused:
        table_run(tmp_path, *overrides).generate(10)
    assert "if a target is an input and horizon >= 1" in refused.value.hint


def test_new_rows_of_a_table_are_predicted_series_by_series_in_its_own_units(tmp_path):
    path = tmp_path / "two.csv"
    path.write_text("b,a\n" + "\n".join(f"{t % 2},{100 + 5 * np.sin(t / 7)}" for t in range(200)))
    trained = rnnexp.load(train(tmp_path / "run", "task=table", f"task.path={path}", "task.sequence=b", "steps=20"))
    rows = pd.DataFrame({"b": list("mnmn"), "a": [101.0, 97.0, 102.0, 99.0]}, index=list("wxyz"))
    found = trained.predict(rows)
    assert (list(found), list(found.index)) == (["a"], list("wxyz"))
    mean, std = trained.task.means["a"], trained.task.stds["a"]
    for at in ([0, 2], [1, 3]):
        inputs = (rows["a"].to_numpy()[at, None, None] - mean) / std
        outputs = trained.network.replica().forward(inputs.astype(np.float32))[:, 0, 0]
        assert np.allclose(found["a"].to_numpy()[at], outputs * std + mean, atol=1e-4)
    alone = trained.predict(rows[["a"]].iloc[[0, 2]])
    assert np.allclose(alone["a"], found["a"].iloc[[0, 2]])
    assert trained.predict(rows.iloc[:0]).shape == (0, 1)


def test_rows_that_cannot_be_read_are_named(tmp_path, recall):
    trained = table_run(tmp_path)
    with pytest.raises(UserError, match="have no column 'b'"):
        trained.predict(pd.DataFrame({"a": [1.0], "bb": [2.0]}))
    with pytest.raises(UserError, match="column 'b', row 1: 3,5 is not a finite number"):
        trained.predict(pd.DataFrame({"a": [1.0, 2.0], "b": ["3", "3,5"]}))
    with pytest.raises(UserError, match="one of task=recall"):
        recall.predict(pd.DataFrame())


def test_the_sequences_of_a_table_are_continued_one_at_a_time(tmp_path):
    values = np.cumsum(np.random.default_rng(0).normal(size=(10, 40, 1)), axis=1)
    np.savez(tmp_path / "walks.npz", x=values)
    trained = rnnexp.load(
        train(tmp_path / "run", "task=table", f"task.path={tmp_path / 'walks.npz'}", "task.test_fraction=0")
    )
    series = trained.generate(length=10)
    assert series.prompt == 20
    held_out = [values[index, :30, 0] for index in (8, 9)]
    assert any(np.allclose(series.true[:, 0], walk, atol=1e-5) for walk in held_out)


@pytest.mark.parametrize(
    ("given", "problem", "hint"),
    [
        ({"rng": 0}, r"rng must be a numpy\.random\.Generator, got 0", "numpy.random.default_rng(0)"),
        ({"length": 0}, "length must be a whole number >= 1", ""),
        ({"prompt": "def"}, "prompt must be a number of steps, or an array", ""),
        ({"prompt": 0}, "prompt must be a whole number >= 1", ""),
        ({"prompt": np.ones((4, 2))}, "prompt must be a number of steps, or an array", "(4, 2)"),
        ({"prompt": [1.0, np.nan]}, "prompt must be a number of steps, or an array", ""),
        ({"temperature": 0.5}, "temperature must be left out for a series", "it is for text"),
    ],
)
def test_a_series_refuses_what_it_cannot_use(sine, given, problem, hint):
    with pytest.raises(InvalidValue, match=problem) as refused:
        sine.generate(**given)
    assert hint in refused.value.hint


def test_other_tasks_say_which_can(recall):
    with pytest.raises(UserError, match="can't continue sequences of task=recall") as refused:
        recall.generate()
    assert "text, sine and mackey_glass can" in refused.value.hint


def test_the_figure_shows_both_series(sine):
    series = sine.generate(40, 20)
    (axes,) = rnnexp.plot.continuation(series, title="a title").axes
    true, made = axes.lines
    assert np.array_equal(true.get_ydata(), series.true[:, 0])
    assert list(made.get_xdata()) == list(range(40, 60))
    assert np.array_equal(made.get_ydata(), series.generated[:, 0])
    assert axes.get_title() == "a title"
