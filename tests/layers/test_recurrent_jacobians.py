import numpy as np
import pytest
from recurrent_cases import CASES, STEP, D, H, descend, every_layer, run_windows, steps_back

N = 2


def flat(states):
    return np.concatenate(states, axis=-1)


def disturbed(case, arrays, x, state, sequence, *, of_input):
    """Derivatives of one step of one sequence: a row for each unit of the earlier state, or feature of the input."""
    x, before = x[sequence], flat([own[sequence] for own in state])
    size = len(x) if of_input else len(before)
    change = 1j * STEP * np.eye(size)
    x, before = (x + change, np.stack([before] * size)) if of_input else (np.stack([x] * size), before + change)
    return flat(case.one_step(arrays, x, np.split(before, case.states, axis=-1))).imag / STEP


@every_layer
def test_jacobians_are_those_of_one_step_of_one_sequence(case, assert_close):
    rng = np.random.default_rng(4)
    arrays = case.draw(rng)
    layer = case.make(arrays)
    for xs, _, states in run_windows(case, layer, arrays, rng):
        for sequence in (0, 1):
            expected = [
                disturbed(case, arrays, x, s, sequence, of_input=False) for x, s in zip(xs, states[:-1], strict=True)
            ]
            assert_close(layer.jacobians(sequence), expected)
        assert_close(layer.jacobians(), layer.jacobians(0))


@every_layer
def test_input_jacobians_are_those_of_one_step_of_one_sequence(case, assert_close):
    rng = np.random.default_rng(5)
    arrays = case.draw(rng)
    layer = case.make(arrays)
    for xs, _, states in run_windows(case, layer, arrays, rng):
        for sequence in (0, 1):
            expected = [
                disturbed(case, arrays, x, s, sequence, of_input=True) for x, s in zip(xs, states[:-1], strict=True)
            ]
            assert_close(layer.input_jacobians(sequence), expected)
        assert_close(layer.input_jacobians(), layer.input_jacobians(0))


@every_layer
def test_jacobians_carry_a_gradient_of_the_last_outputs_to_the_first_state(case, assert_close):
    rng = np.random.default_rng(6)
    layer = case.make(case.draw(rng))
    for steps in (4, 2):
        layer.set_state(*case.start(rng, N))
        layer.forward(rng.standard_normal((steps, N, D)))
        dhs = np.zeros((steps, N, H))
        dhs[-1] = rng.standard_normal((N, H))
        layer.backward(dhs)
        for sequence in range(N):
            row = flat([array[-1, sequence] for array in layer.after_each_step(dhs)])
            for jacobian in reversed(layer.jacobians(sequence)):
                row = jacobian @ row
            assert_close(flat([array[sequence] for array in layer.dstate]), row)
        descend(layer)


@every_layer
def test_steps_back_are_single_steps_of_the_formulas(case, check_gradients):
    rng = np.random.default_rng(7)
    arrays = case.draw(rng)
    layer = case.make(arrays)
    for xs, _, states in run_windows(case, layer, arrays, rng):
        dstates = tuple(rng.standard_normal((len(xs), *states[0][0].shape)) for _ in range(case.states))
        before = {f"state{k}": np.stack([state[k] for state in states[:-1]]) for k in range(case.states)}

        def loss(xs, before=before, dstates=dstates, **given):
            first = [given.pop(name) for name in before]
            return sum((d * s).sum() for d, s in zip(dstates, case.one_step(given, xs, first), strict=True))

        dxs, earlier, grads = steps_back(layer, dstates)
        gradients = dict(zip(arrays, grads, strict=True)) | dict(zip(before, earlier, strict=True)) | {"xs": dxs}
        check_gradients(loss, arrays | before | {"xs": xs}, gradients)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.layers == 1])
def test_steps_back_are_step_back_of_one_step_at_a_time(name, assert_close):
    rng = np.random.default_rng(8)
    case = CASES[name]
    arrays = case.draw(rng)
    layer = case.make(arrays)
    for xs, dhs, _ in run_windows(case, layer, arrays, rng):
        dstates = tuple(rng.standard_normal(dhs.shape) for _ in range(case.states))
        dxs, earlier, grads = steps_back(layer, dstates)
        each = [
            layer.step_back(x, layer.state_before(t), tuple(array[t] for array in dstates)) for t, x in enumerate(xs)
        ]
        assert_close(dxs, [dx for dx, _, _ in each])
        for k, ours in enumerate(earlier):
            assert_close(ours, [before[k] for _, before, _ in each])
        total = [sum(parts) for parts in zip(*(parts for _, _, parts in each), strict=True)]
        for ours, theirs in zip(grads, total, strict=True):
            assert_close(ours, theirs)


@every_layer
def test_steps_back_give_learned_starts_what_reaches_them_from_the_first_step(case, assert_close):
    rng = np.random.default_rng(9)
    arrays = case.draw(rng, learned=True)
    layer = case.make(arrays)
    learned = [at for at, name in enumerate(arrays) if name[-2:] in ("h0", "c0")]
    for steps in (3, 2):
        layer.reset_state()
        for from_start in (True, False):
            layer.forward(rng.standard_normal((steps, N, D)))
            dstates = tuple(rng.standard_normal((steps, N, H)) for _ in range(case.states))
            _, earlier, grads = steps_back(layer, dstates)
            assert len(grads) == len(arrays)
            for at, state in zip(learned, earlier, strict=True):
                if from_start:
                    assert_close(grads[at], state[0].sum(axis=0))
                else:
                    assert not np.any(grads[at])
