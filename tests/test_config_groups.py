"""Every choice in conf: documented, buildable, trainable, and logged with its own settings."""

import copy
import json
import re
import runpy
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from pairwise import thorough_after_first

from rnnexp.build import build_experiment
from rnnexp.checks import UserError
from rnnexp.command.check_first import register
from rnnexp.run_info import RunInfo
from rnnexp.settings import GROUPS, check_root, conf_dir

CONF = conf_dir()
register()

#: What a choice needs beside the default configuration.
WITH = {"task=influence_balancing": ["embedding_dim=null"], "algorithm=rflo": ["cell=leaky"]}
CHOICES = sorted(
    f"{path.parent.name}={path.stem}"
    for path in CONF.glob("*/*.yaml")
    if path.parent.name not in ("experiment", "initializer", "tracking")
)
INITIALIZERS = sorted(path.stem for path in (CONF / "initializer").glob("*.yaml"))


@pytest.fixture(scope="module")
def composed(tmp_path_factory):
    """The configuration for some overrides, as the command composes it; each is composed once, and copied."""
    folder = tmp_path_factory.mktemp("data")
    files = {"task=text": folder / "text.txt", "task=table": folder / "table.csv"}
    files["task=text"].write_text("the cat sat on the mat and looked at the rat. " * 40)
    rows = np.random.default_rng(0).standard_normal((300, 2))
    files["task=table"].write_text("\n".join(["a,b", *(f"{a:.3f},{b:.3f}" for a, b in rows)]))
    made = {}

    def make(*overrides):
        if overrides not in made:
            given = [*overrides, *(f"task.path={path}" for choice, path in files.items() if choice in overrides)]
            GlobalHydra.instance().clear()
            with initialize_config_dir(str(CONF), version_base="1.3"):
                made[overrides] = compose("config", overrides=["hidden_size=16", "steps=3", *given])
        return copy.deepcopy(made[overrides])

    return make


def info_of(config, choices):
    from omegaconf import OmegaConf

    settings = OmegaConf.to_container(config, resolve=True)
    return RunInfo(settings, choices, [], Path(), Path(), "")


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_builds_trains_and_is_reproducible(choice, composed):
    twice = CHOICES.index(choice) % 2
    for dtype, times in (("float32", 1 + twice), ("float64", 2 - twice)):
        losses = []
        for _ in range(times):
            config = composed(choice, *WITH.get(choice, []))
            config.dtype, config.batch_size = dtype, 3
            experiment = build_experiment(check_root(config))
            reports = list(experiment.reports())
            assert [report.step for report in reports] == [0, 1, 2, 3]
            assert not reports[-1].diverged
            assert experiment.network.dtype == dtype
            losses.append([report.train_loss for report in reports[1:]])
        assert losses[0] == losses[-1]
        assert np.isfinite(losses[0]).all()


CELLS = ["lstm", "rnn", "gru", "leaky"]
PARTS = [
    "gradients=full num_layers=2",
    "num_layers=2",
    "learn_initial_state=true",
    "algorithm=artbp bptt_length=4",
    "algorithm=adaptive_bptt bptt_length=4 algorithm.every=1",
    "bptt_length=6 bptt_stride=2",
    "algorithm=rtrl num_layers=2",
    "algorithm=uoro learn_initial_state=true",
    "freeze=[embedding,output]",
    "batch_size=1 bptt_length=1",
    "embedding_dim=null",
]
#: Every part with one cell after the other; and then, thorough, with the others.
CELLS_AND_PARTS = [(CELLS[(at + more) % 4], part) for more in range(4) for at, part in enumerate(PARTS)]


@pytest.mark.parametrize(("cell", "extra"), thorough_after_first(CELLS_AND_PARTS))
def test_every_cell_goes_with_every_part(cell, extra, composed):
    extra = extra.split()
    task = "echo" if "num_layers=2" in extra or "bptt_stride=2" in extra else "recall"
    reports = list(build_experiment(check_root(composed(f"task={task}", f"cell={cell}", *extra))).reports())
    assert reports[-1].step == 3
    metrics = reports[-1].study.metrics()
    assert np.isfinite(metrics["gradient/decay_rate"])
    assert ("gradient_c/decay_rate" in metrics) == (cell == "lstm")
    assert ("gate/forget" in metrics) == (cell == "lstm")
    assert ("gradient_layer2/decay_rate" in metrics) == ("num_layers=2" in extra)


SLOTS = ["embedding", "input", "recurrent", "output"]
#: Every initialiser for one kind of weights after the other, then for the others; two are for square matrices.
SLOTS_AND_NAMES = [
    (SLOTS[(at + more) % 4], name)
    for more in range(4)
    for at, name in enumerate(INITIALIZERS)
    if name not in ("identity", "sparse") or (at + more) % 4 == 2
]


@pytest.mark.parametrize(("slot", "name"), thorough_after_first(SLOTS_AND_NAMES))
def test_every_initialiser_can_be_chosen_for_every_kind_of_weights(slot, name, composed):
    experiment = build_experiment(check_root(composed(f"initializer@init.{slot}={name}")))
    assert len(list(experiment.reports())) == 4


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_logs_its_own_settings(choice, composed):
    group, _, name = choice.partition("=")
    config = composed(choice, *WITH.get(choice, []))
    params = info_of(config, {group: name}).params()
    assert params[group] == name
    node = config[group]
    for key in node:
        if key != "_target_" and not hasattr(node[key], "keys"):
            assert f"{group}.{key}" in params


def test_what_draws_each_kind_of_weights_is_logged(composed):
    config = composed("initializer@init.recurrent=sparse", "hidden_size=20", "init=glorot")
    params = info_of(config, {"init": "glorot"}).params()
    drawn_by = [params[key] for key in ("init", "initializer.recurrent", "initializer.input")]
    assert drawn_by == ["glorot", "sparse", "glorot"]
    assert "task.lag" in params
    assert not any(key.endswith("_target_") for key in params)


def test_every_group_of_the_schema_has_a_folder_and_every_folder_is_in_the_schema():
    folders = {path.name for path in CONF.iterdir() if path.is_dir()}
    assert set(GROUPS) <= folders
    assert folders - set(GROUPS) == {"experiment", "initializer"}


@pytest.mark.parametrize("path", sorted(CONF.glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_line_of_every_file_is_commented(path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ")
    if path.parent.name == "experiment":
        assert any("python -m rnnexp" in line and line.startswith("#") for line in lines[:6])
        return
    for line in lines:
        if re.match(r"\s*[\w-].*: ?\S", line) and "_target_:" not in line and "backend:" not in line:
            assert "#" in line, line


SCHEMA = json.loads((CONF / "schema.json").read_text(encoding="utf-8"))


def complaints(content, part=""):
    whole = {"$ref": f"#{part}", "definitions": SCHEMA["definitions"]} if part else SCHEMA
    return [error.message for error in jsonschema.Draft7Validator(whole).iter_errors(content)]


def test_the_schema_is_that_of_the_code_and_the_yaml_files():
    made = runpy.run_path(str(CONF.parent / ".ci" / "schema.py"))["schema"]()
    assert made == SCHEMA, "make schema"
    jsonschema.Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_file_names_the_part_of_the_schema_that_it_satisfies(path):
    text = path.read_text(encoding="utf-8")
    named = re.search(r"^# yaml-language-server: \$schema=(\S+)$", text, re.MULTILINE)
    assert named, "before the first key: # yaml-language-server: $schema=../schema.json"
    file, _, part = named[1].partition("#")
    assert (path.parent / file).samefile(CONF / "schema.json")
    assert not complaints(yaml.safe_load(text), part)
    assert complaints({"nonsense": 1}, part)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ({"hidden_size": "ten"}, ""),
        ({"hidden_size": 0}, ""),
        ({"dtype": "float16"}, ""),
        ({"optimizer": {"learning_rate": True}}, ""),
        ({"task": {"lagg": 5}}, ""),
        ({"_target_": "rnnexp.training.Adam", "momentun": 0.5}, "/definitions/optimizer"),
        ({"recurrent": {"gain": "large"}}, "/definitions/init"),
    ],
)
def test_the_schema_marks_what_is_wrong(content, part):
    assert complaints(content, part)


def test_the_schema_takes_interpolations_and_classes_of_ones_own():
    assert not complaints({"bptt_length": "${task.lag}", "task": {"_target_": "mine.Task", "anything": 1}})
    assert not complaints({"_target_": "mine.Optimizer", "anything": 1}, "/definitions/optimizer")


def test_a_run_name_that_no_figure_could_show_is_refused(composed):
    assert check_root(composed("run_name=" + "x" * 250))["run_name"] == "x" * 250
    for name in ("x" * 251, "ä" * 126, "a b " * 2500):
        with pytest.raises(UserError, match="run_name must be a name of at most 250 bytes"):
            check_root(composed(f'run_name="{name}"'))
