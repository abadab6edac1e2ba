"""What things are called elsewhere is answered with what they are called here, which works."""

import shlex

import pytest
from hydra import compose, initialize_config_dir

from rnnexp.build import build_experiment
from rnnexp.command.check_first import register
from rnnexp.settings import GROUPS, check_root, conf_dir, flat, options
from rnnexp.usual_names import ABSENT, NUMBERS, USUAL, VALUES, choice, named, renamed, usual


@pytest.fixture(scope="module", autouse=True)
def hydra():
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield


@pytest.fixture(scope="module")
def present():
    return flat(check_root(compose("config")))


def said(hint):
    """The overrides that a hint names."""
    return [word for word in shlex.split(hint.replace(":", " ")) if "=" in word]


@pytest.mark.parametrize("name", list({here: name for name, here in USUAL.items() if here}.values()))
def test_every_key_that_a_usual_name_stands_for_is_one(name, present, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.txt").write_text("the cat sat on the mat\n" * 30)
    (tmp_path / "data.csv").write_text("a,b\n" + "1,2\n3,4\n" * 40)
    path = "data.csv" if "table" in USUAL[name] else "data.txt"
    for value in ("3", "0.5", "LSTM", path):
        hint = usual(name, value, present, options)
        assert hint and "{}" not in hint
        if any(text in hint for text in ("resume", "task.path")) and value != path:
            continue  # a file that is not there
        if any(text in hint for text in ("hydra", "tracking.uri", "-m", "resume")):
            assert value in hint or "joblib" in hint or "seed" in hint
            continue  # of a sweep, or of Hydra's own
        overrides = said(hint)
        assert overrides
        if "freeze" in hint:
            continue  # any text, which may name no layer
        check_root(compose("config", overrides=overrides))


def test_overrides_of_the_former_group_are_translated():
    now = {
        "bptt=windows": "algorithm=bptt",
        "+bptt=adaptive,mine": "algorithm=adaptive_bptt,mine",
        "bptt.alpha=3": "algorithm.alpha=3",
        "bptt._target_=mine.Windows": "algorithm._target_=mine.Windows",
        "bptt=5,10": "bptt_length=5,10",
        "~bptt": "~algorithm",
        "bptt_length=5": "bptt_length=5",
        "task=text": "task=text",
    }
    assert {old: renamed(old) for old in now} == now


def test_a_value_of_another_kind_is_replaced(present):
    assert usual("layers", "abc", present, options) == "here it is: num_layers=1"
    assert usual("lr", "fast", present, options) == "here it is: optimizer.learning_rate=0.005"
    assert usual("model", "LSTM", present, options) == "here it is: cell=lstm"
    assert usual("epochs", "3", present, options) == "training is counted in parameter updates: steps=1000"
    assert usual("LR", "0.1", present, options) == "here it is: optimizer.learning_rate=0.1"
    assert usual("nothing", "1", present, options) == ""


def test_what_there_is_none_of_says_so(present):
    for name, hint in ABSENT.items():
        assert usual(name, "1", present, options) == hint
        for override in said(hint):
            build_experiment(check_root(compose("config", overrides=[override, "gradients=off"])))


def test_no_usual_name_is_a_key_here(present):
    assert not set(USUAL) & (set(present) | set(GROUPS))


@pytest.mark.parametrize("group", VALUES)
def test_every_usual_choice_is_one_here(group):
    choices = options(group)
    for value in VALUES[group]:
        assert named(group, value, choices) in choices
    for name in choices:
        assert choice(group, name.upper(), choices) == f"did you mean '{name}'?"
        assert choice(group, name.title().replace("_", "-"), choices) == f"did you mean '{name}'?"


def test_a_number_for_a_group_is_of_one_of_its_keys():
    for group in NUMBERS:
        hint = choice(group, "5", options(group))
        compose("config", overrides=said(hint))
