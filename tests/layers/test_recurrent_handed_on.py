"""The gradient in the state as it is handed on: a path through several states of one step counts once."""

import numpy as np
import pytest
from recurrent_cases import CASES, STEP, D, H, every_layer, generic

from rnnexp.layers import Recurrent

N, STEPS = 2, 5
FACTORS = {"whole": None, "step_weights": np.array([0.5, 2.0, 0.0, 0.7, 1.5])}


def slopes_in_handed_on_states(case, arrays, xs, dhs, start, factors):
    """dL/d(all states between two steps), (T + 1, states, N, H): by complex steps, the steps before taken as they are.

    `factors[t]` is a factor of the derivative that step t hands back, so that it scales the imaginary part.
    """
    states = case.run(arrays, xs, start)
    slopes, each = np.zeros((len(xs) + 1, case.states, *dhs.shape[1:])), len(case.cell.state_names)
    for t in range(len(xs) + 1):
        for index in np.ndindex(slopes.shape[1:]):
            moved = [array.astype(complex) for array in states[t]]
            moved[index[0]][index[1:]] += 1j * STEP
            loss = (dhs[t - 1] * moved[-each]).sum() if t else 0.0
            weights = None if factors is None else factors[t:]
            rest = case.run(arrays, xs[t:], tuple(moved), step_weights=weights)
            loss = loss + (dhs[t:] * case.outputs(rest)).sum() if t < len(xs) else loss
            slopes[(t, *index)] = np.imag(loss) / STEP
    return slopes


def run(case, factors, cell=None):
    rng = np.random.default_rng(1)
    arrays = case.draw(rng)
    layer = case.make(arrays, cell=cell)
    xs, dhs, start = rng.standard_normal((STEPS, N, D)), rng.standard_normal((STEPS, N, H)), case.start(rng, N)
    layer.set_state(*start)
    layer.forward(xs)
    layer.backward(dhs, step_weights=factors)
    return layer, (arrays, xs, dhs, start, factors)


@every_layer
@pytest.mark.parametrize("factors", FACTORS.values(), ids=FACTORS)
def test_it_is_the_derivative_in_the_state_between_two_steps(case, factors, assert_close):
    layer, given = run(case, factors)
    found = layer.handed_on()
    assert len(found) == case.states
    expected = slopes_in_handed_on_states(case, *given)
    for k, own in enumerate(found):
        assert own.shape == (STEPS + 1, N, H)
        assert_close(own, expected[:, k])


@every_layer
def test_one_step_back_is_the_jacobian_of_the_whole_state(case, assert_close):
    layer, (_, _, dhs, _, _) = run(case, None)
    state = np.concatenate(layer.handed_on(), axis=-1)
    each = len(case.cell.state_names)
    top = slice(-each * H, H - each * H or None)  # the top layer's h, which the output layer reads
    for sequence in range(N):
        jacobians = layer.jacobians(sequence)
        for t in range(STEPS, 0, -1):
            back = jacobians[t - 1] @ state[t, sequence]
            if t > 1:
                back[top] += dhs[t - 2, sequence]
            assert_close(state[t - 1, sequence], back)


@pytest.mark.parametrize("factors", FACTORS.values(), ids=FACTORS)
@pytest.mark.parametrize("name", ["tanh", "gru", "two rnn", "two gru"])
def test_the_fast_products_are_those_of_the_steps_one_by_one(name, factors, assert_close):
    case = CASES[name]
    slow = generic(case.cell)
    slow._through_next_step = Recurrent._through_next_step
    layers = [run(case, factors, cell)[0] for cell in (None, slow)]
    for ours, theirs in zip(*(layer.handed_on() for layer in layers), strict=True):
        assert_close(ours, theirs)


def test_a_lower_layer_that_forgets_hands_nothing_on():
    # Without recurrent weights below, the past lives in the upper layer alone; `norms` counts the lower one, too.
    rng, case = np.random.default_rng(3), CASES["two rnn"]
    arrays = case.draw(rng)
    arrays["1.Wh"][...] = 0.0
    layer = case.make(arrays)
    layer.forward(rng.standard_normal((STEPS, N, D)))
    dhs = np.zeros((STEPS, N, H))
    dhs[-1] = 1.0
    layer.backward(dhs, norms=True)
    below, above = layer.handed_on()
    assert not below.any()
    assert (layer.norms["h"][1:] > 1.01 * np.linalg.norm(above, axis=-1)[1:]).all()


@every_layer
def test_copies_are_as_if_alone(case, same_bits):
    rng = np.random.default_rng(4)
    arrays = case.draw(rng, copies=(3,))
    xs, dhs = rng.standard_normal((STEPS, 3, N, D)), rng.standard_normal((STEPS, 3, N, H))
    layer = case.make(arrays, stateful=False)
    layer.forward(xs)
    layer.backward(dhs)
    together = layer.handed_on()
    for copy in range(3):
        alone = case.make({name: array[copy] for name, array in arrays.items()}, stateful=False)
        alone.forward(xs[:, copy])
        alone.backward(dhs[:, copy])
        for ours, theirs in zip(together, alone.handed_on(), strict=True):
            same_bits(ours[:, copy], theirs)
