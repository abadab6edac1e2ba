import numpy as np
import pytest
from pairwise import pairwise
from recurrent_cases import CASES, PHI, STEP, D, H, descend, every_layer, part, run_windows, steps_back

N = 2


def slopes_in_states(case, arrays, xs, dhs, start, step_weights=None):
    """dL/d(every state at every t), (T + 1, states, N, H): each disturbed on its own, where it is computed."""
    added = np.zeros((len(xs) + 1, case.states, *dhs.shape[1:]), complex)
    slopes = np.empty(added.shape)
    for index in np.ndindex(added.shape):
        added[index] = 1j * STEP
        states = case.run(arrays, xs, start, added=added, step_weights=step_weights)
        slopes[index] = (dhs * case.outputs(states)).sum().imag / STEP
        added[index] = 0.0
    return slopes


@pairwise(case=CASES, steps=[1, 4], step_weights={"whole": None, "step_weights": np.array([0.5, 2.0, 0.0, 0.7])})
def test_norms_are_those_of_the_loss_differentiated_in_every_state(case, steps, step_weights, assert_close):
    rng = np.random.default_rng(1)
    arrays = case.draw(rng)
    layer, names = case.make(arrays), case.cell.state_names
    factors = None if step_weights is None else step_weights[:steps]
    for _ in range(2):
        xs, dhs = rng.standard_normal((steps, N, D)), rng.standard_normal((steps, N, H))
        start = case.start(rng, N)
        layer.set_state(*start)
        layer.forward(xs)
        layer.backward(dhs, norms=True, step_weights=factors)
        slopes = slopes_in_states(case, arrays, xs, dhs, start, factors)
        assert list(layer.norms) == list(names)
        for k, name in enumerate(names):
            squares = sum((slopes[:, own] ** 2).sum(axis=-1) for own in range(k, case.states, len(names)))
            assert layer.norms[name].shape == (steps + 1, N)
            assert_close(layer.norms[name], np.sqrt(squares))
        np.testing.assert_array_equal(layer.dh_norms, layer.norms["h"])
        descend(layer)


@pytest.mark.parametrize("name", ["two rnn", "two gru", "two lstm"])
def test_a_norm_of_a_stack_is_that_of_its_layers_together(name, assert_close):
    rng = np.random.default_rng(2)
    case = CASES[name]
    arrays = case.draw(rng)
    layer = case.make(arrays)
    for _ in run_windows(case, layer, arrays, rng):
        for state, norms in layer.norms.items():
            both = [below.norms[state] for below in layer.layers]
            assert_close(norms, np.sqrt(both[0] ** 2 + both[1] ** 2))
            assert all(np.all(own < norms) for own in both)


@every_layer
def test_norms_are_left_only_when_asked_for_and_change_no_gradient(case, same_bits):
    rng = np.random.default_rng(3)
    layer = case.make(case.draw(rng), stateful=False)
    xs, dhs = rng.standard_normal((5, N, D)), rng.standard_normal((5, N, H))
    for _ in range(2):
        layer.forward(xs)
        with_norms = layer.backward(dhs, norms=True)
        gradients = [grad.copy() for grad in (*layer.grads, *layer.dstate)]
        assert set(layer.norms) == set(case.cell.state_names)
        same_bits(layer.backward(dhs), with_norms)
        assert layer.norms is None
        assert layer.dh_norms is None
        for grad, before in zip((*layer.grads, *layer.dstate), gradients, strict=True):
            same_bits(grad, before)
        descend(layer)


@every_layer
def test_looking_at_single_steps_leaves_the_window_alone(case, same_bits):
    rng = np.random.default_rng(10)
    arrays = case.draw(rng)
    layer = case.make(arrays, reuse=True)
    for _, dhs, _ in run_windows(case, layer, arrays, rng):
        kept = [a.copy() for a in (*layer.grads, *layer.dstate, *layer.norms.values(), layer.states, *layer.state)]
        layer.jacobians(1)
        layer.slopes()
        layer.gates()
        steps_back(layer, layer.after_each_step(dhs))
        now = (*layer.grads, *layer.dstate, *layer.norms.values(), layer.states, *layer.state)
        for array, before in zip(now, kept, strict=True):
            same_bits(array, before)


def by_layer(case, arrays, xs, states, formula):
    """What `formula` gives of every layer's step, all steps of the window, side by side: (T, N, L * H) by name."""
    each, parts = len(case.cell.state_names), []
    for layer in range(case.layers):
        inputs = xs if layer == 0 else np.stack([state[(layer - 1) * each] for state in states[1:]])
        before = [np.stack([state[layer * each + k] for state in states[:-1]]) for k in range(each)]
        parts.append(formula(part(arrays, layer + 1), inputs, before))
    return {name: np.concatenate([own[name] for own in parts], axis=-1) for name in parts[0]}


@every_layer
def test_gates_are_those_of_the_formulas_by_name(case, assert_close):
    rng = np.random.default_rng(11)
    arrays = case.draw(rng)
    layer = case.make(arrays)
    for xs, _, states in run_windows(case, layer, arrays, rng):
        expected = by_layer(case, arrays, xs, states, case.gates) if case.gates else {}
        expected.pop("candidate", None)
        assert list(layer.gates()) == list(expected)
        for name, gate in layer.gates().items():
            assert gate.shape == (*xs.shape[:2], case.layers * H)
            assert_close(gate, expected[name])


@every_layer
def test_slopes_are_those_of_the_activation_or_of_the_candidate(case, assert_close):
    rng = np.random.default_rng(12)
    arrays = case.draw(rng)
    layer = case.make(arrays)

    def slope(p, x, before):
        phi = PHI[case.options.get("activation", "tanh")]
        pre = x @ p["Wx"] + before[0] @ p["Wh"] + p["b"]
        return {"slope": phi(pre + 1j * STEP).imag / STEP}

    for xs, _, states in run_windows(case, layer, arrays, rng):
        if case.gates:
            expected = 1 - by_layer(case, arrays, xs, states, case.gates)["candidate"] ** 2
        else:
            expected = by_layer(case, arrays, xs, states, slope)["slope"]
        if case is CASES["leaky"]:
            assert layer.slopes().size == 0
        else:
            assert_close(layer.slopes(), expected)


@every_layer
def test_recurrent_weights_are_the_matrices_through_which_the_candidate_sees_the_state(case):
    rng = np.random.default_rng(13)
    for copies in ((), (2,)):
        arrays = case.draw(rng, copies=copies)
        layer = case.make(arrays)
        matrices = layer.recurrent_weights()
        assert len(matrices) == case.layers
        for at, matrix in enumerate(matrices):
            expected = arrays[f"{at + 1}.Wh"]
            expected = expected if case.gates is None else expected[..., -1, :, :]
            np.testing.assert_array_equal(matrix, expected)
            assert np.shares_memory(matrix, expected)  # it follows an update


@every_layer
@pytest.mark.parametrize("batch_first", [False, True])
def test_states_are_those_of_the_last_window_with_the_ones_before_it(case, batch_first, assert_close):
    rng = np.random.default_rng(14)
    arrays = case.draw(rng)
    layer, each = case.make(arrays, batch_first=batch_first), len(case.cell.state_names)
    for steps, batch in ((5, 3), (2, 1), (6, 2)):
        xs, start = rng.standard_normal((steps, batch, D)), case.start(rng, batch)
        layer.set_state(*start)
        layer.forward(xs.swapaxes(0, 1) if batch_first else xs)
        expected = case.run(arrays, xs, start)
        assert layer.states.shape == (steps + 1, batch, case.layers * H)
        assert_close(layer.states, [np.concatenate(state[::each], axis=-1) for state in expected])
        for t in range(steps + 1):
            for ours, theirs in zip(layer.state_before(t), expected[t], strict=True):
                assert_close(ours, theirs)


@every_layer
def test_steepest_is_known_where_the_gradient_passes_one_activation(case):
    layer = case.make(case.draw(np.random.default_rng(15)))
    if "activation" in case.options:
        assert layer.max_slope == {"tanh": 1.0, "relu": 1.0, "identity": 1.0, "sigmoid": 0.25}[layer.activation_name]
    else:
        assert np.isnan(layer.max_slope)
