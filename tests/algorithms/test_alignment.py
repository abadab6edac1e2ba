"""How well gradients point: the study of every algorithm, the matrix of pairs, and values known from elsewhere."""

from functools import partial

import numpy as np
import pytest
from rules import batch_of, gradient_of, network_of

from rnnexp.algorithms import RFLO, RTRL, UORO, RandomizedBPTT, SnAp, TruncatedBPTT
from rnnexp.checks import InvalidValue
from rnnexp.gradients import GradientStudy, alignment_matrix, full_gradient
from rnnexp.layers import build_network
from rnnexp.tasks import TwoLag
from rnnexp.training import train


def cosine(one, other):
    return float((one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum()))


@pytest.mark.parametrize("rule", [RTRL, SnAp, UORO, RFLO])
def test_a_study_compares_the_algorithms_own_gradient_with_the_full_one(rule):
    network, algorithm = network_of("leaky", "two layers"), rule()
    batch = batch_of(network)
    algorithm.begin(network, None, rng=np.random.default_rng(0))
    own = partial(algorithm.gradient, rng=np.random.default_rng(0))
    draws = [gradient_of(algorithm, network, batch, seed=seed) for seed in range(3)]
    metrics = GradientStudy()(network.replica(), batch, "classes", own=own, draws=draws).metrics()
    found, full = draws[0], full_gradient(network.replica(), batch, "classes")
    assert metrics["gradient/alignment"] == pytest.approx(cosine(found, full), abs=1e-12)
    error = np.linalg.norm(found - full) / np.linalg.norm(full)
    assert metrics["gradient/alignment_error"] == pytest.approx(error, abs=1e-12)
    total = np.var(draws, axis=0, ddof=1).sum() / (full**2).sum()
    assert metrics["gradient/variance"] == pytest.approx(total, abs=1e-12)
    assert (total > 1e-20) == algorithm.random
    assert np.isnan(metrics["gradient/seen_by_window"])
    exact = abs(metrics["gradient/alignment"] - 1) < 1e-12
    assert exact == (rule is RTRL)
    assert "gradient/variance" not in GradientStudy()(network.replica(), batch, "classes", own=own).metrics()


def test_only_two_algorithms_are_random():
    assert [one.random for one in (TruncatedBPTT(), RandomizedBPTT(), RTRL(), SnAp(), UORO(), RFLO())] == [
        *(False, True, False, False, True, False)
    ]
    for draws in (-1, 1, 2.5):
        with pytest.raises(InvalidValue, match="draws must be"):
            GradientStudy(draws=draws)


@pytest.mark.parametrize("kind", ["one layer", "raw values"])
def test_the_matrix_has_the_cosines_of_all_pairs(kind):
    network = network_of("rnn", kind)
    batch, before = batch_of(network), network.parameters.vector.copy()
    algorithms = {"rtrl": RTRL(), "snap": SnAp(), "1": TruncatedBPTT(1), "whole": TruncatedBPTT(None)}
    matrix = alignment_matrix(network, batch, algorithms)
    assert matrix.names == ("full", "rtrl", "snap", "1", "whole")
    each = [full_gradient(network.replica(), batch, "classes")]
    each += [gradient_of(algorithm, network, batch) for algorithm in algorithms.values()]
    expected = [[cosine(one, other) for other in each] for one in each]
    assert np.abs(matrix.cosines - expected).max() < 1e-12
    assert np.abs(matrix.norms - np.linalg.norm(each, axis=1)).max() < 1e-12
    assert matrix.cosines[0, 4] == 1.0 and matrix.cosines[0, 1] == pytest.approx(1.0, abs=1e-12)
    assert np.array_equal(network.parameters.vector, before)
    assert "rtrl" in repr(matrix) and len(repr(matrix).splitlines()) == 5
    named = alignment_matrix(network, batch, [SnAp(), UORO()], "classes", rng=np.random.default_rng(1))
    assert named.names == ("full", "SnAp(order=1, stride=1)", "UORO(stride=1)")
    assert named.cosines[0, 1] == matrix.cosines[0, 2]


class Kept:
    """An optimizer that changes nothing and keeps every gradient."""

    def __init__(self):
        self.slots, self.learning_rate, self.gradients = {}, 0.0, []

    def update(self, vector, gradient):
        self.gradients.append(gradient.astype(float))


def step_by_step(rule, seed, steps):
    """Gradients of Wx, Wh and b of every step of two_lag, on an untrained network with an orthogonal Wh times 0.9."""
    rng, size = np.random.default_rng(seed), 32
    sizes = {"hidden_size": size, "input_size": 2, "output_size": 2, "cell": "leaky", "cell_options": {"leak": 1.0}}
    network = build_network(**sizes, rng=rng, dtype=np.float64)
    values = network.parameters.values
    values["recurrent.Wx"][...] = rng.normal(0.0, 0.7, (2, size))
    values["recurrent.Wh"][...] = 0.9 * np.linalg.qr(rng.standard_normal((size, size)))[0]
    values["recurrent.b"][...] = 0.0
    values["output.W"][...] = rng.normal(0.0, size**-0.5, (size, 2))
    kept, data = Kept(), np.random.default_rng(seed + 1000)
    list(train(network, TwoLag(), optimizer=kept, steps=steps, rng=data, algorithm=rule, batch_size=1))
    gradients = np.array(kept.gradients)[:, : 2 * size + size**2 + size]
    return gradients[np.any(gradients, axis=1)]


def test_alignments_are_those_that_independent_code_found():
    """1,500 steps, one seed: a step rflo 0.776, snap 0.779, uoro 0.063; the sums 0.825, 0.831, 0.452."""
    exact = step_by_step(RTRL(), 0, 400)
    found = {}
    for name, rule in (("rflo", RFLO()), ("snap", SnAp()), ("uoro", UORO())):
        each = step_by_step(rule, 0, 400)
        count = min(len(each), len(exact))
        found[name] = np.mean([cosine(*pair) for pair in zip(each[-count:], exact[-count:], strict=True)])
    assert found["rflo"] == pytest.approx(0.776, abs=0.06)
    assert found["snap"] == pytest.approx(0.779, abs=0.06)
    assert found["uoro"] == pytest.approx(0.063, abs=0.03)
    assert found["rflo"] < found["snap"]
