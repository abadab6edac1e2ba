"""`import rnnexp`: what a notebook uses, without Hydra and MLflow; and how the package is to be cited."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
import typing
from pathlib import Path

import numpy as np
import pytest
import yaml

import rnnexp
from rnnexp.checks import InvalidValue

PACKAGE = Path(rnnexp.__file__).parent
HEAVY = ("hydra", "omegaconf", "mlflow", "matplotlib", "pandas", "scipy", "rich")


def python(source):
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", source], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_import_alone_loads_nothing_of_the_rooms():
    loaded = python(
        "import rnnexp, sys; print('numpy' in sys.modules, sorted(m for m in sys.modules if 'rnnexp' in m))"
    )
    assert loaded.split(maxsplit=1) == ["False", "['rnnexp', 'rnnexp.version']\n"]


def test_the_command_waits_for_nothing_heavy_before_it_answers():
    heavy = ("numpy", "mlflow", "matplotlib", "pandas", "scipy", "rich", "filelock", "multiprocessing")
    source = f"""
import sys
import rnnexp.command.entry, rnnexp.sweeps.lifecycle
print([name for name in {heavy} if name in sys.modules])
"""
    assert python(source) == "[]\n"


def test_every_public_name_is_there_without_hydra_and_mlflow():
    source = """
import sys
sys.modules.update(dict.fromkeys(["hydra", "omegaconf", "hydra_plugins", "mlflow"]))  # as if they were not installed
import rnnexp
for name in rnnexp.__all__:
    getattr(rnnexp, name)
print(len(rnnexp.__all__))
"""
    assert int(python(source)) == len(rnnexp.__all__)


def test_a_training_and_its_figures_need_neither_hydra_nor_mlflow():
    source = f"""
import sys
from rnnexp import *
import rnnexp

def heavy():
    return [name for name in {HEAVY} if name in sys.modules]

streams, task = Streams(seed=0), tasks.Recall(lag=2)
network = build_network(task, hidden_size=4, rng=streams.init)
held_out = task.evaluation(rng=streams.evaluation)
study = GradientStudy(jacobians=True, lag_split=True, lyapunov_exponents=2)
reports = list(train(network, task, optimizer=Adam(), steps=3, rng=streams.data, algorithm=TruncatedBPTT(),
    clipping=NormClipping(), evaluate_on=held_out, study=lambda network: study(network, held_out, task.target_kind)))
evaluate(network, held_out, task.target_kind)
norms = norms_by_lag(network, held_out, task.target_kind)
assert len(lyapunov(network, held_out, 2)) == 2
print(heavy())
plot.losses(reports, task), plot.gradient_by_lag(norms), plot.figures(reports, task)
print(heavy())
"""
    assert python(source) == "[]\n['matplotlib']\n"


def test_every_name_is_there_and_is_that_of_its_room():
    for name in rnnexp.__all__:
        assert getattr(rnnexp, name).__name__.removeprefix("rnnexp.") == name
    assert set(rnnexp.__all__) <= set(dir(rnnexp))
    assert len(set(rnnexp.__all__)) == len(rnnexp.__all__)
    assert rnnexp.TimeRNN is rnnexp.layers.TimeRNN
    assert rnnexp.train is rnnexp.training.train
    assert rnnexp.norms_by_lag is rnnexp.gradients.norms_by_lag


def test_type_checkers_see_the_same_names():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    modules, *packages = block.body
    named = [alias.name for alias in modules.names]
    for node in packages:
        assert [alias.name for alias in node.names] == ["*"]
        named += set(importlib.import_module(node.module).__all__) & set(rnnexp.__all__)
    assert sorted(named) == sorted(rnnexp.__all__)


NOTEBOOK = PACKAGE.parent / ".ci" / "public_names.py"


def test_the_typed_notebook_uses_every_name_and_runs(tmp_path):
    tree = ast.parse(NOTEBOOK.read_text(encoding="utf-8"))
    attributes = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "rnnexp"
    }
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "rnnexp"]
    names = attributes | {alias.name for node in imports for alias in node.names}
    assert set(rnnexp.__all__) <= names
    done = subprocess.run([sys.executable, NOTEBOOK], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.thorough
def test_mypy_accepts_the_typed_notebook_and_refuses_what_is_not_there(tmp_path):
    pytest.importorskip("mypy", reason="needs the lint extra; make lint runs it too")
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "import rnnexp\n"
        "rnnexp.nothing\n"
        "rnnexp.build_network(hiden_size=3)\n"
        "rnnexp.lyapunov(3)\n"
        "x: str = rnnexp.mean_field(1.0).rate\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(PACKAGE.parent / "pyproject.toml")]
    command += ["--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run([*command, NOTEBOOK, wrong], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=300)
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert not [line for line in errors if NOTEBOOK.name in line]
    assert {int(line.split(":")[1]) for line in errors if line.startswith(str(wrong))} == {2, 3, 4, 5}


def test_the_types_are_shipped():
    assert (PACKAGE / "py.typed").is_file()
    assert "py.typed" in (PACKAGE.parent / ".ci" / "wheel").read_text(encoding="utf-8")


def public_callables():
    """Every public function, and every public method and property of every public class, by name."""
    rooms = ("algorithms", "checks", "gradients", "layers", "plot", "report", "tasks", "training")
    for module in [rnnexp, *(importlib.import_module(f"rnnexp.{room}") for room in rooms)]:
        public = getattr(module, "__all__", None) or [
            name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__
        ]
        for name in public:
            value = getattr(module, name)
            if inspect.isfunction(value):
                yield f"{module.__name__}.{name}", value
            for key, member in vars(value).items() if inspect.isclass(value) else ():
                if key.startswith("_") and key != "__call__":
                    continue
                function = getattr(member, "fget", None) or getattr(member, "func", None) or member
                function = getattr(function, "__func__", function)  # of a static or class method
                if inspect.isfunction(function):
                    yield f"{module.__name__}.{name}.{key}", function


def test_no_public_function_returns_anything_at_all():
    found = dict(public_callables())
    expected = {"rnnexp.train", "rnnexp.gradients.lyapunov", "rnnexp.training.Omega.__call__", "rnnexp.report.runs"}
    expected |= {"rnnexp.layers.Network.dtype", "rnnexp.gradients.NormsByLag.mean", "rnnexp.tasks.Task.baseline"}
    expected |= {"rnnexp.layers.TimeRNN.parameter_shapes", "rnnexp.checks.UserError.message"}
    assert expected <= set(found)
    for name, function in found.items():
        # As written: what is imported for type checkers alone cannot be looked up.
        returned = inspect.get_annotations(inspect.unwrap(function)).get("return", inspect.Parameter.empty)
        assert returned not in (inspect.Parameter.empty, typing.Any, "Any", "typing.Any"), name


def test_train_shows_its_arguments():
    parameters, needed = inspect.signature(rnnexp.train).parameters, {"network", "task", "optimizer", "steps", "rng"}
    assert {key for key, item in parameters.items() if item.default is item.empty} == needed
    assert set(parameters) - needed == {
        *("algorithm", "clipping", "regularizer", "schedule", "batch_size", "evaluate_on", "eval_every", "study"),
        *("study_every", "stopping", "staleness_steps"),
    }
    described = inspect.getdoc(rnnexp.train).splitlines()  # without an indent, which Python 3.13 takes away itself
    assert all(any(line.startswith(f"{key} : ") for line in described) for key in parameters)


def test_build_network_shows_its_arguments():
    parameters = inspect.signature(rnnexp.build_network).parameters
    assert [key for key, item in parameters.items() if item.kind is not item.KEYWORD_ONLY] == ["task"]
    assert {key for key, item in parameters.items() if item.default is item.empty} == {"hidden_size", "rng"}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        rnnexp.nothing  # noqa: B018
    with pytest.raises(ImportError):
        from rnnexp import nothing  # noqa: F401


def test_the_page_on_the_python_api_names_what_there_is():
    page = (PACKAGE.parent / "guide" / "reference" / "python.md").read_text(encoding="utf-8")
    for name in re.findall(r"`([A-Za-z_.]+)`", page[page.index("| to | use |") :]):
        if name not in ("sample", "read", "evaluation", "baseline"):
            value = rnnexp
            for part in name.removeprefix("rnnexp.").split("."):
                value = getattr(value, part)


@pytest.fixture(scope="module")
def trained():
    streams, task = rnnexp.Streams(seed=0), rnnexp.tasks.Recall(lag=3, eval_sequences=20)
    network = rnnexp.build_network(task, hidden_size=5, rng=streams.init)
    held_out, study = task.evaluation(rng=streams.evaluation), rnnexp.GradientStudy()
    reports = rnnexp.train(
        network,
        task,
        optimizer=rnnexp.Adam(0.01),
        steps=40,
        rng=streams.data,
        evaluate_on=held_out,
        study=lambda network: study(network, held_out, task.target_kind),
        study_every=20,
    )
    return task, list(reports), rnnexp.norms_by_lag(network, held_out, task.target_kind)


def lines(figure):
    return {line.get_label(): line for line in figure.axes[0].lines}


def test_the_loss_figure_shows_the_reports(trained):
    task, reports, _ = trained
    drawn = lines(rnnexp.plot.losses(reports, task, title="a title"))
    steps, losses = drawn["training"].get_data()
    assert list(steps) == [report.step for report in reports[1:]]
    assert np.allclose(losses, [report.train_loss for report in reports[1:]])
    evaluated = [report.evaluation.loss for report in reports if report.evaluation]
    assert np.allclose(drawn["evaluation"].get_ydata(), evaluated)


def test_the_gradient_figure_shows_each_curve_by_its_label(trained):
    _, reports, norms = trained
    figure = rnnexp.plot.gradient_by_lag({"before": reports[0].study, "after": norms}, bptt_length=2)
    drawn = lines(figure)
    assert list(drawn) == ["before", "after", "bptt_length=2"]
    assert np.array_equal(drawn["before"].get_ydata(), reports[0].study.norms.mean)
    assert np.array_equal(drawn["after"].get_ydata(), norms.mean)
    assert list(drawn["after"].get_xdata()) == [0, 1, 2, 3, 4]
    assert list(drawn["bptt_length=2"].get_xdata()) == [1.5, 1.5]
    assert figure.axes[0].get_yscale() == "log"
    assert rnnexp.plot.gradient_by_lag(norms).axes[0].get_legend() is None
    (relative,) = rnnexp.plot.gradient_by_lag(norms, relative=True).axes[0].lines
    assert np.allclose(relative.get_ydata(), norms.mean / norms.mean[0])


def test_norms_of_zero_are_left_out(trained):
    norms = rnnexp.NormsByLag(np.array([[1.0], [0.0], [0.25]]))
    (line,) = rnnexp.plot.gradient_by_lag(norms).axes[0].lines
    assert list(line.get_xdata()) == [0, 2]


def test_the_figures_over_training_are_those_of_the_command(trained):
    task, reports, _ = trained
    figure = rnnexp.plot.gradient_over_training(reports, task)
    assert {"after 0 updates", "after 20 updates", "after 40 updates"} <= set(lines(figure))
    names = set(rnnexp.plot.figures(reports, task))
    assert {"loss.png", "gradient_by_lag.png", "eigenvalues.png", "hidden_units.png"} <= names


def test_figures_of_nothing_say_what_is_missing(trained):
    task, reports, _ = trained
    with pytest.raises(InvalidValue, match="reports must be the reports of a training"):
        rnnexp.plot.losses([], task)
    bare = [rnnexp.Report(step=report.step, train_loss=1.0, grad_norm=1.0) for report in reports]
    with pytest.raises(InvalidValue, match="of a training with a study"):
        rnnexp.plot.gradient_over_training(bare, task)
    assert list(rnnexp.plot.figures(bare, task)) == ["loss.png"]


def test_the_citation_is_complete_and_of_this_version():
    citation = yaml.safe_load((PACKAGE.parent / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # what the format asks for
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert str(citation["version"]) == rnnexp.__version__
    assert all("name" in author or {"given-names", "family-names"} <= set(author) for author in citation["authors"])
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == rnnexp.__version__
    assert citation["license"] == project["license"] == "MIT"
    assert (PACKAGE.parent / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")
