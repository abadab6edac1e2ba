import numpy as np
import pytest
from pairwise import pairwise
from recurrent_cases import CASES, D, H, descend, every_layer, steps_back

from rnnexp.layers import Stack

N = 3
OUTPUT_ONLY = [name for name, case in CASES.items() if case.states == 1]


def all_close(actual, expected, assert_close):
    for ours, theirs in zip(actual, expected, strict=True):
        assert_close(ours, theirs)


def zeros(case, batch=N):
    return (np.zeros((batch, H)),) * case.states


@every_layer
def test_before_its_first_window_a_layer_has_no_state(case):
    layer = case.make(case.draw(np.random.default_rng(1)))
    assert layer.state is None
    assert layer.h is None
    assert layer.dstate is None
    assert layer.norms is None
    assert layer.dh_norms is None


@every_layer
def test_a_stateful_layer_carries_sets_and_resets_its_state(case, assert_close):
    rng = np.random.default_rng(2)
    arrays = case.draw(rng)
    layer = case.make(arrays)
    xs, start = rng.standard_normal((4, N, D)), case.start(rng, N)
    first = case.run(arrays, xs, zeros(case))
    for _ in range(2):
        assert_close(layer.forward(xs), case.outputs(first))
        all_close(layer.state, first[-1], assert_close)
        assert_close(layer.h, case.outputs(first)[-1])
        assert_close(layer.forward(xs), case.outputs(case.run(arrays, xs, first[-1])))
        layer.set_state(*start)
        assert_close(layer.forward(xs), case.outputs(case.run(arrays, xs, start)))
        layer.reset_state()
        assert layer.state is None
        assert layer.h is None


@every_layer
def test_without_stateful_every_window_starts_from_zero(case, same_bits):
    rng = np.random.default_rng(3)
    layer = case.make(case.draw(rng), stateful=False)
    xs = rng.standard_normal((4, N, D))
    first = layer.forward(xs)
    same_bits(layer.forward(xs), first)
    layer.set_state(*case.start(rng, N))
    same_bits(layer.forward(xs), first)
    layer.forward(xs[:, :1])  # another batch size is no matter either
    same_bits(layer.forward(xs), first)


@every_layer
def test_a_given_state_is_copied_and_one_that_is_read_stays_as_it_was(case, assert_close):
    rng = np.random.default_rng(4)
    arrays = case.draw(rng)
    layer = case.make(arrays, reuse=True)
    xs, start = rng.standard_normal((4, N, D)), case.start(rng, N)
    expected = case.run(arrays, xs, start)
    layer.set_state(*start)
    for array in start:
        array[...] = 100.0
    assert_close(layer.forward(xs), case.outputs(expected))
    read = layer.state
    layer.forward(rng.standard_normal((4, N, D)))
    all_close(read, expected[-1], assert_close)
    assert all(np.all(array == 100.0) for array in start)


@pytest.mark.parametrize("name", ["lstm", "two lstm"])
def test_a_cell_state_that_is_not_given_is_zero(name, assert_close):
    rng = np.random.default_rng(5)
    case = CASES[name]
    arrays = case.draw(rng, learned=True)
    layer = case.make(arrays)
    for batch in (2, 3):
        xs, start = rng.standard_normal((3, batch, D)), case.start(rng, batch)
        layer.set_state(*start[:-1])
        start[-1][...] = 0.0
        assert_close(layer.forward(xs), case.outputs(case.run(arrays, xs, start)))
        assert not np.any(layer.state_before(0)[-1])


@pytest.mark.parametrize(
    ("name", "number"), [("tanh", 0), ("tanh", 2), ("leaky", 2), ("gru", 2), ("lstm", 0), ("lstm", 3)]
)
def test_a_wrong_number_of_states_is_refused(name, number, same_bits):
    rng = np.random.default_rng(6)
    case = CASES[name]
    layer = case.make(case.draw(rng))
    xs, start = rng.standard_normal((3, N, D)), case.start(rng, N)
    layer.set_state(*start)
    first = layer.forward(xs)
    layer.set_state(*start)
    with pytest.raises(TypeError, match=rf"the state is \(h.*\), got {number} arrays"):
        layer.set_state(*[np.ones((N, H))] * number)
    same_bits(layer.forward(xs), first)


@pytest.mark.parametrize("name", ["two rnn", "two gru", "two lstm"])
@pytest.mark.parametrize(
    "number",
    [
        0,
        1,
        "too many",
    ],
)
def test_a_wrong_number_of_states_of_a_stack_is_refused(name, number):
    case = CASES[name]
    layer = case.make(case.draw(np.random.default_rng(7)))
    number = case.states + 1 if number == "too many" else number
    for _ in range(2):
        with pytest.raises(TypeError):
            layer.set_state(*[np.ones((N, H))] * number)


@every_layer
def test_a_carried_state_of_another_batch_size_is_refused_until_reset(case, assert_close):
    rng = np.random.default_rng(8)
    arrays = case.draw(rng)
    layer = case.make(arrays)
    for batch in (2, 4):
        layer.forward(rng.standard_normal((3, batch, D)))
        xs = rng.standard_normal((3, batch + 1, D))
        message = rf"shape \({batch}, 3\), the window needs \({batch + 1}, 3\): call reset_state\(\) first"
        with pytest.raises(ValueError, match=message):
            layer.forward(xs)
        layer.reset_state()
        assert_close(layer.forward(xs), case.outputs(case.run(arrays, xs, zeros(case, batch + 1))))
        layer.reset_state()


@every_layer
def test_sequences_that_do_not_fit_are_refused(case):
    layer = case.make(case.draw(np.random.default_rng(9)))
    for steps in (3, 2):
        layer.forward(np.ones((steps, N, D)))
        with pytest.raises(ValueError, match=rf"dhs must have shape \({steps}, 3, 3\), got \({steps}, 2, 3\)"):
            layer.backward(np.ones((steps, N - 1, H)))
    with pytest.raises(ValueError, match=r"xs must end in shape \(2,\)|mismatch in its core dimension"):
        layer.forward(np.ones((3, N, D + 1)))


@pairwise(case=CASES, batch_first=[False, True], cut=[1, 5])
def test_two_carried_windows_are_one_long_window(case, cut, batch_first, assert_close):
    rng = np.random.default_rng(10)
    arrays = case.draw(rng, learned=True)
    whole, parts = (case.make(arrays, batch_first=batch_first) for _ in range(2))
    time = 1 if batch_first else 0
    for _ in range(2):  # the second long window starts where the first ended
        xs = rng.standard_normal((N, 6, D) if batch_first else (6, N, D))
        old, new = np.split(xs, [cut], axis=time)
        joined = np.concatenate([parts.forward(old), parts.forward(new)], axis=time)
        assert_close(joined, whole.forward(xs))
        all_close(parts.state, whole.state, assert_close)


def two_windows(case, rng, arrays, cut):
    whole, early, late = (case.make(arrays) for _ in range(3))
    xs, dhs, start = rng.standard_normal((7, N, D)), rng.standard_normal((7, N, H)), case.start(rng, N)
    for layer in (whole, early):
        layer.set_state(*start)
    whole.forward(xs)
    early.forward(xs[:cut])
    late.set_state(*early.state)
    late.forward(xs[cut:])
    return whole, early, late, dhs


@pytest.mark.parametrize("name", OUTPUT_ONLY)
def test_chained_backward_through_two_windows_is_backward_through_one(name, assert_close):
    rng = np.random.default_rng(11)
    arrays = CASES[name].draw(rng)
    for cut in (3, 6):
        whole, early, late, dhs = two_windows(CASES[name], rng, arrays, cut)
        dxs, late_dxs = whole.backward(dhs), late.backward(dhs[cut:])
        dhs[cut - 1] += late.dstate[0]
        assert_close(np.concatenate([early.backward(dhs[:cut]), late_dxs]), dxs)
        assert_close(early.dh, whole.dh)
        all_close([a + b for a, b in zip(early.grads, late.grads, strict=True)], whole.grads, assert_close)
        descend(whole)


def chain_back(layer, dhs, dstate):
    """Backward from gradients in the whole state after the last step, one step at a time."""
    dxs, grads = [], [0.0 for _ in layer.params]
    for t in range(len(dhs) - 1, -1, -1):
        after = tuple(array.copy() for array in layer.after_each_step(dhs))
        for array, later in zip(after, dstate, strict=True):
            array[t] += later
            array[:t] = array[t + 1 :] = 0.0
        step_dxs, earlier, parts = steps_back(layer, after)
        dstate = [array[t] for array in earlier]
        dxs.insert(0, step_dxs[t])
        grads = [total + grad for total, grad in zip(grads, parts, strict=True)]
    return np.stack(dxs), dstate, grads


@every_layer
def test_the_gradient_left_for_the_whole_state_before_a_window_is_all_that_the_past_needs(case, assert_close):
    rng = np.random.default_rng(12)
    arrays = case.draw(rng)
    for cut in (3, 6):
        whole, early, late, dhs = two_windows(case, rng, arrays, cut)
        dxs, late_dxs = whole.backward(dhs), late.backward(dhs[cut:])
        early_dxs, dstate, grads = chain_back(early, dhs[:cut], late.dstate)
        assert_close(np.concatenate([early_dxs, late_dxs]), dxs)
        all_close(dstate, whole.dstate, assert_close)
        all_close([a + b for a, b in zip(grads, late.grads, strict=True)], whole.grads, assert_close)
        descend(whole)


@every_layer
def test_batch_first_gives_the_same_numbers_transposed(case, assert_close):
    rng = np.random.default_rng(13)
    arrays = case.draw(rng, learned=True)
    straight, turned = case.make(arrays), case.make(arrays, batch_first=True)
    for steps, batch in ((5, 3), (3, 3)):
        xs, dhs = rng.standard_normal((steps, batch, D)), rng.standard_normal((steps, batch, H))
        step_weights = rng.uniform(0.5, 1.5, steps)
        hs = turned.forward(xs.swapaxes(0, 1).copy())
        assert_close(hs, straight.forward(xs).swapaxes(0, 1))
        dxs = turned.backward(dhs.swapaxes(0, 1).copy(), norms=True, step_weights=step_weights)
        assert_close(dxs, straight.backward(dhs, norms=True, step_weights=step_weights).swapaxes(0, 1))
        all_close(turned.norms.values(), straight.norms.values(), assert_close)
        for ours, theirs in zip((*turned.dstate, *turned.state), (*straight.dstate, *straight.state), strict=True):
            assert_close(ours, theirs)
        assert_close(turned.states, straight.states)
        assert_close(turned.jacobians(1), straight.jacobians(1))
        for ours, theirs in zip(turned.grads, straight.grads, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)
        descend(straight)


def test_a_carried_state_of_another_shape_is_refused_whichever_it_is():
    case = CASES["lstm"]
    layer = case.make(case.draw(np.random.default_rng(8)))
    layer.stateful = True
    for wrong in ((N + 1, H), (1, H), (H,)):
        layer.set_state(np.ones((N, H)), np.ones(wrong))
        with pytest.raises(ValueError, match="reset_state"):
            layer.forward(np.ones((3, N, D)))


def test_a_stack_is_of_one_class():
    layers = [CASES[name].make(CASES[name].draw(np.random.default_rng(9))) for name in ("gru", "lstm")]
    with pytest.raises(TypeError, match="one class"):
        Stack(layers)
