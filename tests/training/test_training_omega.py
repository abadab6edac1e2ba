"""Pascanu's regularizer: penalty and gradient against its formula one step at a time, and what training makes of it."""

import numpy as np
import pytest
from training_cases import CELLS, by_name, trained

from rnnexp.algorithms import TruncatedBPTT
from rnnexp.checks import InvalidValue, UserError
from rnnexp.layers import Initializers, Orthogonal, TimeGRU, TimeLSTM
from rnnexp.training import SGD, Omega, train
from rnnexp.training.regularizers import omega

either = pytest.mark.parametrize("squared", [True, False])


def penalty_alone(dhs, dpres, Wh, squared):
    """Equation 9 of the paper for one network, dL/dh_t and what it is before the activation being constants."""
    terms = []
    for dh, dpre in zip(dhs.reshape(-1, dhs.shape[-1]), dpres.reshape(-1, dpres.shape[-1]), strict=True):
        handed = [sum(Wh[i, o] * dpre[o] for o in range(len(dpre))) for i in range(len(dpre))]
        ratio = sum(value * value for value in handed) / sum(value * value for value in dh)
        terms.append((ratio - 1) ** 2 if squared else (np.sqrt(ratio) - 1) ** 2)
    return sum(terms) / len(terms)


def complex_step(dhs, dpres, Wh, squared):
    gradient, step = np.empty(Wh.shape), 1e-30
    for index in np.ndindex(Wh.shape):
        point = Wh.astype(complex)
        point[index] += 1j * step
        gradient[index] = penalty_alone(dhs, dpres, point, squared).imag / step
    return gradient


def draw(*shape, seed=0, dtype=np.float64):
    """dL/dh_t of very different sizes, the same before a tanh, and Wh."""
    rng = np.random.default_rng(seed)
    dhs = rng.standard_normal(shape) * 10.0 ** rng.uniform(-6, 1, (*shape[:-1], 1))
    dpres = dhs * (1 - np.tanh(rng.standard_normal(shape)) ** 2)
    Wh = rng.standard_normal((*shape[1:-2], shape[-1], shape[-1])) / np.sqrt(shape[-1])
    return dhs.astype(dtype), dpres.astype(dtype), Wh.astype(dtype)


def assert_close(actual, expected, tolerance=1e-12):
    assert np.abs(expected).max() > 1e-6
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@either
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 4), (6, 3, 4), (12, 1, 7), (2, 9, 2)])
def test_penalty_and_gradient_are_those_of_the_formula(shape, squared):
    dhs, dpres, Wh = draw(*shape)
    penalty, gradient = omega(dhs, dpres, Wh, squared=squared)
    assert penalty == pytest.approx(penalty_alone(dhs, dpres, Wh, squared), rel=1e-12)
    assert_close(gradient, complex_step(dhs, dpres, Wh, squared))


@either
def test_single_precision_is_near_double_and_stays_single(squared):
    given = draw(8, 3, 5, dtype=np.float32)
    penalty, gradient = omega(*given, squared=squared)
    double = omega(*(array.astype(np.float64) for array in given), squared=squared)
    assert gradient.dtype == np.float32
    assert penalty == pytest.approx(double[0], rel=1e-5)
    assert_close(gradient, double[1], 1e-5)


@either
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_stacked_copies_are_each_as_alone_bit_for_bit(squared, dtype):
    dhs, dpres, Wh = draw(6, 3, 2, 5, dtype=dtype)
    dhs[2:, 1] = 0.0  # other copies have more gradients that are not gone
    penalties, gradients = omega(dhs, dpres, Wh, squared=squared)
    assert penalties.shape == (3,)
    for copy in range(3):
        alone = np.ascontiguousarray(dhs[:, copy]), np.ascontiguousarray(dpres[:, copy]), Wh[copy]
        penalty, gradient = omega(*alone, squared=squared)
        assert penalties[copy] == penalty
        assert gradients[copy].tobytes() == gradient.tobytes()


@either
def test_gradients_that_are_gone_do_not_count(squared):
    dhs, dpres, Wh = draw(5, 2, 3)
    alone = omega(dhs[:3], dpres[:3], Wh, squared=squared)
    for step, size in ((3, 0.0), (4, 0.99e-10)):
        shrink = size / np.linalg.norm(dhs[step], axis=-1, keepdims=True)
        dhs[step], dpres[step] = dhs[step] * shrink, dpres[step] * shrink
    penalty, gradient = omega(dhs, dpres, Wh, squared=squared)
    assert penalty == pytest.approx(alone[0], rel=1e-13)
    assert_close(gradient, alone[1], 1e-13)
    dhs[4] *= 1.02 / 0.99
    assert omega(dhs, dpres, Wh, squared=squared)[0] != pytest.approx(alone[0], rel=1e-3)


@either
def test_where_all_gradients_are_gone_there_is_nothing_to_keep(squared):
    dhs, dpres, Wh = draw(4, 2, 3)
    penalty, gradient = omega(dhs * 0, dpres * 0, Wh, squared=squared)
    assert penalty == 0.0
    assert not gradient.any()


@pytest.mark.parametrize(("squared", "expected"), [(True, 0.5625), (False, 0.25)])
def test_half_of_the_norm_by_hand(squared, expected):
    # (1/4 - 1)^2 and (1/2 - 1)^2; along Wh itself, d/ds of (s^2/4 - 1)^2 and (s/2 - 1)^2 at s = 1.
    dhs, _, _ = draw(5, 2, 4)
    Wh = 0.5 * np.linalg.qr(np.random.default_rng(1).standard_normal((4, 4)))[0]
    penalty, gradient = omega(dhs, dhs, Wh, squared=squared)
    assert penalty == pytest.approx(expected, rel=1e-13)
    assert np.vdot(gradient, Wh) == pytest.approx(-0.75 if squared else -0.5, rel=1e-13)


@either
def test_a_norm_that_is_kept_costs_nothing_and_pulls_nowhere(squared):
    dhs, _, _ = draw(5, 2, 4)
    Wh = np.linalg.qr(np.random.default_rng(1).standard_normal((4, 4)))[0]
    penalty, gradient = omega(dhs, dhs, Wh, squared=squared)
    assert penalty < 1e-28
    assert np.abs(gradient).max() < 1e-13


@either
def test_weights_that_hand_nothing_back_cost_one_and_have_a_gradient_of_zero(squared):
    dhs, dpres, Wh = draw(5, 2, 4)
    penalty, gradient = omega(dhs, dpres, Wh * 0, squared=squared)
    assert penalty == 1.0
    assert not gradient.any()


def gradients_with(frozen, network, task, regularizer, updates=2, **settings):
    optimizer = frozen()
    reports = trained(network, task, optimizer, updates, regularizer=regularizer, **settings)
    return optimizer.gradients, reports


def own_flow(reference, network, batch):
    """dL/dh_t and the same before the tanh, t = 1 to T, of the mean loss over all steps: complex steps in each h_t."""
    own, (steps, count) = reference(network), batch.inputs.shape
    states, _, _ = own.run(batch.inputs)
    dhs = np.empty((steps, count, states.shape[-1]))
    values = own.unpack(own.vector)
    for t, n, unit in np.ndindex(dhs.shape):
        h = states[t + 1].astype(complex)
        h[n, unit] += 1e-30j
        at_step = type(batch)(batch.inputs[[t]], batch.targets[[t]], batch.mask[[t]])
        logits = h @ values["output.W"] + values["output.b"]
        chosen = np.take_along_axis(logits, at_step.targets[0][:, np.newaxis], axis=1)[:, 0]
        loss = (np.log(np.exp(logits).sum(axis=1)) - chosen).sum()
        if t + 1 < steps:
            loss += own.losses(batch.steps(t + 1, steps), h=h).sum()
        dhs[t, n, unit] = loss.imag / 1e-30 / batch.mask.size
    return dhs, dhs * (1 - states[1:] ** 2)


@either
def test_training_adds_the_gradient_of_the_formula_to_the_recurrent_weights(
    every_step, network_for, frozen, reference, squared
):
    task = every_step(length=6)
    network = network_for(task)
    (plain,), _ = gradients_with(frozen, network, task, None, 1)
    (gradient,), (report,) = gradients_with(frozen, network, task, Omega(0.3, squared=squared), 1)
    flow = own_flow(reference, network, task.drawn[0])
    Wh = network.parameters.values["recurrent.Wh"]
    added = by_name(network, gradient - plain)
    assert_close(added["recurrent.Wh"], 0.3 * complex_step(*flow, Wh, squared), 1e-10)
    assert report.penalty == pytest.approx(0.3 * penalty_alone(*flow, Wh, squared), rel=1e-10)
    assert report.grad_norm == pytest.approx(np.linalg.norm(gradient), rel=1e-12)


@either
@pytest.mark.parametrize("name", ["rnn", "two layers"])
@pytest.mark.parametrize("algorithm", [TruncatedBPTT(None), TruncatedBPTT(4, 2)], ids=["whole", "windows"])
def test_exactly_that_and_to_nothing_else(every_step, network_for, frozen, squared, name, algorithm):
    task = every_step(length=7)
    network = network_for(task, **CELLS[name])
    plain, reports = gradients_with(frozen, network, task, None, 3, algorithm=algorithm)
    assert {report.penalty for report in reports} == {None}
    gradients, reports = gradients_with(frozen, network, task, Omega(2.5, squared=squared), 3, algorithm=algorithm)
    penalty, expected = 0.0, plain[-1].copy()
    layers = ["recurrent"] if name == "rnn" else ["recurrent.1", "recurrent.2"]
    for at, layer in zip(layers, network.recurrent.layers, strict=True):
        one, gradient = omega(*layer.flow(), layer.params[1], squared=squared)
        penalty += 2.5 * one
        by_name(network, expected)[f"{at}.Wh"] += 2.5 * gradient
        assert np.abs(gradient).max() > 1e-3
    assert gradients[-1].tobytes() == expected.tobytes()
    assert reports[-1].penalty == pytest.approx(penalty, rel=1e-13)
    assert reports[-1].penalty > 0


@either
def test_a_linear_network_that_keeps_the_norm_is_left_as_it_is(every_step, network_for, frozen, squared):
    task = every_step(length=6)
    start = Initializers(recurrent=Orthogonal())
    network = network_for(task, init=start, cell_options={"activation": "identity"}, scale=1.0)
    plain, _ = gradients_with(frozen, network, task, None)
    gradients, reports = gradients_with(frozen, network, task, Omega(2.0, squared=squared))
    np.testing.assert_allclose(gradients, plain, rtol=0, atol=1e-10)
    assert all(report.penalty < 1e-25 for report in reports)


def test_frozen_recurrent_weights_have_no_gradient_of_it(every_step, network_for, frozen):
    task = every_step(length=6)
    network = network_for(task, freeze="recurrent.Wh")
    plain, _ = gradients_with(frozen, network, task, None)
    gradients, reports = gradients_with(frozen, network, task, Omega(4.0))
    assert np.array_equal(gradients, plain)
    assert not any(by_name(network, gradient)["recurrent.Wh"].any() for gradient in gradients)
    assert all(report.penalty > 0 for report in reports)


@pytest.mark.parametrize("cell", [TimeGRU, TimeLSTM])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_other_cells_are_refused_before_anything_is_drawn(every_step, network_for, cell, num_layers):
    task = every_step()
    network = network_for(task, cell=cell, num_layers=num_layers)
    with pytest.raises(UserError, match=rf"^regularizer=omega is defined for cell=rnn only, got {cell.__name__}\n"):
        train(network, task, optimizer=SGD(0.1), steps=1, rng=np.random.default_rng(0), regularizer=Omega())
    assert task.drawn == []


def test_the_defaults_and_what_is_refused():
    assert vars(Omega()) == {"strength": 2.0, "squared": True}
    for value in (0, -1, float("nan"), float("inf"), "2", None, True):
        with pytest.raises(InvalidValue, match=r"^strength must be a number > 0, got .*\nregularizer=none"):
            Omega(value)
    for value in (1, 0, None, "true"):
        with pytest.raises(InvalidValue, match=r"^squared must be true or false, got "):
            Omega(squared=value)
