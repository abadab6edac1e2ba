from itertools import combinations, product

import pytest
from pairwise import pairs, pairwise

AXES = [range(2), "abc", (None, 1.5), range(4)]


def pairs_in(rows):
    return {pair for row in rows for pair in combinations(enumerate(row), 2)}


def test_every_pair_occurs_in_few_rows():
    rows = pairs(*AXES)
    assert set(rows) <= set(product(*AXES))
    assert pairs_in(rows) == pairs_in(product(*AXES))
    assert 12 <= len(rows) <= 14  # 3 * 4 at least, of 48


def test_two_axes_have_all_combinations_and_no_row_comes_twice():
    assert sorted(pairs(range(3), range(4))) == list(product(range(3), range(4)))
    assert len(set(pairs(*AXES, *AXES))) == len(pairs(*AXES, *AXES))


def test_no_constraint_is_violated_and_every_pair_that_is_allowed_occurs():
    def allowed(number, letter, maybe, other):
        return number + other < 3 and not (letter == "a" and maybe is None and other > 0)

    rows = pairs(*AXES, allowed=allowed)
    assert rows
    assert all(allowed(*row) for row in rows)
    assert pairs_in(rows) == pairs_in(row for row in product(*AXES) if allowed(*row))


def test_the_rows_are_the_same_every_time():
    assert pairs(*AXES) == pairs(*AXES)


def test_a_test_gets_its_parameters_by_name_and_the_names_in_its_id():
    mark = pairwise(
        size={"small": 1, "large": 9}, kind=["a", "b"], allowed=lambda size, kind: size < 9 or kind == "a"
    ).mark
    assert (
        mark
        == pytest.mark.parametrize(
            ("size", "kind"), [(1, "a"), (1, "b"), (9, "a")], ids=["small-a", "small-b", "large-a"]
        ).mark
    )
