import numpy as np
from pairwise import pairwise
from recurrent_cases import CASES, D, H, both_dtypes, descend, every_layer, steps_back

N = 2


def all_close(actual, expected, assert_close):
    for ours, theirs in zip(actual, expected, strict=True):
        assert_close(ours, theirs)


def same_window(layer, fresh, rng, steps, assert_close, first=0):
    """Both have run the same window: everything that can be asked of it agrees."""
    dhs, step_weights = rng.standard_normal((steps, N, H)), rng.uniform(0.5, 1.5, steps)
    dhs[:first] = 0.0
    for factors in (None, step_weights):
        dxs = [one.backward(dhs, norms=True, step_weights=factors) for one in (layer, fresh)]
        assert_close(*dxs)
        all_close((*layer.dstate, *layer.grads), (*fresh.dstate, *fresh.grads), assert_close)
        all_close(layer.norms.values(), fresh.norms.values(), assert_close)
    all_close(layer.state, fresh.state, assert_close)
    assert_close(layer.states, fresh.states)
    for t in range(steps + 1):
        all_close(layer.state_before(t), fresh.state_before(t), assert_close)
    assert_close(layer.jacobians(1), fresh.jacobians(1))
    np.testing.assert_allclose(layer.slopes(), fresh.slopes(), rtol=1e-12, atol=1e-14)
    assert layer.gates().keys() == fresh.gates().keys()
    all_close(layer.gates().values(), fresh.gates().values(), assert_close)
    after = layer.after_each_step(dhs)
    ours, theirs = steps_back(layer, after), steps_back(fresh, after)
    all_close((ours[0], *ours[1], *ours[2]), (theirs[0], *theirs[1], *theirs[2]), assert_close)


@pairwise(case=CASES, sizes=[(1, 4), (3, 5), (4, 4)], reuse=[False, True])
def test_a_sliding_window_is_a_fresh_one_from_the_same_state(case, sizes, reuse, assert_close):
    new, kept = sizes
    rng = np.random.default_rng(1)
    arrays = case.draw(rng)
    layer, long, fresh = case.make(arrays, reuse=reuse), case.make(arrays), case.make(arrays)
    xs = rng.standard_normal((kept + 3 * new, N, D))
    hs = long.forward(xs)
    assert_close(layer.forward(xs[:kept]), hs[:kept])
    for start in range(new, len(xs) - kept + 1, new):
        window = xs[start : start + kept]
        layer.drop(new)
        assert_close(layer.forward(window, first=kept - new), hs[start : start + kept])
        fresh.set_state(*long.state_before(start))
        fresh.forward(window)
        same_window(layer, fresh, rng, kept, assert_close, first=kept - new)


@every_layer
def test_a_batch_first_window_slides_too(case, assert_close):
    rng = np.random.default_rng(2)
    arrays = case.draw(rng)
    layer, straight = case.make(arrays, batch_first=True), case.make(arrays)
    xs = rng.standard_normal((N, 10, D))
    layer.forward(xs[:, :4])
    straight.forward(xs[:, :4].swapaxes(0, 1))
    for start in (2, 4, 6):
        for one in (layer, straight):
            one.drop(2)
        window = xs[:, start : start + 4]
        hs = layer.forward(window, first=2)
        assert_close(hs, straight.forward(window.swapaxes(0, 1), first=2).swapaxes(0, 1))
        dhs = rng.standard_normal((N, 4, H))
        assert_close(layer.backward(dhs), straight.backward(dhs.swapaxes(0, 1)).swapaxes(0, 1))
        all_close(layer.grads, straight.grads, assert_close)


@every_layer
def test_a_window_can_grow_step_by_step_before_it_slides(case, assert_close):
    rng = np.random.default_rng(3)
    arrays = case.draw(rng)
    layer, long, fresh = case.make(arrays), case.make(arrays), case.make(arrays)
    xs = rng.standard_normal((12, N, D))
    start = case.start(rng, N)
    layer.set_state(*start)
    long.set_state(*start)
    hs = long.forward(xs)

    def check(begin, stop, first):
        assert_close(layer.forward(xs[begin:stop], first=first), hs[begin:stop])
        fresh.set_state(*long.state_before(begin))
        fresh.forward(xs[begin:stop])
        same_window(layer, fresh, rng, stop - begin, assert_close)

    for stop in range(1, 6):
        check(0, stop, stop - 1)
    layer.drop(2)
    check(2, 9, 3)  # drops two, adds four: longer than ever before
    layer.drop(4)
    check(6, 10, 3)
    layer.drop(0)
    check(6, 11, 4)


@every_layer
def test_a_sliding_window_keeps_old_states_and_computes_new_ones_with_new_weights(case, assert_close):
    rng = np.random.default_rng(4)
    arrays = case.draw(rng)
    layer = case.make(arrays)
    xs = rng.standard_normal((9, N, D))
    old = layer.forward(xs[:5])
    for start in (2, 4):
        layer.backward(rng.standard_normal((5, N, H)))
        state = layer.state
        descend(layer)
        layer.drop(2)
        hs = layer.forward(xs[start : start + 5], first=3)
        np.testing.assert_array_equal(hs[:3], old[2:])
        assert_close(hs[3:], case.outputs(case.run(arrays, xs[start + 3 : start + 5], state)))
        old = hs


@every_layer
def test_a_fresh_window_after_a_sliding_one_starts_from_the_carried_state(case, assert_close):
    rng = np.random.default_rng(5)
    arrays = case.draw(rng, learned=True)
    layer, long = case.make(arrays), case.make(arrays)
    xs = rng.standard_normal((10, N, D))
    for _ in range(2):
        hs = long.forward(xs)
        layer.forward(xs[:4])
        layer.drop(2)
        layer.forward(xs[2:6], first=2)
        assert_close(layer.forward(xs[6:]), hs[6:])
        all_close(layer.state, long.state, assert_close)


@every_layer
@both_dtypes
def test_the_same_input_gives_the_same_bits(case, dtype, same_bits):
    rng = np.random.default_rng(6)
    arrays = case.draw(rng, learned=True, dtype=dtype)
    used, fresh = case.make(arrays), case.make(arrays)
    used.backward(np.ones_like(used.forward(rng.standard_normal((9, 4, D)).astype(dtype))), norms=True)
    used.drop(3)
    for steps in (5, 3):
        xs, dhs = rng.standard_normal((steps, 4, D)).astype(dtype), rng.standard_normal((steps, 4, H)).astype(dtype)
        used.reset_state()
        fresh.reset_state()
        same_bits(used.forward(xs), fresh.forward(xs))
        same_bits(used.backward(dhs, norms=True), fresh.backward(dhs, norms=True))
        for ours, theirs in zip((*used.grads, *used.dstate), (*fresh.grads, *fresh.dstate), strict=True):
            same_bits(ours, theirs)
        for name in used.norms:
            same_bits(used.norms[name], fresh.norms[name])
        descend(fresh)


@every_layer
def test_what_one_window_returned_is_left_alone_by_the_next(case):
    rng = np.random.default_rng(7)
    layer = case.make(case.draw(rng))

    def window():
        hs = layer.forward(rng.standard_normal((4, N, D)))
        dxs = layer.backward(rng.standard_normal((4, N, H)), norms=True)
        return [hs, dxs, *layer.state, *layer.dstate, *layer.norms.values()]

    first = window()
    kept = [array.copy() for array in first]
    for array, before, after in zip(first, kept, window(), strict=True):
        np.testing.assert_array_equal(array, before)
        assert np.abs(after - before).max() > 0
