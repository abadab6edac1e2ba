"""Rules that carry the influence forward: what they give for unchanged weights, against the full gradient."""

import re
from pathlib import Path

import numpy as np
import pytest
from pairwise import pairwise
from rules import CELLS, KINDS, Flat, Summing, batch_of, gradient_of, network_of, parts_of

from rnnexp.algorithms import RFLO, RTRL, UORO, RandomizedBPTT, SnAp, TruncatedBPTT
from rnnexp.checks import InvalidValue
from rnnexp.gradients import truncation

PAGE = Path(__file__).parents[2] / "guide" / "research" / "algorithms.md"


def full_gradient(network, batch):
    return truncation.full_gradient(network.replica(), batch, "classes")


def error(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


@pairwise(cell=[*CELLS, Summing, Flat], kind=list(KINDS), scored=[0.6, 1.0, 0.0])
def test_rtrl_is_bptt_through_the_whole_sequence(cell, kind, scored):
    network = network_of(cell, kind)
    batch = batch_of(network, scored=scored)
    assert error(gradient_of(RTRL(), network, batch), full_gradient(network, batch)) < 1e-12


@pytest.mark.parametrize("stride", [1, 3, 100])
def test_rtrl_is_bptt_in_long_sequences_whatever_the_window(stride, monkeypatch):
    monkeypatch.setattr("rnnexp.algorithms.carried.WINDOW", stride)
    network = network_of("gru", "two layers")
    batch = batch_of(network, steps=50, scored=0.1)
    assert error(gradient_of(RTRL(), network, batch), full_gradient(network, batch)) < 1e-12


def test_single_precision_stays_single():
    network = network_of("lstm", dtype=np.float32)
    batch = batch_of(network)
    for rule in (RTRL(), SnAp(), UORO()):
        rule.begin(network, None, rng=np.random.default_rng(0))
        found = gradient_of(rule, network, batch)
        assert found.dtype == np.float32
    assert error(gradient_of(RTRL(), network, batch), full_gradient(network, batch)) < 1e-5


def sparse(pattern):
    """A network whose recurrent weights are zero, and stay so, but where `pattern` (H, H) is 1."""
    network = network_of("rnn", "one-hot", hidden_size=len(pattern), keep_zeros="recurrent.Wh")
    network.parameters.values["recurrent.Wh"][...] *= pattern
    return network


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "leaky"])
def test_snap_of_order_1_is_rtrl_where_the_recurrence_is_diagonal(cell, kept):
    network = network_of(cell, keep_zeros="recurrent.Wh" if kept else ())
    for matrix in network.parameters.values["recurrent.Wh"].reshape(-1, 4, 4):
        matrix[...] = np.diag(np.diag(matrix))
    batch = batch_of(network)
    found, exact = gradient_of(SnAp(1), network, batch), gradient_of(RTRL(), network, batch)
    assert error(found, exact) < 1e-12
    assert error(exact, full_gradient(network, batch)) < 1e-12


RING = np.roll(np.eye(6), 1, axis=1)


@pytest.mark.parametrize(("graph", "enough"), [(RING, 6), (RING + RING.T, 4)], ids=["directed", "undirected"])
def test_snap_reaches_as_far_as_its_order_and_all_from_the_graphs_diameter_plus_1_on(graph, enough):
    network = sparse(graph)
    batch = batch_of(network, steps=12)
    exact, counts, errors = gradient_of(RTRL(), network, batch), [], []
    for order in range(1, enough + 2):
        rule = SnAp(order)
        errors.append(error(gradient_of(rule, network, batch), exact))
        rule.begin(network, None, rng=np.random.default_rng(0))
        counts.append(sum(int(np.prod(blocks.shape)) for blocks in rule.blocks))
    assert all(value > 1e-6 for value in errors[: enough - 1])
    assert all(value < 1e-12 for value in errors[enough - 1 :])
    assert counts == sorted(counts) and len(set(counts[:enough])) == enough
    trained = 4 * 6 + int(graph.sum()) + 6
    neighbours = 2 if graph.sum() == 12 else 1
    assert counts[:2] == [trained, trained + neighbours * trained]
    assert counts[-1] == 6 * trained


def test_zeros_that_stay_have_no_gradient_and_the_others_keep_theirs():
    network = sparse(RING)
    batch = batch_of(network)
    free = full_gradient(network_with(network, keep_zeros=()), batch)
    for algorithm in (TruncatedBPTT(None), RTRL(), SnAp(2), UORO()):
        gradient = gradient_of(algorithm, network, batch)
        held = parts_by_name(network, gradient)["recurrent.Wh"]
        assert not held[RING == 0].any() and held[RING == 1].all()
        if not isinstance(algorithm, UORO | SnAp):
            expected = parts_by_name(network, free)
            expected["recurrent.Wh"] = expected["recurrent.Wh"] * RING
            for name, part in parts_by_name(network, gradient).items():
                assert error(part, expected[name]) < 1e-12


def network_with(network, **changes):
    from dataclasses import replace

    from rnnexp.layers import Network

    return Network(network.parameters, replace(network.design, **changes))


def parts_by_name(network, gradient):
    from rnnexp.layers import Parameters

    return Parameters(network.parameters.shapes, dtype=gradient.dtype, vector=gradient).values


@pytest.mark.parametrize(("cell", "kind"), [("rnn", "two layers"), ("lstm", "one layer"), ("own", "tied")])
def test_uoro_has_no_bias(cell, kind):
    network, repeated = network_of(cell, kind), 200
    batch = batch_of(network, count=1, steps=5)
    exact, many = full_gradient(network, batch), batch.at((slice(None), np.zeros(repeated, int)))
    rule = UORO()
    rule.begin(network, None, rng=np.random.default_rng(0))
    means = np.array([gradient_of(rule, network, many, seed=seed) for seed in range(50)])  # of 200 draws each
    directions = np.random.default_rng(3).standard_normal((8, len(exact)))
    projected = (means - exact) @ directions.T
    scores = projected.mean(axis=0) / (projected.std(axis=0, ddof=1) / np.sqrt(len(means)))
    assert np.abs(scores).max() < 4
    assert 0.01 < np.linalg.norm(means.std(axis=0)) * np.sqrt(repeated) / np.linalg.norm(exact) < 100


@pytest.mark.parametrize("kind", KINDS)
def test_rflo_without_a_leak_is_bptt_1_1(kind):
    network = network_of("leaky", kind, cell_options={"leak": 1.0})
    batch = batch_of(network)
    assert error(gradient_of(RFLO(), network, batch), gradient_of(TruncatedBPTT(1, 1), network, batch)) < 1e-12
    vanilla = network_of("rnn", kind)
    vanilla.parameters.vector[...] = network.parameters.vector
    assert error(gradient_of(RFLO(), network, batch), gradient_of(TruncatedBPTT(1), vanilla, batch)) < 1e-12


def test_rflo_is_rtrl_where_only_the_leak_connects_the_steps():
    network = network_of("leaky", "one layer", cell_options={"leak": 0.3})
    network.parameters.values["recurrent.Wh"][...] = 0.0
    batch = batch_of(network)
    assert error(gradient_of(RFLO(), network, batch), full_gradient(network, batch)) < 1e-12


def table():
    """The rows of the table: algorithm, cell, and the words by column."""
    text = PAGE.read_text(encoding="utf-8")
    lines = [line for line in text[text.index("| algorithm | cells |") :].splitlines() if line.startswith("|")]
    head, _, *rows = [[part.strip() for part in line.strip("|").split("|")] for line in lines]
    rows = rows[: next(at for at, row in enumerate(rows) if "multiplications" in " ".join(row))]
    for algorithm, cells, *words in rows:
        for cell in cells.split(", "):
            yield pytest.param(algorithm, cell, dict(zip(head[2:], words, strict=True)), id=f"{algorithm}, {cell}")


RULES = {
    "`bptt`, whole sequence": lambda: TruncatedBPTT(None),
    "`bptt`, a window": lambda: TruncatedBPTT(2),
    "`artbp`": lambda: RandomizedBPTT(3),
    "`rtrl`": RTRL,
    "`snap`, order 1": SnAp,
    "`uoro`": UORO,
    "`rflo`": RFLO,
}


@pytest.mark.parametrize(("algorithm", "cell", "words"), list(table()))
def test_the_table_is_what_the_algorithms_do(algorithm, cell, words):
    rule, seen = RULES[algorithm](), set()
    for kind in ("one layer", "two layers", "tied"):
        network = network_of(cell, kind)
        if "refused" in words.values():
            with pytest.raises(InvalidValue, match="another one than rflo"):
                rule.check(network)
            assert set(words.values()) == {"refused"}
            return
        many = "unbiased" in words.values()
        batch = batch_of(network, count=1, steps=4 if many else 7)
        exact = parts_of(network, full_gradient(network, batch))
        rule.begin(network, None, rng=np.random.default_rng(0))
        batch = batch.at((slice(None), np.zeros(25, int))) if many and isinstance(rule, UORO) else batch
        draws = [parts_of(network, gradient_of(rule, network, batch, seed=seed)) for seed in range(40 if many else 1)]
        for column, expected in exact.items():
            if kind == "two layers" and column == "weights of the one layer":
                continue  # the upper one's
            found = np.array([draw[column] for draw in draws])
            seen.add(column)
            if words[column] == "exact":
                assert error(found, expected[np.newaxis]) < 1e-10, column
            elif words[column] == "unbiased":
                along = (found - expected) @ np.random.default_rng(5).standard_normal(len(expected))
                assert abs(along.mean()) < 4 * along.std(ddof=1) / np.sqrt(len(along)), column
                assert along.std() > 0
            else:
                assert 1e-4 < error(found, expected[np.newaxis]) < 2, column
    assert seen == set(words)


def test_the_table_names_every_algorithm():
    choices = {path.stem for path in (PAGE.parents[2] / "conf" / "algorithm").glob("*.yaml")}
    text = PAGE.read_text(encoding="utf-8")
    assert all(re.search(rf"`{name}`", text) for name in choices)
