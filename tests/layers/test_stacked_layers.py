import numpy as np
from pairwise import pairwise

from rnnexp.layers import (
    ACTIVATIONS,
    CRITERIA,
    MeanSquaredError,
    SoftmaxCrossEntropy,
    TimeEmbedding,
    TimeLinear,
    TimeRNN,
    build_network,
)

# (steps, batch, features in, features out)
SHAPES = [
    (7, 3, 2, 5),
    (1, 3, 5, 4),
    (20, 1, 5, 10),
    (1, 1, 3, 4),
    (9, 20, 5, 50),
    (20, 2, 1, 27),
    (20, 3, 6, 1),
    (20, 1, 1, 10),
]
COPIES = [(1,), (3,), (2, 3)]

DTYPES = {"float32": np.float32, "float64": np.float64}


def draw(rng, shape, dtype, scale=1.0):
    return (scale * rng.standard_normal(shape)).astype(dtype)


def windows(steps):
    return [steps, max(1, steps // 2), steps + 1]


def pick(sequence, copy):
    return sequence[(slice(None), *copy)].copy()


def descend(*layers):
    for layer in layers:
        for param, grad in zip(layer.params, layer.grads, strict=True):
            param -= np.asarray(0.01, param.dtype) * grad


@pairwise(shape=SHAPES, copies=COPIES, dtype=DTYPES)
def test_stacked_recurrent_layers_are_single_ones_bit_for_bit(copies, dtype, shape, same_bits):
    steps, batch, D, H = shape
    rng = np.random.default_rng(1)
    weights = [draw(rng, (*copies, *tail), dtype, 0.4) for tail in ((D, H), (H, H), (H,))]
    stack = TimeRNN(*weights, stateful=True)
    alone = {copy: TimeRNN(*(array[copy].copy() for array in weights), stateful=True) for copy in np.ndindex(copies)}
    h0 = draw(rng, (*copies, batch, H), dtype)
    stack.set_state(h0)
    for copy, layer in alone.items():
        layer.set_state(h0[copy])
    for length in windows(steps):
        xs, dhs = (draw(rng, (length, *copies, batch, size), dtype) for size in (D, H))
        hs = stack.forward(xs)
        dxs = stack.backward(dhs, norms=True)
        for copy, layer in alone.items():
            same_bits(pick(hs, copy), layer.forward(pick(xs, copy)))
            same_bits(pick(dxs, copy), layer.backward(pick(dhs, copy), norms=True))
            same_bits(stack.h[copy], layer.h)
            same_bits(stack.dh[copy], layer.dh)
            same_bits(pick(stack.dh_norms, copy), layer.dh_norms)
            for ours, theirs in zip(stack.grads, layer.grads, strict=True):
                same_bits(ours[copy], theirs)
        descend(stack, *alone.values())


@pairwise(shape=SHAPES, copies=COPIES, dtype=DTYPES, bias={"no bias": False, "bias": True})
def test_stacked_linear_maps_are_single_ones_bit_for_bit(bias, copies, dtype, shape, same_bits):
    steps, batch, D, K = shape
    rng = np.random.default_rng(2)
    arrays = [draw(rng, (*copies, *tail), dtype) for tail in ((D, K), (K,))[: 1 + bias]]
    stack = TimeLinear(*arrays)
    alone = {copy: TimeLinear(*(array[copy].copy() for array in arrays)) for copy in np.ndindex(copies)}
    for length in windows(steps):
        xs, dys = (draw(rng, (length, *copies, batch, size), dtype) for size in (D, K))
        ys = stack.forward(xs)
        dxs = stack.backward(dys)
        for copy, layer in alone.items():
            same_bits(pick(ys, copy), layer.forward(pick(xs, copy)))
            same_bits(pick(dxs, copy), layer.backward(pick(dys, copy)))
            for ours, theirs in zip(stack.grads, layer.grads, strict=True):
                same_bits(ours[copy], theirs)
        descend(stack, *alone.values())


@pairwise(shape=SHAPES, copies=COPIES, dtype=DTYPES)
def test_stacked_tables_are_single_ones_bit_for_bit(copies, dtype, shape, same_bits):
    steps, batch, V, D = shape
    rng = np.random.default_rng(3)
    W = draw(rng, (*copies, V, D), dtype)
    stack = TimeEmbedding(W)
    alone = {copy: TimeEmbedding(W[copy].copy()) for copy in np.ndindex(copies)}
    for length in windows(steps):
        tokens = rng.integers(V, size=(length, *copies, batch))
        dxs = draw(rng, (*tokens.shape, D), dtype)
        xs = stack.forward(tokens)
        stack.backward(dxs)
        for copy, layer in alone.items():
            same_bits(pick(xs, copy), layer.forward(pick(tokens, copy)))
            layer.backward(pick(dxs, copy))
            same_bits(stack.grads[0][copy], layer.grads[0])
        descend(stack, *alone.values())


@pairwise(shape=SHAPES, copies=COPIES, dtype=DTYPES, make=CRITERIA)
def test_stacked_losses_and_their_gradients_are_single_ones_bit_for_bit(make, copies, dtype, shape):
    steps, batch, _, K = shape
    rng = np.random.default_rng(4)
    stack, alone = make(), {copy: make() for copy in np.ndindex(copies)}
    for length in windows(steps):
        outputs = draw(rng, (length, *copies, batch, K), dtype)
        if make is SoftmaxCrossEntropy:
            targets = rng.integers(K, size=outputs.shape[:-1])
        else:
            targets = draw(rng, outputs.shape, dtype)
        mask = rng.random(outputs.shape[:-1]) < 0.6
        mask[0, ..., 0] = True
        for scored in (None, mask):
            losses = stack.forward(outputs, targets, scored)
            slopes = stack.backward()
            for copy, loss in alone.items():
                own = None if scored is None else pick(scored, copy)
                value = loss.forward(pick(outputs, copy), pick(targets, copy), own)
                assert float(abs(losses[copy] - value)) == 0.0
                slope = loss.backward()
                assert pick(slopes, copy).tobytes() == slope.tobytes()
                assert slopes.dtype == slope.dtype == dtype


KINDS = {
    "table": {"input_kind": "tokens", "embedding_dim": 5},
    "one-hot": {"input_kind": "tokens"},
    "linear map": {"input_kind": "values", "embedding_dim": 5},
    "raw values": {"input_kind": "values"},
}


def check_training(shape, dtype, kind, activation, check):
    steps, batch, hidden_size, output_size = shape
    rng = np.random.default_rng(5)
    seeds, V = (4, 2, 9), 6
    make = SoftmaxCrossEntropy if output_size > 1 else MeanSquaredError

    def build(generators):
        return build_network(
            hidden_size=hidden_size,
            output_size=output_size,
            input_size=V,
            rng=generators,
            dtype=dtype,
            cell_options={"activation": activation},
            **KINDS[kind],
        )

    stack = build([np.random.default_rng(seed) for seed in seeds])
    alone = [build(np.random.default_rng(seed)) for seed in seeds]
    for length in windows(steps):
        lead = (length, len(seeds), batch)
        inputs = rng.integers(V, size=lead) if kind in ("table", "one-hot") else draw(rng, (*lead, V), dtype)
        targets = rng.integers(output_size, size=lead) if output_size > 1 else draw(rng, (*lead, output_size), dtype)
        outputs, loss = stack.forward(inputs).copy(), make()
        loss.forward(outputs, targets)
        gradient = stack.backward(loss.backward(), norms=True)
        for copy, network in enumerate(alone):
            own, loss = network.forward(pick(inputs, (copy,))), make()
            check(pick(outputs, (copy,)), own)
            loss.forward(own, pick(targets, (copy,)))
            check(gradient[copy], network.backward(loss.backward(), norms=True))
            check(stack.recurrent.h[copy], network.recurrent.h)
            check(pick(stack.recurrent.dh_norms, (copy,)), network.recurrent.dh_norms)
        for network in (stack, *alone):
            network.parameters.vector -= np.asarray(0.05, dtype) * network.parameters.gradient


@pairwise(
    shape=[(20, 20, 10, 4), (1, 1, 10, 4), (20, 1, 16, 27), (20, 3, 1, 4), (20, 4, 10, 1)],
    kind=list(KINDS),
    dtype=DTYPES,
)
def test_a_stacked_network_trains_like_single_ones_bit_for_bit(shape, dtype, kind, same_bits):
    check_training(shape, dtype, kind, "tanh", same_bits)


@pairwise(activation=list(ACTIVATIONS), dtype=DTYPES)
def test_stacked_networks_of_every_activation_are_single_ones_bit_for_bit(activation, dtype, same_bits):
    check_training((12, 5, 10, 4), dtype, "table", activation, same_bits)
