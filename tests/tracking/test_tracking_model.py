"""A network written as a model computes what the network does, from files that hold no code but the model's own."""

import importlib.util
import json
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from rnnexp.checks import InvalidValue, UserError
from rnnexp.layers import TimeGRU, TimeLSTM, TimeRNN, build_network
from rnnexp.settings import check_model
from rnnexp.tasks import Adding, Recall, Table, Text
from rnnexp.tracking import model as models
from rnnexp.tracking.model import save_model
from rnnexp.training.sampling import generate

# MLflow warns of its own annotations when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")

CELLS = {"rnn": TimeRNN, "gru": TimeGRU, "lstm": TimeLSTM}
PLAIN = ("rnn", {}), ("gru", {}), ("lstm", {"forget_bias": 0.3})
ACTIVATIONS = [("rnn", {"activation": name}) for name in ("relu", "identity", "sigmoid")]


def code():
    spec = importlib.util.spec_from_file_location("the_models_code", models.CODE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model_code():
    return code()


def drawn(seed=3, **settings):
    """A network none of whose parameters is zero."""
    network = build_network(rng=np.random.default_rng(seed), **settings)
    noise = np.random.default_rng(4).normal(0, 0.1, network.parameters.vector.shape)
    network.parameters.vector += noise.astype(network.dtype)
    return network


def read_back(model_code, network, task, folder):
    """The model's own network, made from a description and weights that went through files."""
    (folder / "design.json").write_text(json.dumps(models.description(network, task)))
    np.savez(folder / "weights.npz", **network.parameters.values)
    with np.load(folder / "weights.npz", allow_pickle=False) as file:
        return model_code.Network(json.loads((folder / "design.json").read_text()), dict(file))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(("cell", "options"), [*PLAIN, *ACTIVATIONS])
@pytest.mark.parametrize("given", ["embedded tokens", "one-hot tokens", "tied tokens", "mapped values", "raw values"])
def test_the_model_computes_what_the_network_does_bit_for_bit(
    model_code, tmp_path, given, cell, options, layers, learned, dtype
):
    tokens, rng = given.endswith("tokens"), np.random.default_rng(0)
    size = 5 if tokens else 2
    network = drawn(
        hidden_size=7,
        output_size=size,
        input_size=size,
        input_kind="tokens" if tokens else "values",
        embedding_dim=None if given.startswith(("one-hot", "raw")) else 7 if given.startswith("tied") else 3,
        tie=given.startswith("tied"),
        cell=CELLS[cell],
        cell_options=options,
        num_layers=layers,
        learn_initial_state=learned,
        dtype=dtype,
    )
    inputs = rng.integers(size, size=(6, 4)) if tokens else rng.normal(size=(6, 4, size)).astype(dtype)
    copy = read_back(model_code, network, Recall() if tokens else Adding(), tmp_path)
    outputs = copy.forward(inputs)
    np.testing.assert_array_equal(outputs, network.forward(inputs))
    assert outputs.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(copy.forward(inputs), outputs)  # nothing is carried over


@pytest.mark.parametrize(("cell", "options"), PLAIN)
def test_a_state_that_is_given_moves_on(model_code, tmp_path, cell, options):
    network = drawn(
        hidden_size=7, output_size=4, embedding_dim=3, num_layers=2, cell=CELLS[cell], cell_options=options,
        learn_initial_state=True, dtype="float64",
    )  # fmt: skip
    tokens = np.random.default_rng(0).integers(4, size=(9, 2))
    copy = read_back(model_code, network, Recall(), tmp_path)
    state = copy.start(2)
    parts = [copy.forward(tokens[part], state) for part in (slice(0, 4), slice(4, 5), slice(5, 9))]
    np.testing.assert_allclose(np.concatenate(parts), copy.forward(tokens), rtol=1e-13)
    assert not np.allclose(parts[1], copy.forward(tokens[4:5]))  # which begins anew


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (np.array([[0, 4]]), "from 0 to 3, got 0 to 4"),
        (np.array([[-1, 0]]), "from 0 to 3, got -1 to 0"),
        (np.zeros((2, 2)), "whole numbers"),
        (np.zeros((2, 2, 1), int), "two axes"),
    ],
)
def test_tokens_that_do_not_fit_are_refused(model_code, tmp_path, inputs, said):
    copy = read_back(model_code, drawn(hidden_size=3, output_size=4), Recall(), tmp_path)
    with pytest.raises(ValueError, match=said):
        copy.forward(inputs)


def test_values_that_do_not_fit_are_refused(model_code, tmp_path):
    network = drawn(hidden_size=3, output_size=1, input_size=2, input_kind="values")
    copy = read_back(model_code, network, Adding(), tmp_path)
    with pytest.raises(ValueError, match="the last of size 2"):
        copy.forward(np.zeros((4, 1, 3)))


def test_a_description_of_another_form_is_refused(model_code):
    with pytest.raises(ValueError, match="form 1, got 2"):
        model_code.Network({"form": 2}, {})


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "words.txt"
    path.write_text("the cat sat on the mat;\nthe dog saw the cat.\n" * 20, encoding="utf-8")
    task = Text(path=str(path))
    return task, drawn(hidden_size=8, output_size=task.output_size, embedding_dim=4, cell=TimeGRU, seed=1)


@pytest.fixture(scope="module")
def written(text, tmp_path_factory):
    """A text model's folder, with room in front for what it must not need."""
    folder = tmp_path_factory.mktemp("run") / "model"
    save_model(text[1], text[0], folder)
    return folder


@pytest.fixture(scope="module")
def loaded(written):
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(str(written))


def test_a_text_model_continues_prompts_as_the_network_does(text, loaded):
    task, network = text
    said = loaded.predict(["\n"], params={"length": 50, "seed": 7})
    assert said == [task.decode(generate(network, task.start, 50, rng=np.random.default_rng(7)))]
    assert loaded.predict([""], params={"length": 50, "seed": 7}) == said  # an empty prompt is the start of the text


def test_a_prompt_is_read_whole_and_others_beside_it_do_not_matter(text, loaded):
    task, network = text
    prompt, drawn_ones = "the c", []
    network.reset_state()
    tokens = task.encode(prompt)[:, np.newaxis]
    for _ in range(20):  # with nothing drawn at random, each the likeliest of all that came before
        outputs = network.forward(tokens)
        network.reset_state()
        tokens = np.concatenate([tokens, [[outputs[-1, 0].argmax()]]])
        drawn_ones.append(int(tokens[-1, 0]))
    said = loaded.predict([prompt, "dog"], params={"length": 20, "temperature": 0.0})
    assert said[0] == task.decode(drawn_ones)
    assert loaded.predict(["dog"], params={"length": 20, "temperature": 0.0}) == said[1:]


def test_temperature_length_and_seed_do_something(loaded):
    def say(**params):
        return loaded.predict(["the "], params={"length": 60, **params})[0]

    assert say(seed=1) == say(seed=1) != say(seed=2)
    assert say(temperature=0.0, seed=1) == say(temperature=0.0, seed=2)
    assert len(set(say(temperature=0.05))) < len(set(say(temperature=50.0)))
    assert [len(say(length=length)) for length in (1, 7)] == [1, 7]
    assert len(loaded.predict(["the "])[0]) == 200


def test_a_text_model_gives_the_logits_of_prompts(text, loaded):
    task, network = text
    prompts = ["the cat", "dog saw"]
    network.reset_state()
    expected = network.forward(np.stack([task.encode(prompt) for prompt in prompts], axis=1)).swapaxes(0, 1)
    np.testing.assert_array_equal(loaded.predict(prompts, params={"length": 0}), expected)


@pytest.mark.parametrize(
    ("prompts", "params", "said"),
    [
        (["a"], {"temperature": -1.0}, "temperature must be"),
        (["a"], {"temperature": float("nan")}, "temperature must be"),
        (["a"], {"length": -1}, ">= 0"),
        (["a"], {"seed": -1}, ">= 0"),
        (["a", "at"], {"length": 0}, "of one length"),
        ([""], {"length": 0}, "not empty"),
    ],
)
def test_what_a_text_model_can_not_do_is_told(loaded, prompts, params, said):
    with pytest.raises(ValueError, match=said):
        loaded.predict(prompts, params=params)


def test_unknown_characters_are_the_unknown_symbol_or_left_out(text, loaded, model_code):
    task, _ = text
    assert loaded.unwrap_python_model().encode("tXhé") == list(task.encode("tXhé")) == list(task.encode("th"))
    capped = Text(output_size=5, path=None)
    model = model_code.Model()
    model.characters = capped.characters
    assert model.encode("e\0x") == list(capped.encode("e\0x"))


def test_the_files_are_plain(written):
    """No pickle, no path of this machine, and nothing asked for but numpy and mlflow."""
    names = {path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()}
    assert {"MLmodel", "model_code.py", "artifacts/weights.npz", "artifacts/design.json", "requirements.txt"} <= names
    assert not any(name.endswith((".pkl", ".pyc")) for name in names)
    with zipfile.ZipFile(written / "artifacts/weights.npz") as archive:
        for name in archive.namelist():
            np.lib.format.read_magic(file := archive.open(name))
            assert not np.lib.format.read_array_header_1_0(file)[2].hasobject
    asked = [line.partition("==")[0] for line in (written / "requirements.txt").read_text().split()]
    assert sorted(asked) == ["mlflow", "numpy"]
    for name in names - {"artifacts/weights.npz"}:
        told = (written / name).read_text(encoding="utf-8")
        assert str(models.CODE.parents[2]) not in told and str(written.parent) not in told and "/tmp" not in told, name
    source = models.CODE.read_text(encoding="utf-8")
    assert (written / "model_code.py").read_text(encoding="utf-8") == source
    assert "import rnnexp" not in source and "from rnnexp" not in source
    assert not any(word in source for word in ("eval(", "exec(", "pickle.", "__import__"))


def test_code_and_description_are_of_one_form(model_code):
    assert model_code.FORM == models.FORM


def test_signatures_say_batch_first(tmp_path, loaded):
    import mlflow.pyfunc
    from mlflow.types import TensorSpec

    cases = [
        (Recall(), {"output_size": 4}, (-1, -1), "int64"),
        (Adding(), {"output_size": 1, "input_size": 2, "input_kind": "values"}, (-1, -1, 2), "float64"),
    ]
    for number, (task, settings, shape, dtype) in enumerate(cases):
        network = drawn(hidden_size=3, dtype="float64", **settings)
        save_model(network, task, tmp_path / str(number))
        model = mlflow.pyfunc.load_model(str(tmp_path / str(number)))
        signature = model.metadata.signature
        assert signature.inputs.inputs == [TensorSpec(np.dtype(dtype), shape)]
        assert signature.outputs.inputs == [TensorSpec(np.dtype("float64"), (-1, -1, settings["output_size"]))]
        example = model.input_example
        inputs = np.concatenate([example, example[:, ::-1]])  # two sequences
        expected = network.forward(np.ascontiguousarray(inputs.swapaxes(0, 1))).swapaxes(0, 1)
        np.testing.assert_array_equal(model.predict(inputs), expected)
    assert [spec.name for spec in loaded.metadata.signature.params] == ["length", "temperature", "seed"]


def test_a_table_model_tells_the_units_of_its_columns(tmp_path):
    np.savez(tmp_path / "waves.npz", a=np.arange(200.0), b=np.cos(np.arange(200.0)))
    task = Table(path=str(tmp_path / "waves.npz"))
    told = models.description(drawn(hidden_size=3, output_size=2, input_size=2, input_kind="values"), task)
    assert told["means"] == {name: float(value) for name, value in task.means.items()}
    assert told["stds"]["a"] > 1
    json.dumps(told)


def test_saving_again_replaces_what_was_there_and_leaves_no_module_behind(text, tmp_path):
    task, network = text
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "stale").write_text("")
    save_model(network, task, tmp_path / "model")
    assert not (tmp_path / "model" / "stale").exists()
    before = set(sys.modules)
    save_model(network, task, tmp_path / "model")
    assert set(sys.modules) == before


class Own(TimeGRU):
    """A person's own cell, which has its formulas elsewhere."""


def test_only_single_networks_of_our_cells_can_be_models(tmp_path):
    with pytest.raises(UserError, match="Own"):
        save_model(drawn(hidden_size=3, output_size=4, cell=Own), Recall(), tmp_path / "model")
    stack = build_network(hidden_size=3, output_size=4, rng=[np.random.default_rng(seed) for seed in range(2)])
    with pytest.raises(UserError, match="single"):
        save_model(stack, Recall(), tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("backend", "target", "said"),
    [
        ("none", "rnnexp.layers.TimeRNN", "tracking=none"),
        ("mlflow", "mine.Leaky", "mine.Leaky"),
        ("mlflow", "mine.TimeRNN", "mine.TimeRNN"),
        ("mlflow", "rnnexp.layers.Recurrent", "Recurrent"),
    ],
)
def test_a_model_that_can_not_be_kept_is_refused_before_training(backend, target, said):
    with pytest.raises(InvalidValue, match=r"tracking\.model must be false") as refused:
        check_model({"model": True, "backend": backend}, {"_target_": target})
    assert said in refused.value.message()
    check_model({"model": False, "backend": backend}, {"_target_": target})


def test_every_cell_that_is_let_through_can_be_a_model():
    for cell in models.CELLS:
        check_model({"model": True, "backend": "mlflow"}, {"_target_": f"rnnexp.layers.{cell.__name__}"})


@pytest.mark.parametrize(
    ("wanted", "alone", "in_a_sweep"), [(True, True, True), (False, False, False), (None, True, False)]
)
def test_when_a_model_is_kept(wanted, alone, in_a_sweep):
    def kept(sweep):
        return models.model_wanted(SimpleNamespace(settings={"tracking": {"model": wanted}}, sweep=sweep))

    assert (kept(None), kept(object())) == (alone, in_a_sweep)
    older = SimpleNamespace(settings={"tracking": {}}, sweep=None)  # a run begun by a version without this key
    assert not models.model_wanted(older)


def test_a_store_that_takes_nothing_leaves_the_model_in_the_run_folder(text, tmp_path, capsys):
    task, network = text
    info = SimpleNamespace(settings={"tracking": {"model": True}}, sweep=None, folder=tmp_path, params=dict)
    experiment = SimpleNamespace(network=network, task=task)
    for run_id, undelivered in ((None, False), ("7", True)):
        run = SimpleNamespace(id=run_id, undelivered=undelivered, store=SimpleNamespace(uri="http://ann:secret@host"))
        assert models.keep_model(info, experiment, run) == []
        said = capsys.readouterr().err
        problem, where = said.splitlines()[-2:]
        assert problem.startswith("rnnexp: the model was not logged: ") and str(tmp_path / "model") in where
        assert "secret" not in said
        assert (tmp_path / "model" / "MLmodel").is_file()
    assert models.keep_model(info, experiment, None) == []  # tracking=none


ELSEWHERE = """
import sys
sys.path.insert(0, sys.argv[1])
try:
    import rnnexp.layers
except ImportError:
    pass
else:
    sys.exit("rnnexp is there")
import mlflow.pyfunc
print(mlflow.pyfunc.load_model(sys.argv[2]).predict(["the "], params={"length": 40, "seed": 3}))
"""


def test_it_runs_where_this_package_is_not(written, loaded, tmp_path):
    packages = str(np.__path__[0]).rpartition("numpy")[0]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", ELSEWHERE, packages, str(written)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert done.stdout.strip() == str(loaded.predict(["the "], params={"length": 40, "seed": 3}))
    assert not list(tmp_path.iterdir())  # no database, no folder
