"""States and templates: what matches is copied, and the first part that does not match is named."""

import re
from dataclasses import asdict, dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from rnnexp.checks import UserError
from rnnexp.state import Many, Maybe, Named, Shaped, copied, matching


@dataclass(frozen=True)
class Inner:
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Outer:
    inner: Inner
    name: str
    rate: float
    count: int | None = None
    others: dict[str, Inner] = field(default_factory=dict)
    more: dict[str, NDArray[np.float64]] | None = None


RECORD = Outer(Inner(np.ones(2)), "a", 0.5, 3, {"b": Inner(np.zeros((2, 1)))}, {"c": np.arange(3)})
ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)

MATCHES = [
    (True, False),
    (1, -5),
    (1.5, 2.5),
    (1.5, 2),
    ("a", ""),
    (None, {"a": 1}),
    ([1], ["a", 2]),
    ((1, 2), [3]),
    ({"a": 1, "b": {"c": ""}}, {"b": {"c": "x"}, "a": 2}),
    (np.float64(1.0), 2.0),
    (np.int8(1), 3),
    (ARRAY, ARRAY + 1),
    (Maybe(1), None),
    (Maybe(1), 2),
    (Many({"a": 1}), []),
    (Many({"a": 1}), [{"a": 2}, {"a": 3}]),
    (Named(1.0), {}),
    (Named(1.0), {"b": 1.5, "a": 2.5}),
    (Shaped((None, 3), np.float32), np.ones((7, 3), np.float32)),
    (Shaped((2,), np.integer, np.bool_), np.ones(2, np.uint8)),
    (Shaped((2,), np.integer, np.bool_), np.ones(2, bool)),
    (Shaped(None, np.number), np.ones((2, 3, 4))),
    (Outer, copied(asdict(RECORD))),
]
REFUSED = [
    (True, 1, "x is 1, not true or false"),
    (1, True, "x is true, not an integer"),
    (1, 1.5, "x is 1.5, not an integer"),
    (1.5, True, "not a number"),
    (1.5, "1", "not a number"),
    ("a", 1, "not a string"),
    ("a", None, "not a string"),
    ([1], {}, "not a list"),
    ((), 1, "not a list"),
    ({}, [], "not a dict"),
    ({"a": 1, "b": 2}, {"a": 1}, "x/b is missing"),
    ({"a": 1}, {"a": 1, "b": 2}, "x/b has no counterpart"),
    ({"a": {"b": 1}}, {"a": {"b": ""}}, "x/a/b is"),
    (np.float64(1.0), "text", "not a number"),
    (np.int64(1), 1.5, "not an integer"),
    (ARRAY, ARRAY.tolist(), "x is not an array"),
    (ARRAY, 1.0, "x is not an array"),
    (ARRAY, ARRAY.astype(np.float64), "x holds numbers of type float64"),
    (ARRAY, ARRAY.astype(">f4"), "x holds numbers of type >f4"),
    (ARRAY, ARRAY.T, "x has shape (3, 2), here it is (2, 3)"),
    (ARRAY, ARRAY[..., None], "x has shape (2, 3, 1)"),
    (Maybe(1), "a", "not an integer"),
    (Many(1), {"a": 1}, "not a list"),
    (Many({"a": 1}), [{"a": 2}, {"a": ""}], "x/1/a is"),
    (Named(1.0), [1.0], "not a dict"),
    (Named(1.0), {"a": 1.0, "b": None}, "x/b is"),
    (Shaped((None, 3), np.float32), np.ones((7, 4), np.float32), "x has shape (7, 4), here it is (any, 3)"),
    (Shaped((None, 3), np.integer), np.ones((7, 3), np.float32), "x holds numbers of type float32"),
    (Shaped(None, np.number, np.bool_), np.array(["a"]), "x holds numbers of type"),
    (Outer, {**asdict(RECORD), "more": 1}, "x/more is 1, not a dict"),
    (Outer, {**asdict(RECORD), "inner": {"values": [1.0]}}, "x/inner/values is not an array"),
    (Outer, {**asdict(RECORD), "others": {"b": {}}}, "x/others/b/values is missing"),
    (Outer, {**asdict(RECORD), "count": 1.5}, "x/count is 1.5, not an integer"),
    (Outer, {**asdict(RECORD), "class": "os.system"}, "x/class has no counterpart"),
]


@pytest.mark.parametrize(("template", "saved"), MATCHES)
def test_what_matches_is_copied(template, saved):
    made = matching(template, saved, "x")
    if template is Outer:
        np.testing.assert_equal(asdict(made), saved)
    else:
        np.testing.assert_equal(made, tuple(saved) if isinstance(template, tuple) else saved)
    if isinstance(template, np.generic):
        assert type(made) is type(template)
    if isinstance(saved, np.ndarray):
        assert made is not saved and not np.shares_memory(made, saved)


@pytest.mark.parametrize(("template", "saved", "problem"), REFUSED)
def test_the_first_part_that_does_not_match_is_named(template, saved, problem):
    with pytest.raises(UserError, match=f"^the checkpoint does not fit: .*{re.escape(problem)}") as refused:
        matching(template, saved, "x")
    assert len(refused.value.message().splitlines()) == 2


def test_a_record_comes_back_as_an_instance():
    made = matching(Outer, copied(asdict(RECORD)))
    assert type(made) is Outer and type(made.inner) is Inner and type(made.others["b"]) is Inner
    np.testing.assert_equal(asdict(made), asdict(RECORD))
    short = matching(Outer, copied(asdict(Outer(Inner(np.ones(1)), "", 1.0))))
    assert (short.count, short.others, short.more) == (None, {}, None)


def test_without_a_place_the_name_is_the_path():
    with pytest.raises(UserError, match="fit: a/b is missing"):
        matching({"a": {"b": 1}}, {"a": {}})
    with pytest.raises(UserError, match="fit: it is 1, not a dict"):
        matching({"a": 1}, 1)


def test_a_generator_continues_and_its_children_are_others():
    rng = np.random.default_rng(5)
    rng.spawn(2)
    rng.random(3)
    saved = copied({"rng": rng})["rng"]
    own = np.random.default_rng(0)
    made = matching(own, saved, "rng")
    assert made is not own and made.random() == rng.random() and made.spawn(1)[0].random() == rng.spawn(1)[0].random()
    for path, wrong in [
        (("bits",), None),
        (("bits", "bit_generator"), "MT19937"),
        (("bits", "state", "inc"), "a"),
        (("seeds", "pool_size"), 10**9),
        (("seeds", "entropy"), []),
        (("seeds", "entropy"), True),
        (("seeds", "entropy"), None),
        (("seeds", "spawn_key"), ["a"]),
        (("seeds",), 1),
    ]:
        other = copied({"rng": rng})["rng"]
        at = other
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = wrong
        with pytest.raises(UserError, match="the checkpoint does not fit: rng"):
            matching(own, other, "rng")
