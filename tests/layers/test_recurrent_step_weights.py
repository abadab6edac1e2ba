import numpy as np
from pairwise import pairwise
from recurrent_cases import CASES, DTYPES, D, H, descend, every_layer, steps_back

STEPS, BATCH = 4, 2
SCALED, SOME_CUT = np.array([0.5, -2.0, 0.1, 1.3]), np.array([0.0, 1.0, 0.0, 0.5])


def draw_window(case, rng, steps=STEPS):
    xs, dhs = rng.standard_normal((steps, BATCH, D)), rng.standard_normal((steps, BATCH, H))
    return xs, dhs, case.start(rng, BATCH)


def forward(layer, xs, start):
    layer.set_state(*start)
    return layer.forward(xs)


def close_or_zero(actual, expected, assert_close):
    if np.any(expected):
        assert_close(actual, expected)
    else:
        assert not np.any(actual)


@every_layer
def test_step_weights_scales_what_a_step_hands_back_as_a_derivative_scaled_on_its_way(case, complex_step, assert_close):
    rng = np.random.default_rng(1)
    arrays = case.draw(rng)
    layer = case.make(arrays)
    for step_weights in (SCALED, SOME_CUT):
        xs, dhs, start = draw_window(case, rng)
        given = arrays | {f"state{k}": state for k, state in enumerate(start)} | {"xs": xs}

        def slope(name, given=given, dhs=dhs, step_weights=step_weights):
            def loss(point):
                values = given | {name: point}
                first = [values.pop(key) for key in list(values) if key.startswith("state")]
                return (dhs * case.outputs(case.run(values, values.pop("xs"), first, step_weights=step_weights))).sum()

            return complex_step(loss, given[name])

        forward(layer, xs, start)
        dxs = layer.backward(dhs, step_weights=step_weights)
        for name, gradient in zip(given, [*layer.grads, *layer.dstate, dxs], strict=True):
            close_or_zero(gradient, slope(name), assert_close)
        descend(layer)


def back_step_by_step(layer, dhs, step_weights):
    """The whole backward pass from `steps_back` of one step at a time."""
    after = layer.after_each_step(dhs)
    dstate, grads, dxs = [0.0 for _ in after], [0.0 for _ in layer.params], []
    for t in range(len(dhs) - 1, -1, -1):
        only = tuple(np.zeros_like(dhs) for _ in after)
        for array, own, later in zip(only, after, dstate, strict=True):
            array[t] = own[t] + later
        step_dxs, earlier, parts = steps_back(layer, only)
        dstate = [step_weights[t] * array[t] for array in earlier]
        dxs.insert(0, step_dxs[t])
        grads = [total + grad for total, grad in zip(grads, parts, strict=True)]
    return np.stack(dxs), dstate, grads


@every_layer
def test_step_weights_is_a_factor_between_single_steps_back(case, assert_close):
    rng = np.random.default_rng(2)
    layer = case.make(case.draw(rng))
    for step_weights in (SCALED, SOME_CUT):
        xs, dhs, start = draw_window(case, rng)
        forward(layer, xs, start)
        dxs, dstate, grads = back_step_by_step(layer, dhs, step_weights)
        assert_close(layer.backward(dhs, step_weights=list(step_weights)), dxs)
        for ours, theirs in zip((*layer.dstate, *layer.grads), (*dstate, *grads), strict=True):
            close_or_zero(ours, theirs, assert_close)
        descend(layer)


@pairwise(case=CASES, cut=[1, 2, 3])
def test_nothing_passes_a_step_whose_carry_is_zero(case, cut, assert_close):
    rng = np.random.default_rng(3)
    arrays = case.draw(rng)
    layer, late = case.make(arrays), case.make(arrays)
    step_weights = np.ones(STEPS)
    step_weights[cut] = 0.0
    for _ in range(2):
        xs, dhs, start = draw_window(case, rng)
        dhs[:cut] = 0.0
        forward(layer, xs, start)
        dxs = layer.backward(dhs, norms=True, step_weights=step_weights)
        assert not np.any(dxs[:cut])
        assert not any(np.any(state) for state in layer.dstate)
        assert not any(np.any(norms[: cut + 1]) for norms in layer.norms.values())
        forward(late, xs[cut:], layer.state_before(cut))
        assert_close(dxs[cut:], late.backward(dhs[cut:], norms=True))
        for name, norms in layer.norms.items():
            assert_close(norms[cut + 1 :], late.norms[name][1:])
        for ours, theirs in zip(layer.grads, late.grads, strict=True):
            assert_close(ours, theirs)
        descend(layer)


@every_layer
def test_a_carry_of_zeros_leaves_every_step_to_itself(case, assert_close):
    rng = np.random.default_rng(4)
    layer = case.make(case.draw(rng))
    for steps in (STEPS, 1):
        xs, dhs, start = draw_window(case, rng, steps)
        forward(layer, xs, start)
        dxs, _, grads = steps_back(layer, layer.after_each_step(dhs))
        assert_close(layer.backward(dhs, step_weights=[0.0] * steps), dxs)
        for ours, theirs in zip(layer.grads, grads, strict=True):
            assert_close(ours, theirs)
        assert not any(np.any(state) for state in layer.dstate)
        descend(layer)


@pairwise(case=CASES, dtype=DTYPES, ones={"list": lambda steps: [1.0] * steps, "array": np.ones})
def test_a_carry_of_ones_is_no_carry_bit_for_bit(case, ones, dtype, same_bits):
    rng = np.random.default_rng(5)
    arrays = case.draw(rng, dtype=dtype)
    layer, plain = case.make(arrays), case.make(arrays)
    for steps in (STEPS, 3):
        xs, dhs = (array.astype(dtype) for array in draw_window(case, rng, steps)[:2])
        start = case.start(rng, BATCH, dtype=dtype)
        same_bits(forward(layer, xs, start), forward(plain, xs, start))
        same_bits(layer.backward(dhs, norms=True, step_weights=ones(steps)), plain.backward(dhs, norms=True))
        for ours, theirs in zip((*layer.grads, *layer.dstate), (*plain.grads, *plain.dstate), strict=True):
            same_bits(ours, theirs)
        for name, norms in layer.norms.items():
            same_bits(norms, plain.norms[name])
        descend(layer)


@every_layer
def test_a_factor_of_the_first_step_scales_only_the_gradient_of_the_first_state(case, assert_close, same_bits):
    rng = np.random.default_rng(6)
    arrays = case.draw(rng, learned=True)
    layer, plain = case.make(arrays, stateful=False), case.make(arrays, stateful=False)
    learned = [name[-2:] in ("h0", "c0") for name in arrays]
    for steps in (STEPS, 1):
        xs, dhs, _ = draw_window(case, rng, steps)
        layer.forward(xs)
        plain.forward(xs)
        dxs = layer.backward(dhs, norms=True, step_weights=[0.25] + [1.0] * (steps - 1))
        same_bits(dxs, plain.backward(dhs, norms=True))
        for ours, theirs, is_start in zip(layer.grads, plain.grads, learned, strict=True):
            same_bits(ours, 0.25 * theirs if is_start else theirs)
        for ours, theirs in zip(layer.dstate, plain.dstate, strict=True):
            same_bits(ours, 0.25 * theirs)
        for name, norms in layer.norms.items():
            assert_close(norms[0], 0.25 * plain.norms[name][0])
            same_bits(norms[1:], plain.norms[name][1:])
        descend(layer)
