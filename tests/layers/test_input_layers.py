import numpy as np
import pytest

from rnnexp.layers import RNN, TimeEmbedding, TimeOneHot, TimeRNN

V, D = 5, 3
WINDOWS = [(6, 4), (2, 4), (7, 2), (1, 1)]


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("reuse", [False, True])
def test_a_table_has_the_gradient_of_its_rows(reuse, batch_first, check_gradients):
    rng = np.random.default_rng(1)
    layer = TimeEmbedding(rng.standard_normal((V, D)), reuse=reuse, batch_first=batch_first)

    def update(steps, batch):
        lead = (batch, steps) if batch_first else (steps, batch)
        tokens, projection = rng.integers(V, size=lead), rng.standard_normal((*lead, D))

        def loss(W):
            return (projection * TimeEmbedding(W, batch_first=batch_first).forward(tokens)).sum()

        layer.forward(tokens)
        assert layer.backward(projection) is None
        check_gradients(loss, {"W": layer.params[0]}, {"W": layer.grads[0]})
        layer.params[0] -= 0.1 * layer.grads[0]

    for steps, batch in WINDOWS:
        update(steps, batch)


def test_each_token_is_its_row_and_each_row_collects_its_steps():
    W = np.arange(15.0).reshape(V, D)
    layer = TimeEmbedding(W)
    np.testing.assert_array_equal(layer.forward([[0, 3], [3, 1], [3, 0]]), W[[[0, 3], [3, 1], [3, 0]]])
    layer.backward(np.array([1.0, 10, 100, 1000, 10000, 100000]).reshape(3, 2, 1) * [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(layer.grads[0][:, 0], [100001.0, 1000.0, 0.0, 10110.0, 0.0])
    np.testing.assert_array_equal(layer.grads[0], layer.grads[0][:, :1] * [1.0, 2.0, 3.0])
    # The next window uses one row only: nothing of the last gradient may stay in the others.
    layer.forward([[2]])
    layer.backward(np.ones((1, 1, D)))
    np.testing.assert_array_equal(layer.grads[0], np.eye(V)[:, 2:3] * np.ones(D))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
@pytest.mark.parametrize("copies", [(), (3,), (2, 3)])
def test_tokens_of_any_integer_type_find_their_row_in_their_own_table(copies, dtype):
    rng = np.random.default_rng(2)
    W = rng.standard_normal((*copies, 120, D))  # three tables of 120 rows go beyond a byte
    tokens = rng.integers(120, size=(4, *copies, 2))
    layer = TimeEmbedding(W)
    xs = layer.forward(tokens.astype(dtype))
    dxs = rng.standard_normal(xs.shape)
    layer.backward(dxs)
    expected = np.zeros_like(W)
    for t, *copy, n in np.ndindex(tokens.shape):
        row = (*copy, tokens[(t, *copy, n)])
        np.testing.assert_array_equal(xs[(t, *copy, n)], W[row])
        expected[row] += dxs[(t, *copy, n)]
    np.testing.assert_allclose(layer.grads[0], expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("token", [V, -1])
@pytest.mark.parametrize("copies", [(), (2,)])
def test_a_token_outside_the_table_is_refused(copies, token):
    layer = TimeEmbedding(np.ones((*copies, V, D)))
    tokens = np.zeros((2, *copies, 2), int)
    tokens.flat[0] = token  # of the first table only: the second one's rows follow it in memory
    with pytest.raises(IndexError):
        layer.forward(tokens)


@pytest.mark.parametrize("batch_first", [False, True])
def test_one_hot_vectors_are_rows_of_the_unit_matrix(batch_first):
    layer = TimeOneHot(V, batch_first=batch_first)
    rng = np.random.default_rng(3)
    for lead in ((6, 4), (2, 4), (7, 2)):
        tokens = rng.integers(V, size=lead)
        xs = layer.forward(tokens)
        np.testing.assert_array_equal(xs, np.eye(V)[tokens])
        assert layer.backward(np.ones_like(xs)) is None
    assert layer.params == layer.grads == []


def test_one_hot_input_to_a_cell_is_a_table_made_of_the_cells_input_weights(assert_close):
    rng = np.random.default_rng(4)
    Wx, Wh, b = rng.standard_normal((V, D)), 0.5 * rng.standard_normal((D, D)), rng.standard_normal(D)
    layer, table = TimeRNN(Wx, Wh, b), TimeEmbedding(Wx)
    one_hot, through_table = TimeOneHot(V), TimeRNN(np.eye(D), Wh, b)
    for lead in ((5, 2), (3, 4)):
        tokens, dhs = rng.integers(V, size=lead), rng.standard_normal((*lead, D))
        assert_close(layer.forward(one_hot.forward(tokens)), through_table.forward(table.forward(tokens)))
        layer.backward(dhs)
        table.backward(through_table.backward(dhs))
        assert_close(layer.grads[0], table.grads[0])
        Wx -= 0.1 * layer.grads[0]


@pytest.mark.parametrize("make", [lambda: TimeEmbedding(np.arange(15.0).reshape(V, D)), lambda: TimeOneHot(V)])
def test_a_sliding_window_keeps_old_rows_and_adds_new_ones(make):
    rng = np.random.default_rng(5)
    tokens = rng.integers(V, size=(11, 2))
    whole, layer = make().forward(tokens), make()
    np.testing.assert_array_equal(layer.forward(tokens[:5]), whole[:5])
    for start in (2, 4, 6):
        layer.drop(2)
        np.testing.assert_array_equal(layer.forward(tokens[start : start + 5], first=3), whole[start : start + 5])


def test_backward_of_a_sliding_window_counts_all_its_steps(assert_close):
    rng = np.random.default_rng(6)
    W, tokens = rng.standard_normal((V, D)), rng.integers(V, size=(7, 3))
    sliding, fresh = TimeEmbedding(W, reuse=True), TimeEmbedding(W)
    sliding.forward(tokens[:5])
    for start in (1, 2):
        window, dxs = tokens[start : start + 5], rng.standard_normal((5, 3, D))
        sliding.drop(1)
        sliding.forward(window, first=4)
        sliding.backward(dxs)
        fresh.forward(window)
        fresh.backward(dxs)
        assert_close(sliding.grads[0], fresh.grads[0])


@pytest.mark.parametrize("make", [lambda: TimeEmbedding(np.arange(15.0).reshape(V, D)), lambda: TimeOneHot(V)])
def test_what_one_window_returned_is_left_alone_by_the_next(make):
    layer = make()
    xs = layer.forward([[0, 1], [2, 3]])
    before = xs.copy()
    layer.forward([[4, 4], [4, 4]])
    np.testing.assert_array_equal(xs, before)


def test_a_table_in_front_of_one_step_is_its_row(assert_close):
    rng = np.random.default_rng(7)
    W, weights = rng.standard_normal((V, D)), [rng.standard_normal(shape) for shape in ((D, 2), (2, 2), (2,))]
    tokens = rng.integers(V, size=(1, 6))
    windows = TimeRNN(*weights).forward(TimeEmbedding(W).forward(tokens))
    assert_close(windows[0], RNN(*weights).forward(W[tokens[0]], np.zeros((6, 2))))


@pytest.mark.parametrize("skew", [0.0, 1.0, 3.0])
@pytest.mark.parametrize(("size", "features", "steps"), [(65, 7, 30), (400, 100, 35), (3000, 40, 60), (70, 300, 12)])
def test_a_large_table_collects_its_steps_however_often_each_row_is_used(size, features, steps, skew):
    rng = np.random.default_rng(5)
    odds = np.arange(1.0, size + 1) ** -skew
    W = rng.standard_normal((2, size, features))
    layer, alone = TimeEmbedding(W), TimeEmbedding(W[1].copy())
    for length in (steps, 2, steps):
        tokens = rng.choice(size, (length, 2, 20), p=odds / odds.sum())
        dxs = rng.standard_normal((*tokens.shape, features))
        layer.forward(tokens)
        layer.backward(dxs)
        expected = np.zeros_like(W)
        for copy in range(2):
            np.add.at(expected[copy], tokens[:, copy], dxs[:, copy])
        np.testing.assert_allclose(layer.grads[0], expected, rtol=0, atol=1e-11)
        alone.forward(tokens[:, 1])
        alone.backward(dxs[:, 1])
        np.testing.assert_array_equal(layer.grads[0][1], alone.grads[0])


def test_a_large_table_of_which_one_row_is_used():
    layer = TimeEmbedding(np.zeros((100, 20_000)))
    layer.forward(np.full((9, 3), 42))
    layer.backward(np.ones((9, 3, 20_000)))
    assert (layer.grads[0][42] == 27.0).all()
    assert np.count_nonzero(layer.grads[0]) == 20_000
