import numpy as np
import pytest
from pairwise import pairwise
from recurrent_cases import CASES, D, H, Leaky, descend, every_layer

from rnnexp.layers import TimeGRU, TimeLSTM, TimeRNN


def named(states, prefix="state"):
    return {f"{prefix}{k}": state for k, state in enumerate(states)}


def projected(case, dhs, **options):
    """The loss sum(dhs * hs) of the written formulas, as a function of parameters, inputs and first states by name."""

    def loss(xs, **arrays):
        start = [arrays.pop(name) for name in list(arrays) if name.startswith("state")]
        start = start or case.learned_start(arrays, dhs.shape[1])
        return (dhs * case.outputs(case.run(arrays, xs, start, **options))).sum()

    return loss


@pairwise(case=CASES, steps=[1, 5], batch=[1, 3])
def test_a_window_has_the_gradients_of_its_formula(case, steps, batch, check_gradients):
    rng = np.random.default_rng(1)
    arrays = case.draw(rng)
    layer = case.make(arrays)
    for _ in range(2):
        xs, dhs = rng.standard_normal((steps, batch, D)), rng.standard_normal((steps, batch, H))
        start = case.start(rng, batch)
        layer.set_state(*start)
        layer.forward(xs)
        dxs = layer.backward(dhs)
        assert len(layer.dstate) == case.states
        gradients = dict(zip(arrays, layer.grads, strict=True)) | named(layer.dstate) | {"xs": dxs}
        check_gradients(projected(case, dhs), arrays | named(start) | {"xs": xs}, gradients)
        descend(layer)


@every_layer
def test_windows_of_changing_sizes_on_one_object_have_the_gradients_of_their_formula(case, check_gradients):
    rng = np.random.default_rng(2)
    arrays = case.draw(rng)
    layer = case.make(arrays, reuse=True)
    for steps, batch in ((2, 2), (3, 2), (2, 1)):
        xs, dhs = rng.standard_normal((steps, batch, D)), rng.standard_normal((steps, batch, H))
        start = case.start(rng, batch)
        layer.set_state(*start)
        layer.forward(xs)
        dxs = layer.backward(dhs)
        gradients = dict(zip(arrays, layer.grads, strict=True)) | named(layer.dstate) | {"xs": dxs}
        check_gradients(projected(case, dhs), arrays | named(start) | {"xs": xs}, gradients)
        descend(layer)


@every_layer
@pytest.mark.parametrize("stateful", [False, True])
def test_a_learned_initial_state_has_the_gradient_of_the_formula(case, stateful, check_gradients):
    rng = np.random.default_rng(3)
    arrays = case.draw(rng, learned=True)
    layer = case.make(arrays, stateful=stateful)
    for steps, batch in ((4, 2), (1, 1), (2, 3)):
        xs, dhs = rng.standard_normal((steps, batch, D)), rng.standard_normal((steps, batch, H))
        layer.reset_state()
        layer.forward(xs)
        dxs = layer.backward(dhs)
        gradients = dict(zip(arrays, layer.grads, strict=True)) | {"xs": dxs}
        check_gradients(projected(case, dhs), arrays | {"xs": xs}, gradients)
        descend(layer)


def learned_gradients(arrays, layer):
    return [grad for name, grad in zip(arrays, layer.grads, strict=True) if name[-2:] in ("h0", "c0")]


@every_layer
def test_a_learned_initial_state_has_no_gradient_in_windows_that_do_not_start_from_it(case, assert_close):
    rng = np.random.default_rng(4)
    arrays = case.draw(rng, learned=True)
    layer, plain = case.make(arrays), case.make({n: a for n, a in arrays.items() if n[-2:] not in ("h0", "c0")})
    xs, dhs = rng.standard_normal((8, 2, D)), rng.standard_normal((4, 2, H))

    def backward(starts_there):
        layer.backward(dhs)
        learned = learned_gradients(arrays, layer)
        assert len(learned) == case.states
        assert all(np.any(grad != 0) if starts_there else np.all(grad == 0) for grad in learned)
        return [grad.copy() for name, grad in zip(arrays, layer.grads, strict=True) if name[-2:] not in ("h0", "c0")]

    for _ in range(2):
        layer.reset_state()
        layer.forward(xs[:4])
        backward(True)
        plain.set_state(*layer.state)
        layer.forward(xs[4:])  # carried on
        own = backward(False)
        plain.forward(xs[4:])
        plain.backward(dhs)
        for ours, theirs in zip(own, plain.grads, strict=True):
            assert_close(ours, theirs)
        layer.set_state(*case.start(rng, 2))
        layer.forward(xs[:4])
        backward(False)
        layer.reset_state()
        layer.forward(xs[:4])
        backward(True)
        layer.drop(0)
        layer.forward(xs[:4], first=4)
        backward(True)
        layer.drop(1)
        layer.forward(xs[1:5], first=3)
        backward(False)
        layer.reset_state()
        layer.forward(xs[:4])
        backward(True)
        descend(layer)


@every_layer
def test_every_window_from_the_start_starts_from_the_learned_state_as_it_now_is(case, assert_close):
    rng = np.random.default_rng(5)
    arrays = case.draw(rng, learned=True)
    layer, forgetful = case.make(arrays), case.make(arrays, stateful=False)
    for batch in (2, 3):
        xs = rng.standard_normal((4, batch, D))
        expected = case.run(arrays, xs, case.learned_start(arrays, batch))
        layer.reset_state()
        assert_close(layer.forward(xs), case.outputs(expected))
        forgetful.forward(xs)
        forgetful.set_state(*case.start(rng, batch))  # of no matter to it
        assert_close(forgetful.forward(xs), case.outputs(expected))
        for ours, theirs in zip(layer.state, expected[-1], strict=True):
            assert_close(ours, theirs)
        for before, start in zip(layer.state_before(0), case.learned_start(arrays, batch), strict=True):
            np.testing.assert_array_equal(before, start)
        layer.backward(np.ones((4, batch, H)))
        descend(layer, rate=0.5)


@pytest.mark.parametrize("given", ["h0", "c0"])
def test_one_learned_state_of_an_lstm_without_the_other_is_refused(given):
    arrays = CASES["lstm"].draw(np.random.default_rng(6)).values()
    with pytest.raises(TypeError, match="all of the initial states h, c, or none"):
        TimeLSTM(*arrays, **{given: np.zeros(H)})
    TimeLSTM(*arrays, h0=np.zeros(H), c0=np.zeros(H))


@pytest.mark.parametrize(("name", "cell"), [("tanh", TimeRNN), ("gru", TimeGRU), ("lstm", TimeLSTM), ("leaky", Leaky)])
@pytest.mark.parametrize("wrong", ["state_ful", "g0"])
def test_an_unknown_keyword_is_refused_by_name(name, cell, wrong):
    case = CASES[name]
    arrays = list(case.draw(np.random.default_rng(7)).values())
    with pytest.raises(TypeError, match=wrong):
        cell(arrays, hidden_size=H, **{wrong: 1}) if cell is Leaky else cell(*arrays, **{wrong: 1})


def test_a_layer_with_one_state_takes_no_learned_cell_state():
    for name in ("tanh", "gru"):
        case = CASES[name]
        with pytest.raises(TypeError, match="c0"):
            case.cell(*case.draw(np.random.default_rng(8)).values(), h0=np.zeros(H), c0=np.zeros(H))


@every_layer
def test_gradients_of_all_parameters_are_overwritten_in_place(case):
    rng = np.random.default_rng(9)
    arrays = case.draw(rng, learned=True)
    layer = case.make(arrays, stateful=False)
    assert all(kept is given for kept, given in zip(layer.params, arrays.values(), strict=True))
    own = list(layer.grads)
    xs, dhs = rng.standard_normal((3, 2, D)), rng.standard_normal((3, 2, H))
    for array in own:
        array[...] = 7.0
    kept = []
    for _ in range(2):
        layer.forward(xs)
        layer.backward(dhs)
        kept.append([array.copy() for array in own])
    assert all(grad is array for grad, array in zip(layer.grads, own, strict=True))
    for array, before in zip(*kept, strict=True):
        np.testing.assert_array_equal(array, before)
        assert np.all(array != 7.0)
