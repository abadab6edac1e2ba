"""A network written as a model computes what the network does, from files that hold no code but the model's own."""

import json
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from rnnexp.checks import InvalidValue, UserError
from rnnexp.layers import TimeGRU, TimeLeaky, TimeLSTM, TimeRNN, build_network
from rnnexp.settings import PORTABLE_CELLS, check_model
from rnnexp.tasks import Adding, Recall, Table, Text
from rnnexp.tracking import model as models
from rnnexp.tracking import model_code
from rnnexp.tracking.model import save_model
from rnnexp.training.sampling import generate

# MLflow warns of its own annotations when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")

INPUTS = ("embedded tokens", "one-hot tokens", "tied tokens", "mapped values", "raw values")
CELLS = [
    (TimeRNN, {}),
    (TimeRNN, {"activation": "relu"}),
    (TimeRNN, {"activation": "identity"}),
    (TimeRNN, {"activation": "sigmoid"}),
    (TimeGRU, {}),
    (TimeLSTM, {"forget_bias": 0.3}),
    (TimeLeaky, {"leak": 0.3}),
]
#: Folders of a shipped package.
ROOMS = ("layers", "tracking")
#: Every pair of choices at least once: inputs, cell, layers, learned initial states, dtype.
CHOICES = [
    (given, *cell, (1, 3)[(i + j) % 2], bool((i + j // 2) % 2), ("float32", "float64")[(i // 2 + j) % 2])
    for i, given in enumerate(INPUTS)
    for j, cell in enumerate(CELLS)
]


def drawn(seed=3, **settings):
    """A network none of whose parameters is zero."""
    network = build_network(rng=np.random.default_rng(seed), **settings)
    noise = np.random.default_rng(4).normal(0, 0.1, network.parameters.vector.shape)
    network.parameters.vector += noise.astype(network.dtype)
    return network


def read_back(network, task, folder):
    """The model's own object, from a description and weights that went through files."""
    (folder / "design.json").write_text(json.dumps(models.description(network, task)))
    np.savez(folder / "weights.npz", **network.parameters.values)
    return model_code._load_pyfunc(str(folder))


def load(folder):
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(str(folder))


def expected(network, inputs):
    """The outputs of a network that begins anew, batch first."""
    network.reset_state()
    return network.forward(np.ascontiguousarray(inputs.swapaxes(0, 1))).swapaxes(0, 1)


@pytest.mark.parametrize(("given", "cell", "options", "layers", "learned", "dtype"), CHOICES)
def test_the_model_computes_what_the_network_does_bit_for_bit(tmp_path, given, cell, options, layers, learned, dtype):
    tokens, rng = given.endswith("tokens"), np.random.default_rng(0)
    size = 5 if tokens else 2
    network = drawn(
        hidden_size=7,
        output_size=size,
        input_size=size,
        input_kind="tokens" if tokens else "values",
        embedding_dim=None if given.startswith(("one-hot", "raw")) else 7 if given.startswith("tied") else 3,
        tie=given.startswith("tied"),
        cell=cell,
        cell_options=options,
        num_layers=layers,
        learn_initial_state=learned,
        dtype=dtype,
    )
    inputs = rng.integers(size, size=(4, 6)) if tokens else rng.normal(size=(4, 6, size)).astype(dtype)
    model = read_back(network, Recall() if tokens else Adding(), tmp_path)
    outputs = model.predict(inputs)
    np.testing.assert_array_equal(outputs, expected(network, inputs))
    assert outputs.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(model.predict(inputs), outputs)  # nothing is carried over


def test_several_threads_can_ask_one_model(tmp_path):
    network = drawn(hidden_size=40, output_size=5, embedding_dim=3, num_layers=2, cell=TimeGRU)
    model = read_back(network, Recall(), tmp_path)
    inputs = [np.random.default_rng(seed).integers(5, size=(4, 200)) for seed in range(6)]
    with ThreadPoolExecutor(4) as pool:
        outputs = list(pool.map(model.predict, inputs))
    for given, found in zip(inputs, outputs, strict=True):
        np.testing.assert_array_equal(found, expected(network, given))


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "words.txt"
    path.write_text("the cat sat on the mat;\nthe dog saw the cat.\n" * 20, encoding="utf-8")
    task = Text(path=str(path))
    return task, drawn(hidden_size=8, output_size=task.output_size, embedding_dim=4, cell=TimeGRU, seed=1)


@pytest.fixture(scope="module")
def written(text, tmp_path_factory):
    """A text model's folder."""
    folder = tmp_path_factory.mktemp("run") / "model"
    save_model(text[1], text[0], folder)
    return folder


@pytest.fixture(scope="module")
def loaded(written):
    return load(written)


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    """A network for values and its model's folder."""
    network = drawn(hidden_size=3, output_size=1, input_size=2, input_kind="values", dtype="float64", cell=TimeLSTM)
    folder = tmp_path_factory.mktemp("values") / "model"
    save_model(network, Adding(), folder)
    return network, folder


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
    tokens = np.stack([task.encode(prompt) for prompt in prompts])
    np.testing.assert_array_equal(loaded.predict(prompts, params={"length": 0}), expected(network, tokens))


@pytest.mark.parametrize(
    ("prompts", "params", "said"),
    [
        (["a"], {"temperature": -1.0}, "temperature must be"),
        (["a"], {"temperature": float("nan")}, "temperature must be"),
        (["a"], {"length": -1}, ">= 0"),
        (["a"], {"seed": -1}, ">= 0"),
        (["a", "at"], {"length": 0}, "the same length"),
        ([""], {"length": 0}, "not be empty"),
    ],
)
def test_what_a_text_model_can_not_do_is_told(loaded, prompts, params, said):
    with pytest.raises(ValueError, match=said):
        loaded.predict(prompts, params=params)


def test_unknown_characters_are_the_unknown_symbol_or_left_out(text, tmp_path):
    task, network = text
    assert read_back(network, task, tmp_path).encode("tXhé") == list(task.encode("tXhé")) == list(task.encode("th"))
    capped = Text(output_size=5, path=None)
    model = read_back(drawn(hidden_size=3, output_size=5), capped, tmp_path)
    assert model.encode("e\0x") == list(capped.encode("e\0x")) == [capped.characters.index("e"), 4, 4]


def test_the_files_are_plain(text, tmp_path):
    """No pickle, no bytecode, no path of this machine, and nothing asked for but numpy and mlflow."""
    save_model(text[1], text[0], folder := tmp_path / "model")
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    (code,) = (folder / "code").iterdir()
    shipped = {path.relative_to(code).as_posix() for path in code.rglob("*") if path.is_file()}
    assert {"MLmodel", "data/network/weights.npz", "data/network/design.json", "requirements.txt"} <= names
    assert not any(name.endswith((".pkl", ".pyc")) for name in names)
    with zipfile.ZipFile(folder / "data/network/weights.npz") as archive:
        for name in archive.namelist():
            np.lib.format.read_magic(file := archive.open(name))
            assert not np.lib.format.read_array_header_1_0(file)[2].hasobject
    asked = [line.partition("==")[0] for line in (folder / "requirements.txt").read_text().split()]
    assert sorted(asked) == ["mlflow", "numpy"]
    for name in names - {"data/network/weights.npz"}:
        said = (folder / name).read_text(encoding="utf-8")
        assert str(models.PACKAGE.parent) not in said and str(tmp_path) not in said and "/tmp" not in said, name
    for name in shipped:
        source = (models.PACKAGE / name).read_bytes()
        assert (code / name).read_bytes() == source
        assert not any(word in source for word in (b"import rnnexp", b"from rnnexp", b"eval(", b"exec(", b"pickle."))
    load(folder)  # every file that is shipped is used
    used = {name for name in sys.modules if name.startswith(f"{code.name}.")} - {f"{code.name}.{n}" for n in ROOMS}
    assert {f"{code.name}.{name.removesuffix('.py').replace('/', '.')}" for name in shipped} == used


def test_signatures_say_batch_first(values, loaded, tmp_path):
    from mlflow.types import TensorSpec

    tokens = drawn(hidden_size=3, output_size=4, dtype="float64")
    save_model(tokens, Recall(), tmp_path / "model")
    for (network, folder), shape, dtype, size in (
        ((tokens, tmp_path / "model"), (-1, -1), "int64", 4),
        (values, (-1, -1, 2), "float64", 1),
    ):
        model = load(folder)
        signature = model.metadata.signature
        assert signature.inputs.inputs == [TensorSpec(np.dtype(dtype), shape)]
        assert signature.outputs.inputs == [TensorSpec(np.dtype("float64"), (-1, -1, size))]
        example = model.input_example
        inputs = np.concatenate([example, example[:, ::-1]])  # two sequences
        np.testing.assert_array_equal(model.predict(inputs), expected(network, inputs))
    params = [(spec.name, spec.dtype.name, spec.default) for spec in loaded.metadata.signature.params]
    assert params == [("length", "long", 200), ("temperature", "double", 1.0), ("seed", "long", 0)]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (np.array([[0, 4]]), "from 0 to 3, got 0 to 4"),
        (np.array([[-1, 0]]), "from 0 to 3, got -1 to 0"),
        (np.zeros((2, 2)), "does not match expected dtype int64"),
        (np.zeros((2, 2, 1), int), r"shape \(-1, -1\)"),
    ],
)
def test_tokens_that_do_not_fit_are_refused(tmp_path, inputs, said):
    save_model(drawn(hidden_size=3, output_size=4), Recall(), tmp_path / "model")
    with pytest.raises(Exception, match=said):
        load(tmp_path / "model").predict(inputs)


def test_values_that_do_not_fit_are_refused(values):
    with pytest.raises(Exception, match=r"shape \(-1, -1, 2\)"):
        load(values[1]).predict(np.zeros((4, 1, 3)))


def test_a_table_model_takes_and_returns_the_units_of_its_columns(tmp_path):
    np.savez(tmp_path / "waves.npz", a=np.arange(200.0), b=np.cos(np.arange(200.0)))
    task = Table(path=str(tmp_path / "waves.npz"), inputs=["b", "a"], targets=["a"])
    network = drawn(hidden_size=3, output_size=1, input_size=2, input_kind="values")
    save_model(network, task, tmp_path / "model")
    rows = np.array([[[0.5, 90.0], [-0.2, 91.0], [0.1, 95.0]]], np.float32)
    mean, std = (np.array([of["b"], of["a"]]) for of in (task.means, task.stds))
    expected = network.replica().forward(((rows[0, :, np.newaxis] - mean) / std).astype(np.float32))[:, 0]
    found = load(tmp_path / "model").predict(rows)
    assert found.dtype == np.float32
    assert np.allclose(found[0], expected * task.stds["a"] + task.means["a"], rtol=1e-5)


def test_saving_again_replaces_what_was_there_and_leaves_no_module_behind(text, tmp_path):
    task, network = text
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "stale").write_text("")
    save_model(network, task, tmp_path / "model")
    assert not (tmp_path / "model" / "stale").exists()
    before = set(sys.modules), list(sys.path)
    save_model(network, task, tmp_path / "model")
    assert (set(sys.modules), sys.path) == before


class Own(TimeGRU):
    """A user's own cell, which has its formulas elsewhere."""


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
    assert {cell.__name__ for cell in model_code.CELLS.values()} == set(PORTABLE_CELLS)
    for cell in PORTABLE_CELLS:
        check_model({"model": True, "backend": "mlflow"}, {"_target_": f"rnnexp.layers.{cell}"})


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
        assert models.keep_model(info, experiment, run, 5) == []
        said = capsys.readouterr().err
        problem, where = said.splitlines()[-2:]
        assert problem.startswith("rnnexp: the model was not logged: ") and str(tmp_path / "model") in where
        assert "secret" not in said
        assert (tmp_path / "model" / "MLmodel").is_file()
    assert models.keep_model(info, experiment, None, 5) == []  # tracking=none


ELSEWHERE = """
import sys
sys.path.insert(0, sys.argv[1])
try:
    import rnnexp.layers
except ImportError:
    sys.modules.pop("rnnexp", None)  # a mere folder of that name
else:
    sys.exit("rnnexp is there")
import mlflow.pyfunc
import numpy as np
print(mlflow.pyfunc.load_model(sys.argv[2]).predict(["the "], params={"length": 40, "seed": 3}))
sys.path.insert(0, sys.argv[3])
try:
    import rnnexp
except RuntimeError:
    print(mlflow.pyfunc.load_model(sys.argv[4]).predict(np.ones((1, 2, 2))).tolist())
"""


@pytest.fixture
def later(values, tmp_path, monkeypatch):
    """The model of `values` as another version of this package writes it, whose outputs are larger by one."""
    shutil.copytree(models.PACKAGE, tmp_path / "rnnexp", ignore=shutil.ignore_patterns("__pycache__"))
    linear = tmp_path / "rnnexp" / "layers" / "linear.py"
    source = linear.read_text(encoding="utf-8")
    changed = source.replace("self._returned(ys)", "self._returned(ys) + 1")
    assert changed != source
    linear.write_text(changed, encoding="utf-8")
    monkeypatch.setattr(models, "PACKAGE", tmp_path / "rnnexp")
    save_model(values[0], Adding(), tmp_path / "later")
    return tmp_path / "later"


def test_models_of_two_versions_in_one_process_keep_to_their_own_code(values, later):
    network, folder = values
    inputs = np.ones((1, 2, 2))
    models_there = [load(place) for place in (folder, later, folder)]
    for model, more in zip(models_there, (0.0, 1.0, 0.0), strict=True):
        np.testing.assert_array_equal(model.predict(inputs), expected(network, inputs) + more)
    assert models_there[0].loader_module == models_there[2].loader_module != models_there[1].loader_module


def test_it_runs_where_this_package_is_not_and_where_a_broken_one_is(written, loaded, values, later, tmp_path):
    packages = str(np.__path__[0]).rpartition("numpy")[0]
    (tmp_path / "broken" / "rnnexp").mkdir(parents=True)
    (tmp_path / "broken" / "rnnexp" / "__init__.py").write_text("raise RuntimeError")
    before = set(tmp_path.iterdir())
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", ELSEWHERE, packages, written, tmp_path / "broken", later],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    text, outputs = done.stdout.splitlines()
    assert text == str(loaded.predict(["the "], params={"length": 40, "seed": 3}))
    assert outputs == str((expected(values[0], np.ones((1, 2, 2))) + 1).tolist())
    assert set(tmp_path.iterdir()) == before  # no database, no folder
