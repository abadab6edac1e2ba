import numpy as np
from pairwise import pairwise
from recurrent_cases import CASES, DTYPES, descend, steps_back

from rnnexp.layers import CRITERIA, TimeGRU, TimeLeaky, TimeLSTM, TimeRNN, build_network

# (steps, batch, features, hidden)
SHAPES = [(7, 3, 2, 5), (1, 3, 5, 4), (12, 1, 5, 10), (1, 1, 3, 4), (6, 1, 3, 16), (5, 20, 4, 10), (4, 2, 16, 16)]
SHAPES += [(3, 20, 5, 50), (8, 4, 2, 2)]
GATED = {name: CASES[name] for name in ("gru", "lstm", "two rnn", "two gru", "two lstm")}

COPIES = [(3,), (2, 2)]


def pick(sequence, copy):
    return sequence[(slice(None), *copy)].copy()


def draw(rng, shape, dtype):
    return rng.standard_normal(shape).astype(dtype)


def alone_from(case, arrays, copies, **options):
    return {
        copy: case.make({name: array[copy].copy() for name, array in arrays.items()}, **options)
        for copy in np.ndindex(copies)
    }


def same_or_both_zero(actual, expected, same_bits):
    if np.any(expected):
        same_bits(actual, expected)
    else:
        assert actual.tobytes() == np.zeros_like(expected).tobytes()


def same_gradients(stack, layer, copy, same_bits):
    for ours, theirs in zip((*stack.grads, *stack.dstate), (*layer.grads, *layer.dstate), strict=True):
        same_or_both_zero(ours[copy], theirs, same_bits)
    for name, norms in layer.norms.items():
        same_bits(pick(stack.norms[name], copy), norms)


@pairwise(shape=SHAPES, case=GATED, copies=COPIES, dtype=DTYPES)
def test_copies_of_a_layer_are_single_ones_bit_for_bit(case, copies, dtype, shape, same_bits):
    steps, batch, features, hidden = shape
    rng = np.random.default_rng(1)
    scale = 1.5 / np.sqrt(hidden)
    arrays = case.draw(rng, copies=copies, dtype=dtype, sizes=(features, hidden), scale=scale, learned=True)
    stack, alone = case.make(arrays), alone_from(case, arrays, copies)
    for length in (steps, steps + 1):  # the first starts from the learned state
        xs, dhs = (draw(rng, (length, *copies, batch, size), dtype) for size in (features, hidden))
        hs, dxs = stack.forward(xs), stack.backward(dhs, norms=True)
        for copy, layer in alone.items():
            same_bits(pick(hs, copy), layer.forward(pick(xs, copy)))
            same_bits(pick(dxs, copy), layer.backward(pick(dhs, copy), norms=True))
            for ours, theirs in zip(stack.state, layer.state, strict=True):
                same_bits(ours[copy], theirs)
            same_gradients(stack, layer, copy, same_bits)
        descend(stack, *alone.values(), rate=0.01)


@pairwise(case=CASES, copies=COPIES, dtype=DTYPES)
def test_copies_of_a_layer_slide_carry_and_are_looked_into_like_single_ones(case, copies, dtype, same_bits):
    rng = np.random.default_rng(2)
    arrays = case.draw(rng, copies=copies, dtype=dtype, sizes=(3, 10), scale=0.4)
    stack, alone = case.make(arrays, reuse=True), alone_from(case, arrays, copies, reuse=True)
    start = case.start(rng, 4, copies=copies, dtype=dtype, hidden=10)
    stack.set_state(*start)
    for copy, layer in alone.items():
        layer.set_state(*(state[copy] for state in start))
    xs = draw(rng, (10, *copies, 4, 3), dtype)
    for first, last, drop in ((0, 5, 0), (2, 7, 2), (4, 9, 2)):
        kept = 3 if drop else 0
        dhs, step_weights = draw(rng, (last - first, *copies, 4, 10), dtype), list(rng.uniform(0.5, 1.5, last - first))
        stack.drop(drop)
        hs = stack.forward(xs[first:last], first=kept).copy()
        dxs = stack.backward(dhs, norms=True, step_weights=step_weights).copy()
        _, earlier, parts = steps_back(stack, stack.after_each_step(dhs))
        for copy, layer in alone.items():
            own = pick(dhs, copy)
            layer.drop(drop)
            same_bits(pick(hs, copy), layer.forward(pick(xs[first:last], copy), first=kept))
            same_bits(pick(dxs, copy), layer.backward(own, norms=True, step_weights=step_weights))
            same_gradients(stack, layer, copy, same_bits)
            if layer.slopes().size:
                same_bits(pick(stack.slopes(), copy), layer.slopes())
            for name, gate in layer.gates().items():
                same_bits(pick(stack.gates()[name], copy), gate)
            _, own_earlier, own_parts = steps_back(layer, layer.after_each_step(own))
            for ours, theirs in zip(parts, own_parts, strict=True):
                same_bits(ours[copy], theirs)
            for ours, theirs in zip(earlier, own_earlier, strict=True):
                same_bits(pick(ours, copy), theirs)
        descend(stack, *alone.values(), rate=0.01)


@pairwise(case=CASES, copies=COPIES, dtype=DTYPES)
def test_copies_of_a_layer_have_the_jacobians_of_single_ones(case, copies, dtype, same_bits):
    rng = np.random.default_rng(5)
    arrays = case.draw(rng, copies=copies, dtype=dtype, sizes=(3, 10), scale=0.4)
    stack, alone = case.make(arrays), alone_from(case, arrays, copies)
    for steps in (4, 3):
        xs = draw(rng, (steps, *copies, 3, 3), dtype)
        stack.forward(xs)
        for copy, layer in alone.items():
            layer.forward(pick(xs, copy))
            same_bits(pick(stack.jacobians(1), copy), layer.jacobians(1))


KINDS = {
    "table": {"embedding_dim": 5},
    "one-hot, learned start, shortcut": {"learn_initial_state": True, "shortcut": True},
    "tied": {"embedding_dim": 10, "tie": True, "learn_initial_state": True},
    "raw values, frozen, shortcut": {"input_kind": "values", "freeze": "output.b", "shortcut": True},
}


@pairwise(
    kind=list(KINDS),
    cell={"rnn": TimeRNN, "gru": TimeGRU, "lstm": TimeLSTM, "leaky": TimeLeaky},
    layers=[1, 2],
    dtype=DTYPES,
)
def test_networks_from_a_list_of_generators_train_like_single_ones_bit_for_bit(cell, layers, kind, dtype, same_bits):
    rng, seeds, size = np.random.default_rng(3), (4, 2, 9), 6

    def build(generators):
        options = {"hidden_size": 10, "output_size": size, "cell": cell, "num_layers": layers, "dtype": dtype}
        return build_network(rng=generators, **options, **KINDS[kind])

    stack = build([np.random.default_rng(seed) for seed in seeds])
    alone = [build(np.random.default_rng(seed)) for seed in seeds]
    for copy, network in enumerate(alone):
        same_bits(stack.parameters.vector[copy], network.parameters.vector)
    for steps, batch in ((8, 3), (4, 3), (9, 3)):
        lead = (steps, 3, batch)
        values = "values" in kind
        inputs, targets = (rng.integers(size, size=lead) for _ in range(2))
        inputs = draw(rng, (*lead, size), dtype) if values else inputs
        outputs, loss = stack.forward(inputs).copy(), CRITERIA["classes"]()
        loss.forward(outputs, targets)
        gradient = stack.backward(loss.backward(), norms=True)
        for copy, network in enumerate(alone):
            own, loss = network.forward(pick(inputs, (copy,))), CRITERIA["classes"]()
            same_bits(pick(outputs, (copy,)), own)
            loss.forward(own, pick(targets, (copy,)))
            same_bits(gradient[copy], network.backward(loss.backward(), norms=True))
            for ours, theirs in zip(stack.recurrent.state, network.recurrent.state, strict=True):
                same_bits(ours[copy], theirs)
            for name, norms in network.recurrent.norms.items():
                same_bits(pick(stack.recurrent.norms[name], (copy,)), norms)
        for network in (stack, *alone):
            network.parameters.vector -= np.asarray(0.05, dtype) * network.parameters.gradient


@pairwise(
    shape=[(1, 1, 10), (20, 1, 16), (20, 20, 10), (20, 2, 50)],
    cell={"gru": TimeGRU, "lstm": TimeLSTM},
    layers=[1, 2],
    dtype=DTYPES,
)
def test_stacked_networks_of_other_shapes_are_single_ones_bit_for_bit(shape, cell, layers, dtype, same_bits):
    steps, batch, hidden = shape
    rng, seeds = np.random.default_rng(4), (1, 5)

    def build(generators):
        options = {"cell": cell, "num_layers": layers, "dtype": dtype, "embedding_dim": 4, "input_size": 7}
        return build_network(hidden_size=hidden, output_size=3, rng=generators, **options)

    stack, alone = (
        build([np.random.default_rng(seed) for seed in seeds]),
        [build(np.random.default_rng(s)) for s in seeds],
    )
    for length in (steps, steps + 1):
        inputs, doutputs = rng.integers(7, size=(length, 2, batch)), draw(rng, (length, 2, batch, 3), dtype)
        outputs, gradient = stack.forward(inputs).copy(), stack.backward(doutputs, norms=True)
        for copy, network in enumerate(alone):
            same_bits(pick(outputs, (copy,)), network.forward(pick(inputs, (copy,))))
            same_bits(gradient[copy], network.backward(pick(doutputs, (copy,)), norms=True))
            same_bits(pick(stack.recurrent.dh_norms, (copy,)), network.recurrent.dh_norms)
        for network in (stack, *alone):
            network.parameters.vector -= np.asarray(0.01, dtype) * network.parameters.gradient
