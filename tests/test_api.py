"""`import rnnexp`: what a notebook uses, without Hydra and MLflow; and how the package is to be cited."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
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
network = build_network(hidden_size=4, output_size=4, input_size=task.input_size, rng=streams.init)
held_out = task.evaluation(rng=streams.evaluation)
study = GradientStudy(jacobians=True, lag_split=True, lyapunov_exponents=2)
reports = list(train(network, task, optimizer=Adam(), steps=3, rng=streams.data, bptt=TruncatedBPTT(),
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


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        rnnexp.nothing  # noqa: B018
    with pytest.raises(ImportError):
        from rnnexp import nothing  # noqa: F401


def test_the_package_page_runs_as_it_stands_and_names_what_there_is(tmp_path, monkeypatch):
    page = (PACKAGE / "README.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    space = {}
    exec(source.replace("steps=1000", "steps=30"), space)
    assert {path.name for path in tmp_path.iterdir()} == {"loss.png", "gradient_by_lag.png"}
    assert np.isfinite(space["norms"].decay_rate)
    table = page[page.index("| to | use |") : page.index("`experiments/vanilla_rnn")]
    for name in re.findall(r"`([A-Za-z_.]+)`", table):
        if name not in ("sample", "read", "evaluation", "baseline"):
            value = rnnexp
            for part in name.removeprefix("rnnexp.").split("."):
                value = getattr(value, part)


@pytest.fixture(scope="module")
def trained():
    streams, task = rnnexp.Streams(seed=0), rnnexp.tasks.Recall(lag=3, eval_sequences=20)
    network = rnnexp.build_network(hidden_size=5, output_size=4, input_size=task.input_size, rng=streams.init)
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
