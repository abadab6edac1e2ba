"""What Hydra's grammar cannot read is read as it was meant, alone and in sweeps, or answered with what works."""

import shlex

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from rnnexp.command.quoting import Unclear, advice, all_jobs_readable, parts, readable
from rnnexp.settings import quoted


def jobs(argument):
    """The values that a sweep gives a key, each as its job has it, resolved."""
    (lines,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides([argument]), None)
    values = []
    for line in lines:
        config = OmegaConf.create({"x": {"a": None}, "seed": 0})
        ConfigLoaderImpl._apply_overrides_to_config(OverridesParser.create().parse_overrides(line), config)
        values.append(OmegaConf.to_container(config, resolve=True)["x"]["a"])
    return values


TEXTS = [
    "größe",
    "load (kW)",
    "load [kW]",
    "load {kW}",
    "a=b",
    "http://host:5000/?q=1&r=2",
    "sqlite:///C:/daten (1)/größe.db",
    "C:\\daten\\größe (1)\\",
    "it's",
    'a 7" disk',
    "5 % & more; #1 <x> ~ ^ `y`!",
    "$5 (net)",
    "$$.txt (x)",
    "~/data (1).csv",
    "loss(kW)",
    "日本 語",
    "😀",
    "two\nlines",
    "a]",
    "b)",
    "c}",
    "(whole)",
    "a: (b)",
]


@pytest.mark.parametrize("text", TEXTS)
def test_one_text_is_read_as_it_was_typed(text):
    for multirun in (False, True):
        assert jobs(readable(f"x.a={text}", multirun=multirun)) == [text]


#: Beside others, a bracket would end a list or call, and a backslash make a comma part of its text.
AMONG_OTHERS = [text for text in TEXTS if text not in ("a]", "b)") and not text.endswith("\\")]


@pytest.mark.parametrize("text", AMONG_OTHERS)
def test_a_text_is_an_item_of_a_list_and_a_value_of_a_sweep(text):
    assert jobs(readable(f"x.a=[{text},plain, 5,null]", multirun=True)) == [[text, "plain", 5, None]]
    assert jobs(readable(f"x.a={text},plain,5", multirun=True)) == [text, "plain", 5]
    assert jobs(readable(f"x.a=[{text}],[größe,ß]", multirun=True)) == [[text], ["größe", "ß"]]
    assert jobs(readable(f"x.a=choice({text},größe)", multirun=True)) == [text, "größe"]


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("a,b", ["a", "b"]),
        ("don't,can't", ["don't", "can't"]),
        ('7",8"', ['7"', '8"']),
        ("'a, (b)',c", ["a, (b)", "c"]),
        ("[a,b],[größe,5]", [["a", "b"], ["größe", 5]]),
        ("[[größe],[1]]", [[["größe"], [1]]]),
        ("{b:größe,c:[1,ß]}", [{"b": "größe", "c": [1, "ß"]}]),
        ("'${oc.env:NOTHING,x} (y)'", ["x (y)"]),
        ("${oc.env:NOTHING,x} (y)", ["x (y)"]),
        ('choice("größe",b)', ["größe", "b"]),
        ("range(0,3)", [0, 1, 2]),
        ("", [""]),
        ("C:\\new\\x", ["C:\\new\\x"]),
        ("a\\,b", ["a,b"]),
    ],
)
def test_commas_part_the_values_of_a_sweep_and_nothing_else(typed, values):
    assert jobs(readable(f"x.a={typed}", multirun=True)) == values


def test_a_comma_within_brackets_belongs_to_the_text_of_a_single_run():
    assert jobs(readable("x.a=power (P, Q)")) == ["power (P, Q)"]


#: What may mean several things or nothing: alone, in a sweep, or both.
UNCLEAR = [
    "f(a,b)",
    "größe [a, b]",
    "[load (a, b)]",
    "x,",
    ",",
    "[a,]",
    "[größe",
    "[größe][0]",
    "'a (b",
    "'a' (b)",
    'a "b, c" d',
    "größe\\, klein",
    "C:\\(1)\\größe",
    "${seed (x)",
    "{ä:1}",
    "choice()",
    "shuffle(größe,b)",
    "range(ä)",
    "int(x)",
]


@pytest.mark.parametrize("typed", UNCLEAR)
def test_what_is_unclear_is_refused_and_the_advice_is_read(typed):
    with pytest.raises(Unclear):
        readable(f"x.a={typed}", multirun=True)
    for present in (None, "text", 0.5, [1]):
        for multirun in (False, True):
            told = advice(f"x.a={typed}", present, multirun=multirun)
            offered = [word.rstrip(";") for word in shlex.split(told) if word.startswith("x.a=")]
            assert offered
            for one in offered:
                assert all_jobs_readable(one)
                assert readable(one, multirun=multirun) == one


def test_advice_keeps_the_number_of_jobs():
    two = shlex.split(advice("x.a=größe (a, b),c", None, multirun=True))[-1]
    assert jobs(two) == ["größe (a, b)", "c"]
    one = next(word for word in shlex.split(advice("x.a=f(a,b)", None, multirun=True)) if word.startswith("x.a="))
    assert jobs(one.rstrip(";")) == ["f(a,b)"]
    assert jobs(shlex.split(advice("x.a=shuffle(größe,b)", None, multirun=True))[-1]) == ["größe", "b"]
    assert jobs(shlex.split(advice("x.a=0,1,", 5, multirun=True))[-1]) == [0, 1]
    assert jobs(shlex.split(advice("x.a=0,1,", 5, multirun=False))[-1]) == [0]
    assert jobs(shlex.split(advice("x.a=[load (a, b),c]", [], multirun=True))[-1]) == [["load (a, b)", "c"]]
    assert jobs(shlex.split(advice("x.a=größe\\, klein", None, multirun=False))[-1]) == ["größe, klein"]
    assert jobs(shlex.split(advice("x.a=${seed (x)", None, multirun=False))[-1]) == ["${seed (x)"]


def test_keys_and_flags_are_left_to_their_own_checks():
    for argument in ("größe=1", "a b=1", "a[0]=1", "hidden_size", "~cell"):
        assert readable(argument) == argument


@pytest.mark.parametrize("text", ["", "a'b\"c", "\\", 'a\\"', "\\\\'", "a\\'b"])
def test_quotes_keep_every_sign(text):
    (override,) = OverridesParser.create().parse_overrides([f"a={quoted(text)}"])
    assert override.value() == text


def test_parts_are_cut_at_outer_commas():
    assert parts("a,(b,c),'d,e',[f,g]") == ["a", "(b,c)", "'d,e'", "[f,g]"]
    with pytest.raises(Unclear, match="missing"):
        parts("a,(b")
