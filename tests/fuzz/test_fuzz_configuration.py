"""Any configuration trains two steps, or is refused in two lines. The space is what conf/ holds."""

import copy
import functools
import subprocess
import sys

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from rnnexp.build import build_experiment
from rnnexp.checks import UserError, out_of_memory
from rnnexp.command import hydra_errors
from rnnexp.command.check_first import register
from rnnexp.settings import GROUPS, check_root, conf_dir

resource = pytest.importorskip("resource")

#: What the process may allocate beyond what it has, so that a size too large fails in the test, not the machine.
ROOM = 3 * 2**30
CHOICES = {
    group: sorted(path.stem for path in (conf_dir() / group).glob("*.yaml")) for group in (*GROUPS, "experiment")
}
KINDS = sorted(path.stem for path in (conf_dir() / "initializer").glob("*.yaml"))
WEIGHTS = ("embedding", "input", "recurrent", "output", "state")
#: Sizes that keep a run short, where the task has them.
SMALL = {"eval_sequences": 5, "eval_streams": 3, "eval_steps": 60, "length": 30}

numbers = st.one_of(
    st.integers(-2, 12).map(str),
    st.sampled_from(["0.5", "1.0", "1.5", "-0.25", "1e-3", "1e30", "1e300", "1e-300", "-1e300", "0.0", "-0.0"]),
    st.floats(-2, 2, allow_nan=False).map(lambda value: f"{value:.3f}"),
)
huge = st.sampled_from(["1000000000", str(2**31), str(2**63), str(2**64), "1" + "0" * 30, "-1" + "0" * 30])
odd = st.one_of(
    st.sampled_from(
        ["nan", "inf", "-inf", "null", "true", "false", "''", "' '", "'5'", "text", "'two\\nlines'", "a,b"]
    ),
    st.sampled_from(["[]", "[1]", "[1,2,x]", "[[0,1.0]]", "[[0,.nan]]", "[null]", "{}", "{a:1}", "'???'", "/", "~"]),
    st.sampled_from(["'${nothing}'", "'${seed}'", "recurrent", "[embedding,recurrent.b]", "float64", "\udcff"]),
    st.sampled_from(["os.system", "rnnexp.layers.TimeRNN", "rnnexp.tasks.Echo"]),
)
#: Weighted so that about two draws in five are refused.
KINDS_OF_VALUES = [*["fit"] * 5, "number", "number", "odd", "odd", "huge"]
MISTYPED = ["hiden_size", "task.lgth", "nothing", "cell.b", "optimizer.lr", "task.path.deep"]


@functools.cache
def composed(choices):
    """The configuration that choices of groups make, with small sizes, in text."""
    return compose("config", overrides=list(choices))


def keys_of(config, prefix=""):
    """The keys that hold a value."""
    for key in config:
        inner = None if OmegaConf.is_missing(config, key) else config._get_node(key)
        yield from keys_of(inner, f"{prefix}{key}.") if isinstance(inner, DictConfig) and inner else [f"{prefix}{key}"]


@functools.cache
def bases():
    """Some combinations of choices, in which every choice of every group occurs."""
    rng = np.random.default_rng(0)
    made = [(group, choice) for group, choices in CHOICES.items() for choice in choices]
    made += [("initializer@init." + weights, kind) for weights, kind in zip(WEIGHTS * 9, KINDS, strict=False)]
    found = []
    for group, choice in made:
        others = [name for name in GROUPS if name != group and rng.random() < 0.4]
        others = [] if group == "experiment" else others
        drawn = [f"{name}={CHOICES[name][rng.integers(len(CHOICES[name]))]}" for name in others]
        found.append((f"{group}={choice}", *drawn))
    return found


def smaller(config, files):
    """Overrides that keep a run short."""
    sizes = {"steps": 2, "batch_size": 3, **{f"task.{key}": SMALL[key] for key in SMALL if key in config.task}}
    if config.hidden_size > 30:
        sizes["hidden_size"] = 6
    if config.task.get("lag") is not None:
        sizes["task.lag"] = 4
    name = str(config.task._target_).rpartition(".")[2]
    if name in files:
        sizes["task.path"] = f"'{files[name]}'"
    return [f"{key}={value}" for key, value in sizes.items()]


def near(present):
    """Values of the kind of the present one, in text."""
    if isinstance(present, bool):
        return st.sampled_from(["true", "false"])
    if isinstance(present, int):
        return st.integers(1, 12).map(str)
    if isinstance(present, float):
        return st.floats(0.01, 1).map(lambda value: f"{value:.3f}")
    return st.just("null") if present is None else st.just(f"'{present}'")


@st.composite
def drawn(draw):
    """Choices of groups, and overrides beside them."""
    choices = draw(st.sampled_from(bases()))
    base = composed(choices)
    overrides = []
    for _ in range(draw(st.sampled_from([0, 1, 1, 2, 3, 4]))):
        # Drawn so, since one_of leaves out what it is given twice.
        key = draw(st.sampled_from(MISTYPED if draw(st.integers(0, 24)) == 7 else list(keys_of(base))))
        kind = draw(st.sampled_from(KINDS_OF_VALUES))
        present = OmegaConf.select(base, key, throw_on_missing=False)
        value = draw({"fit": near(present), "number": numbers, "odd": odd, "huge": huge}[kind])
        overrides.append(f"{key}={value}")
    return choices, overrides


def outcome(choices, overrides, files):
    """`trained`, or the message of the refusal; anything else gets out."""
    base = composed(choices)
    try:
        parsed = OverridesParser.create().parse_overrides([*smaller(base, files), *overrides])
        config = copy.deepcopy(base)
        ConfigLoaderImpl._apply_overrides_to_config(parsed, config)
    except Exception as error:
        with pytest.MonkeyPatch.context() as patch:  # what known_values composes is composed already
            patch.setattr(hydra_errors, "known_values", lambda arguments: dict.fromkeys([*base, *keys_of(base)]))
            told = hydra_errors.explain(error, [*choices, *overrides])
        if told is None:
            raise
        return told.message()
    steps = OmegaConf.select(config, "steps", throw_on_missing=False)
    if steps is not None and steps > 2:
        OmegaConf.update(config, "steps", 2)
    try:
        experiment = build_experiment(check_root(config))
    except UserError as error:
        return error.message()
    except MemoryError as error:
        return out_of_memory(error).message()
    assert list(experiment.reports())
    return "trained"


@pytest.fixture(scope="module", autouse=True)
def hydra():
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """What the tasks read that need a file, or would read a long one."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "a.csv").write_text("load,heat\n" + "\n".join(f"{row},{row % 7}" for row in range(80)))
    (folder / "a.txt").write_text("the cat sat on the mat\n" * 20)
    return {"Table": folder / "a.csv", "Text": folder / "a.txt"}


@pytest.fixture(scope="module")
def limited():
    """A bound on what this process may allocate."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as pages:  # noqa: PTH123  it is no file to be read whole
        present = int(pages.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (present + ROOM, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("draws", [50, pytest.param(2000, marks=pytest.mark.thorough)])
def test_any_configuration_trains_or_is_refused_in_two_lines(files, limited, tmp_path, monkeypatch, draws):
    monkeypatch.chdir(tmp_path)
    results = []

    @settings(
        max_examples=draws, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(drawn())
    def any_draw(draw):
        told = outcome(*draw, files)
        results.append(told)
        assert len(told.splitlines()) <= 2
        assert list(tmp_path.iterdir()) == []

    any_draw()
    trained = results.count("trained")
    assert trained > draws // 5
    assert len(results) - trained > draws // 5
    assert len(results) >= draws


DATA = {"csv": b"a,b\n1,2\n3,4\n", "npz": b"PK\x03\x04cut off", "txt": b"\xff\xfe"}
#: Command lines of all kinds, with how they must end: 0 trains, 1 refuses.
COMMANDS = [
    (0, ["hidden_size=3", "optimizer=sgd", "cell=gru"]),
    (0, ["task=sine", "algorithm=artbp", "gradients=full", "task.eval_steps=60"]),
    (0, ["task=text", "task.path=good.txt", "embedding_dim=null", "dtype=float64"]),
    (1, ["hidden_size=1000000000"]),
    (1, ["num_layers=1000000000"]),
    (1, ["batch_size=1000000000000"]),
    (1, ["task=mackey_glass", "task.eval_steps=1000000000"]),
    (1, ["optimizer.learning_rate=nan"]),
    (1, ["hiden_size=3"]),
    (1, ["task=table", "task.path=bad.npz"]),
    (1, ["task=text", "task.path=bad.txt"]),
    (1, ["task.lag='two\\nlines'"]),
    (1, ["cell._target_='${nothing}'"]),
]


#: The first that trains and the first that is refused, and the others thoroughly.
COMMANDS = [pytest.param(*row, marks=() if at in (0, 3) else pytest.mark.thorough) for at, row in enumerate(COMMANDS)]


@pytest.mark.parametrize(("code", "arguments"), COMMANDS, ids=str)
def test_the_command_trains_or_refuses_in_two_lines_and_leaves_no_folder(code, arguments, tmp_path):
    for kind, content in DATA.items():
        (tmp_path / f"bad.{kind}").write_bytes(content)
    (tmp_path / "good.txt").write_text("the cat sat on the mat\n" * 20)
    before = {path.name for path in tmp_path.iterdir()}
    ended = subprocess.run(
        [sys.executable, "-m", "rnnexp", "tracking=none", "tracking.figures=false", "steps=2", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    if code:
        assert ended.stderr.startswith("rnnexp: ")
        assert len(ended.stderr.splitlines()) <= 2
        assert {path.name for path in tmp_path.iterdir()} == before
    else:
        assert (tmp_path / "outputs").is_dir()
