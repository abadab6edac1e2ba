import numpy as np
import pytest
from recurrent_cases import CASES, D, H, descend, every_layer, generic, part

from rnnexp.layers import GRU, LSTM, RNN, Leaky, Recurrent, TimeGRU, TimeLeaky, TimeLSTM, TimeRNN

ONE_STEP = {TimeRNN: RNN, TimeGRU: GRU, TimeLSTM: LSTM, TimeLeaky: Leaky}
BUILT_IN = [name for name, case in CASES.items() if case.cell in ONE_STEP]
every_built_in = pytest.mark.parametrize("case", [CASES[name] for name in BUILT_IN], ids=BUILT_IN)


class Loop:
    """One layer of a window as a loop over objects of its one-step class."""

    def __init__(self, case, arrays, steps):
        own = part(arrays, 1) if case.layers == 1 else arrays
        self.cells = [ONE_STEP[case.cell](**own, **case.options) for _ in range(steps)]

    def forward(self, xs, state):
        states = [state]
        for x, cell in zip(xs, self.cells, strict=True):
            new = cell.forward(x, *states[-1])
            states.append(new if isinstance(new, tuple) else (new,))
        self.last = states[-1]
        return np.stack([h for h, *_ in states[1:]])

    def backward(self, dhs):
        dxs, dstate = [], [np.zeros_like(state) for state in self.last]
        for dh, cell in zip(reversed(dhs), reversed(self.cells), strict=True):
            dx, *dstate = cell.backward(dstate[0] + dh, *dstate[1:])
            dxs.insert(0, dx)
        self.dstate = dstate
        self.grads = [sum(parts) for parts in zip(*(cell.grads for cell in self.cells), strict=True)]
        return np.stack(dxs)


class Loops:
    """A stack of them."""

    def __init__(self, case, arrays, steps):
        single = type(case)(case.cell, case.formula, case.options)
        self.loops = [
            Loop(single, {f"1.{name}": array for name, array in part(arrays, layer).items()}, steps)
            for layer in range(1, case.layers + 1)
        ]

    def forward(self, xs, state):
        each = len(state) // len(self.loops)
        for at, loop in enumerate(self.loops):
            xs = loop.forward(xs, state[at * each : (at + 1) * each])
        return xs

    def backward(self, dhs):
        for loop in reversed(self.loops):
            dhs = loop.backward(dhs)
        return dhs

    def all(self, what):
        return [array for loop in self.loops for array in getattr(loop, what)]


def all_close(actual, expected, assert_close):
    for ours, theirs in zip(actual, expected, strict=True):
        assert_close(ours, theirs)


@every_built_in
def test_a_window_is_its_one_step_classes_in_a_loop(case, assert_close):
    rng = np.random.default_rng(1)
    arrays = case.draw(rng)
    layer = case.make(arrays)
    for steps, batch in ((6, 3), (1, 1), (4, 3)):
        xs, dhs = rng.standard_normal((steps, batch, D)), rng.standard_normal((steps, batch, H))
        start, loops = case.start(rng, batch), Loops(case, arrays, steps)
        layer.set_state(*start)
        assert_close(layer.forward(xs), loops.forward(xs, start))
        all_close(layer.state, loops.all("last"), assert_close)
        assert_close(layer.backward(dhs), loops.backward(dhs))
        all_close(layer.dstate, loops.all("dstate"), assert_close)
        all_close(layer.grads, loops.all("grads"), assert_close)
        descend(layer)


@every_layer
@pytest.mark.parametrize("stateful", [False, True])
def test_a_window_has_the_states_of_the_written_formulas(case, stateful, assert_close):
    rng = np.random.default_rng(2)
    arrays = case.draw(rng)
    layer = case.make(arrays, stateful=stateful)
    state = (np.zeros((3, H)),) * case.states
    for steps in (5, 1, 4):
        xs = rng.standard_normal((steps, 3, D))
        expected = case.run(arrays, xs, state)
        assert_close(layer.forward(xs), case.outputs(expected))
        all_close(layer.state, expected[-1], assert_close)
        for t in range(1, steps + 1):
            all_close(layer.state_before(t), expected[t], assert_close)
        state = expected[-1] if stateful else state
        layer.backward(rng.standard_normal((steps, 3, H)))
        descend(layer)


@every_built_in
@pytest.mark.parametrize("carried", [False, True], ids=["whole", "step_weights"])
def test_the_loops_of_a_layer_are_the_generic_ones_made_fast(case, carried, assert_close):
    rng = np.random.default_rng(3)
    arrays = case.draw(rng, learned=True)
    fast, slow = case.make(arrays), case.make(arrays, cell=generic(case.cell))
    for steps, batch, reset in ((6, 3, True), (3, 3, False), (1, 1, True), (7, 2, True)):
        xs, dhs = rng.standard_normal((steps, batch, D)), rng.standard_normal((steps, batch, H))
        step_weights = list(rng.uniform(0.2, 1.5, steps)) if carried else None
        for layer in (fast, slow):
            if reset:
                layer.reset_state()
        assert_close(fast.forward(xs), slow.forward(xs))
        all_close(fast.state, slow.state, assert_close)
        dxs = [layer.backward(dhs, norms=True, step_weights=step_weights) for layer in (fast, slow)]
        assert_close(*dxs)
        all_close(fast.dstate, slow.dstate, assert_close)
        assert_close(fast.norms["h"], slow.norms["h"])
        for ours, theirs in zip(fast.grads, slow.grads, strict=True):
            if reset or np.any(theirs):  # no gradient of a learned start that the window did not start from
                assert_close(ours, theirs)
            else:
                assert not np.any(ours)
        descend(fast)


@pytest.mark.parametrize("name", ["tanh", "gru", "lstm"])
def test_the_generic_backward_of_a_fast_forward_is_its_own_backward(name, assert_close):
    rng = np.random.default_rng(4)
    case = CASES[name]
    layer = case.make(case.draw(rng))
    for steps in (5, 3):
        xs, dhs = rng.standard_normal((steps, 2, D)), rng.standard_normal((steps, 2, H))
        layer.set_state(*case.start(rng, 2))
        layer.forward(xs)
        dxs, dstate, grads = layer.backward(dhs), layer.dstate, [grad.copy() for grad in layer.grads]
        dstates = [np.full((steps + 1, 2, H), 9.0) for _ in layer.state_names]
        assert_close(Recurrent._backward(layer, dhs, dstates, None), dxs)
        all_close([states[0] for states in dstates], dstate, assert_close)
        all_close(layer.grads, grads, assert_close)
        descend(layer)


@every_built_in
def test_a_window_slides_in_the_generic_loops_as_in_the_fast_ones(case, assert_close):
    rng = np.random.default_rng(5)
    arrays = case.draw(rng)
    fast, slow = case.make(arrays), case.make(arrays, cell=generic(case.cell))
    xs = rng.standard_normal((11, 2, D))
    for layer in (fast, slow):
        layer.forward(xs[:5])
    for start in (2, 4, 6):
        dhs = rng.standard_normal((5, 2, H))
        for layer in (fast, slow):
            layer.drop(2)
        assert_close(fast.forward(xs[start : start + 5], first=3), slow.forward(xs[start : start + 5], first=3))
        assert_close(fast.backward(dhs), slow.backward(dhs))
        all_close(fast.grads, slow.grads, assert_close)


@pytest.mark.parametrize("name", ["relu", "gru", "lstm", "leaky"])
@pytest.mark.parametrize("copies", [(), (2,)], ids=str)
def test_step_and_step_back_are_those_of_a_window_of_one_step(name, copies, assert_close):
    rng = np.random.default_rng(6)
    case = CASES[name]
    arrays = case.draw(rng, copies=copies)
    layer, window = case.make(arrays), case.make(arrays)
    for _ in range(2):
        x, start = rng.standard_normal((*copies, 4, D)), case.start(rng, 4, copies=copies)
        dstate = case.start(rng, 4, copies=copies)[:1] + (np.zeros((*copies, 4, H)),) * (case.states - 1)
        window.set_state(*start)
        window.forward(x[np.newaxis])
        all_close(layer.step(x, start), window.state, assert_close)
        dxs = window.backward(dstate[0][np.newaxis])
        dx, before, grads = layer.step_back(x, start, dstate)
        assert_close(dx, dxs[0])
        all_close(before, window.dstate, assert_close)
        all_close(grads, window.grads, assert_close)
        descend(window)


def test_a_layer_that_gives_no_step_says_so():
    class Shapes(Recurrent):
        parameter_shapes = staticmethod(TimeRNN.parameter_shapes)

    with pytest.raises(NotImplementedError):
        Recurrent([np.ones((D, H))], hidden_size=H)
    layer = Shapes([np.ones((D, H)), np.ones((H, H)), np.ones(H)], hidden_size=H)
    for _ in range(2):
        with pytest.raises(NotImplementedError):
            layer.forward(np.ones((2, 1, D)))
