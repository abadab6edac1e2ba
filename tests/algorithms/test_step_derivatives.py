"""One step of each cell, differentiated: by its formulas, by `step_back`, and by complex steps."""

import numpy as np
import pytest
from rules import KINDS, N, V, network_of

from rnnexp.algorithms.step_derivatives import ByStepBack, StepDerivatives, derivatives_at, has_formula
from rnnexp.layers import build_network

CELLS = {
    "rnn": {},
    "relu": {"cell": "rnn", "cell_options": {"activation": "relu"}},
    "gru": {},
    "lstm": {},
    "leaky": {"cell_options": {"leak": 0.3}},
}
LATE, TINY = 2, 1e-30


def after_three_steps(cell, kind="raw values"):
    options = {"cell": cell, **CELLS[cell]}
    network = network_of(options.pop("cell"), kind, **options)
    network.forward(np.random.default_rng(1).standard_normal((3, N, V)))
    return network.recurrent


def weighted(derivatives, vectors):
    """Of v^T s_t: by the state before, the input, and the parameters of the layers."""
    return vectors @ derivatives.onward, vectors @ derivatives.from_input, derivatives.vjp(vectors)


@pytest.mark.parametrize("t", [0, LATE])
@pytest.mark.parametrize("cell", list(CELLS))
def test_the_formulas_of_a_cell_are_what_step_back_gives(cell, t):
    layer = after_three_steps(cell)
    assert has_formula(layer)
    vectors = np.random.default_rng(2).standard_normal((N, 2, layer.state_size))
    ours, theirs = (weighted(kind(layer, t), vectors) for kind in (derivatives_at, ByStepBack))
    for own, other in zip(ours, theirs, strict=True):
        assert own.shape == other.shape
        np.testing.assert_allclose(own, other, rtol=1e-12, atol=1e-13)
    for_all = derivatives_at(layer, t).vjp(vectors[:1])
    np.testing.assert_allclose(for_all[0], ours[2][0], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("cell", list(CELLS))
def test_the_formulas_of_a_cell_are_its_complex_steps(cell):
    """Im s(z + i eps v) / eps, with v in the state before, in the input, and in every parameter."""
    layer, rng = after_three_steps(cell), np.random.default_rng(3)
    given, found = layer.state_before(LATE), derivatives_at(layer, LATE)
    x, params = layer._xs[LATE], layer.own_params
    kinds = {"state": given, "input": (x,), "parameters": params}
    towards = {name: [rng.standard_normal(array.shape) for array in arrays] for name, arrays in kinds.items()}

    def step(name):
        arrays = {each: list(values) for each, values in kinds.items()}
        arrays[name] = [value + 1j * TINY * v for value, v in zip(arrays[name], towards[name], strict=True)]
        names = list(layer.parameter_shapes(1, 1))
        options = {key: getattr(layer, key) for key in ("leak",) if hasattr(layer, key)}
        options |= {"activation": layer.activation.name} if hasattr(layer, "activation") else {}
        other = type(layer)(**dict(zip(names, arrays["parameters"], strict=True)), **options)
        return np.concatenate(other.step(arrays["input"][0], tuple(arrays["state"])), axis=-1).imag / TINY

    along = np.concatenate(towards["state"], axis=-1)
    close = {"rtol": 1e-12, "atol": 1e-13}
    np.testing.assert_allclose(np.einsum("nij,nj->ni", found.onward, along), step("state"), **close)
    np.testing.assert_allclose(np.einsum("nid,nd->ni", found.from_input, towards["input"][0]), step("input"), **close)
    whole = found.vjp(np.eye(layer.state_size)[np.newaxis])
    flat = np.concatenate([v.ravel() for v in towards["parameters"]])
    np.testing.assert_allclose(whole[..., : flat.size] @ flat, step("parameters"), **close)


def test_a_class_derived_from_a_cell_with_formulas_may_have_changed_its_step():
    network = build_network(hidden_size=4, input_size=V, output_size=V, rng=np.random.default_rng(0))
    layer = network.recurrent
    changed = type("Changed", (type(layer),), {})
    assert has_formula(layer) and not has_formula(object.__new__(changed))


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_of_a_stack_they_go_through_the_layers_below(cell):
    network = network_of(cell, "two layers", embedding_dim=None, input_kind="values")
    network.forward(np.random.default_rng(1).standard_normal((3, N, V)))
    found = derivatives_at(network.recurrent, LATE)
    assert isinstance(found, StepDerivatives) and "two layers" in KINDS
    each = [network.recurrent.jacobians(n, [LATE])[0].T for n in range(N)]
    np.testing.assert_allclose(found.onward, each, rtol=1e-12, atol=1e-13)
    each = [network.recurrent.input_jacobians(n, [LATE])[0].T for n in range(N)]
    np.testing.assert_allclose(found.from_input, each, rtol=1e-12, atol=1e-13)
