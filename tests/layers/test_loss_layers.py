import numpy as np
import pytest

from rnnexp.layers import CRITERIA, MeanSquaredError, SoftmaxCrossEntropy

K = 4
WINDOWS = [(5, 3), (2, 3), (6, 2), (1, 1)]
MASKS = ["none", "some", "last", "one sequence", "broadcast"]


def draw_mask(kind, rng, steps, batch):
    mask = np.zeros((steps, batch), bool)
    if kind == "none":
        return None
    if kind == "some":
        mask[...] = rng.random((steps, batch)) < 0.5
        mask[0, 0] = True
    elif kind == "last":
        mask[-1] = True
    elif kind == "one sequence":
        mask[:, 0] = True
    else:
        return np.arange(steps)[:, np.newaxis] % 2 == 0
    return mask


def scored_steps(mask, steps, batch):
    return np.ones((steps, batch), bool) if mask is None else np.broadcast_to(mask, (steps, batch))


@pytest.mark.parametrize("kind", MASKS)
def test_cross_entropy_and_its_gradient_are_those_of_minus_log_softmax(kind, check_gradients):
    rng = np.random.default_rng(1)
    loss = SoftmaxCrossEntropy()

    def update(steps, batch):
        outputs = 3 * rng.standard_normal((steps, batch, K))
        targets, mask = rng.integers(K, size=(steps, batch)), draw_mask(kind, rng, steps, batch)
        scored = scored_steps(mask, steps, batch)

        def direct(outputs):
            chosen, classes = outputs[scored], targets[scored]
            odds = np.exp(chosen)
            return -np.log(odds[np.arange(len(classes)), classes] / odds.sum(axis=-1)).mean()

        np.testing.assert_allclose(loss.forward(outputs, targets, mask), direct(outputs), rtol=1e-13)
        slope = loss.backward().copy()
        check_gradients(direct, {"outputs": outputs}, {"outputs": slope})
        assert not slope[~scored].any()
        through = SoftmaxCrossEntropy()
        check_gradients(
            lambda outputs: through.forward(outputs, targets, mask), {"outputs": outputs}, {"outputs": slope}
        )

    for steps, batch in WINDOWS:
        update(steps, batch)


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("values", [1, 3])
def test_squared_error_and_its_gradient_are_those_of_the_mean_square(values, kind, check_gradients):
    rng = np.random.default_rng(2)
    loss = MeanSquaredError()

    def update(steps, batch):
        outputs, targets = rng.standard_normal((2, steps, batch, values))
        given = outputs.copy()
        mask = draw_mask(kind, rng, steps, batch)
        scored = scored_steps(mask, steps, batch)

        def direct(outputs):
            return ((outputs - targets)[scored] ** 2).mean()

        np.testing.assert_allclose(loss.forward(outputs, targets, mask), direct(outputs), rtol=1e-13)
        slope = loss.backward().copy()
        check_gradients(direct, {"outputs": outputs}, {"outputs": slope})
        assert not slope[~scored].any()
        np.testing.assert_array_equal(outputs, given)
        through = MeanSquaredError()
        check_gradients(
            lambda outputs: through.forward(outputs, targets, mask), {"outputs": outputs}, {"outputs": slope}
        )

    for steps, batch in WINDOWS:
        update(steps, batch)


def test_squared_error_by_hand():
    loss = MeanSquaredError()
    outputs, targets = [[[1.0, 2.0]], [[3.0, 4.0]]], [[[0.0, 2.0]], [[1.0, 1.0]]]
    assert loss.forward(outputs, targets) == (1 + 0 + 4 + 9) / 4
    np.testing.assert_array_equal(loss.backward(), [[[0.5, 0.0]], [[1.0, 1.5]]])
    assert loss.forward(outputs, targets, [[False], [True]]) == (4 + 9) / 2
    np.testing.assert_array_equal(loss.backward(), [[[0.0, 0.0]], [[2.0, 3.0]]])


@pytest.mark.parametrize("classes", [1, 2, 4, 27])
def test_equal_logits_cost_the_log_of_the_number_of_classes(classes):
    loss = SoftmaxCrossEntropy()
    for level in (0.0, -7.0, 1e4):
        outputs, targets = np.full((3, 2, classes), level), np.random.default_rng(3).integers(classes, size=(3, 2))
        np.testing.assert_allclose(loss.forward(outputs, targets), np.log(classes), rtol=1e-14)
        np.testing.assert_allclose(loss.backward(), (1 / classes - np.eye(classes)[targets]) / 6, atol=1e-16)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_logits_are_exact_and_raise_no_warning(dtype):
    loss = SoftmaxCrossEntropy()
    outputs = np.array([[[1e4, 0.0, -1e4]]], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for target, expected in enumerate((0.0, 1e4, 2e4)):
            assert loss.forward(outputs, [[target]]) == expected
            np.testing.assert_array_equal(loss.backward()[0, 0], np.array([1.0, 0.0, 0.0]) - np.eye(3)[target])


def test_a_shift_of_all_logits_changes_nothing(assert_close):
    rng = np.random.default_rng(4)
    outputs, targets = rng.standard_normal((4, 3, K)), rng.integers(K, size=(4, 3))
    plain, shifted = SoftmaxCrossEntropy(), SoftmaxCrossEntropy()
    assert_close(shifted.forward(outputs + 100.0, targets), plain.forward(outputs, targets))
    assert_close(shifted.backward(), plain.backward(), 1e-11)


def test_the_given_logits_are_left_alone():
    rng = np.random.default_rng(5)
    outputs = rng.standard_normal((4, 3, K))
    given, loss = outputs.copy(), SoftmaxCrossEntropy()
    loss.forward(outputs, rng.integers(K, size=(4, 3)))
    loss.backward()
    np.testing.assert_array_equal(outputs, given)


@pytest.mark.parametrize("classes", [K, 700])
@pytest.mark.parametrize("kind", MASKS)
def test_computing_in_the_logits_themselves_changes_no_bit(kind, classes, same_bits):
    rng = np.random.default_rng(10)
    plain, inside = SoftmaxCrossEntropy(), SoftmaxCrossEntropy()
    for steps, batch in WINDOWS:
        outputs = rng.standard_normal((steps, batch, classes)).astype(np.float32)
        targets, mask = rng.integers(classes, size=(steps, batch)), draw_mask(kind, rng, steps, batch)
        expected, slope = plain.forward(outputs, targets, mask), plain.backward()
        same_bits(inside.forward(outputs, targets, mask, overwrite=True), expected)
        assert np.shares_memory(inside.backward(), outputs)
        same_bits(outputs, slope)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int8, np.uint32])
def test_classes_of_any_integers_give_the_same_bits(dtype, same_bits):
    rng = np.random.default_rng(11)
    outputs, targets = rng.standard_normal((4, 3, 300)), rng.integers(120, size=(4, 3))  # 11 * 300 is beyond 16 bits
    for mask in (None, rng.random((4, 3)) < 0.5):
        wide, narrow = SoftmaxCrossEntropy(), SoftmaxCrossEntropy()
        same_bits(narrow.forward(outputs, targets.astype(dtype), mask), wide.forward(outputs, targets, mask))
        same_bits(narrow.backward(), wide.backward())


@pytest.mark.parametrize("filler", [0, K - 1, -1, 99])
def test_classes_of_unscored_steps_have_no_meaning(filler, same_bits):
    rng = np.random.default_rng(6)
    outputs, targets = rng.standard_normal((4, 3, K)), rng.integers(K, size=(4, 3))
    mask = rng.random((4, 3)) < 0.5
    plain, filled = SoftmaxCrossEntropy(), SoftmaxCrossEntropy()
    same_bits(filled.forward(outputs, np.where(mask, targets, filler), mask), plain.forward(outputs, targets, mask))
    np.testing.assert_array_equal(filled.backward(), plain.backward())


@pytest.mark.parametrize("filler", [0.0, 1e6, np.nan])
def test_values_of_unscored_steps_have_no_meaning(filler, same_bits):
    rng = np.random.default_rng(7)
    outputs, targets = rng.standard_normal((2, 4, 3, 2))
    mask = rng.random((4, 3)) < 0.5
    plain, filled = MeanSquaredError(), MeanSquaredError()
    unscored = np.where(mask[..., np.newaxis], targets, filler)
    same_bits(filled.forward(outputs, unscored, mask), plain.forward(outputs, targets, mask))
    np.testing.assert_array_equal(filled.backward(), plain.backward())


@pytest.mark.parametrize("copies", [(), (2,)])
def test_a_window_without_scored_steps_costs_nothing_and_pulls_nowhere(copies):
    rng = np.random.default_rng(8)
    outputs = rng.standard_normal((3, *copies, 2, K))
    mask = np.zeros((3, *copies, 2), bool)
    for make, targets in (
        (SoftmaxCrossEntropy, rng.integers(K, size=mask.shape)),
        (MeanSquaredError, rng.standard_normal(outputs.shape)),
    ):
        loss = make()
        assert np.all(loss.forward(outputs, targets) > 0)
        loss.backward()
        np.testing.assert_array_equal(loss.forward(outputs, targets, mask), np.zeros(copies))
        np.testing.assert_array_equal(loss.backward(), np.zeros_like(outputs))


def test_each_stacked_network_is_averaged_over_its_own_scored_steps(assert_close):
    rng = np.random.default_rng(9)
    outputs, targets = rng.standard_normal((5, 3, 2, K)), rng.integers(K, size=(5, 3, 2))
    mask = np.zeros((5, 3, 2), bool)
    mask[:1, 0], mask[:, 1] = True, True  # two steps, ten steps, none
    loss = SoftmaxCrossEntropy()
    losses = loss.forward(outputs, targets, mask)
    log_p = np.log(np.exp(outputs) / np.exp(outputs).sum(axis=-1, keepdims=True))
    cost = -np.take_along_axis(log_p, targets[..., np.newaxis], axis=-1)[..., 0]
    assert_close(losses, [cost[:1, 0].mean(), cost[:, 1].mean(), 0.0])
    expected = (np.exp(log_p) - np.eye(K)[targets]) * mask[..., np.newaxis] / np.array([2, 10, 1])[:, None, None]
    assert_close(loss.backward(), expected)


def test_each_kind_of_target_has_its_loss():
    assert CRITERIA["classes"] is SoftmaxCrossEntropy
    assert CRITERIA["values"] is MeanSquaredError
