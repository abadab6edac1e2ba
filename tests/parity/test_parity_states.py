import numpy as np
import pytest
from torch_twin import (
    CELLS,
    Sizes,
    Twin,
    agree,
    draw,
    draw_inputs,
    draw_targets,
    every_cell,
    every_depth,
    every_kind,
    load,
    our_step,
    same_gradients,
    their_step,
    torch_loss,
)

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

SIZES = Sizes()


def draw_state(network, rng, batch=SIZES.batch):
    """A random state of all layers, as `set_state` takes it."""
    layers = network.recurrent.layers
    return [rng.standard_normal((batch, SIZES.hidden)) for layer in layers for _ in layer.state_names]


def as_torch(state, names):
    """Our states, all of a layer one after the other, as PyTorch's: for each name, all layers (L, N, H)."""
    return tuple(torch.from_numpy(np.stack(state[at :: len(names)])).requires_grad_() for at in range(len(names)))


def same_states(ours, theirs):
    """States of all layers, or gradients in them, in the two orders."""
    assert len(ours) == len(theirs) * len(theirs[0])
    for at, tensor in enumerate(theirs):
        agree(np.stack(ours[at :: len(theirs)]), tensor, f"state {at}")


@every_kind
@every_depth
@every_cell
def test_windows_from_given_states_agree_in_gradients_final_states_and_gradients_in_the_first(cell, layers, kind):
    rng, names = np.random.default_rng(1), cell.ours.state_names
    network, twin = draw(cell, kind, layers=layers)
    for steps in (6, 1, 3):
        inputs, targets = draw_inputs(kind, SIZES, rng, steps), draw_targets("classes", SIZES, rng, steps)
        state = draw_state(network, rng)
        start = as_torch(state, names)
        network.recurrent.set_state(*state)
        outputs, loss, gradient = our_step(network, inputs, targets)
        their_outputs, their_loss, last = their_step(twin, inputs, targets, state=start)
        agree(outputs, their_outputs)
        agree(loss, their_loss)
        same_gradients(network, gradient, twin)
        same_states(network.recurrent.state, last)
        same_states(network.recurrent.dstate, [tensor.grad.numpy() for tensor in start])
        network.parameters.vector -= 0.1 * gradient
        load(twin, network)


@every_depth
@every_cell
def test_windows_that_carry_the_state_agree(cell, layers):
    rng = np.random.default_rng(2)
    network, twin = draw(cell, "embedding", layers=layers)
    state = None
    for steps in (4, 1, 7):
        inputs, targets = draw_inputs("embedding", SIZES, rng, steps), draw_targets("classes", SIZES, rng, steps)
        outputs, _, gradient = our_step(network, inputs, targets)
        their_outputs, _, last = their_step(twin, inputs, targets, state=state)
        agree(outputs, their_outputs)
        same_gradients(network, gradient, twin)
        same_states(network.recurrent.state, last)
        state = tuple(torch.from_numpy(part) for part in last)


@every_kind
@every_depth
@every_cell
def test_learned_initial_states_agree_before_and_after_updates(cell, layers, kind):
    rng = np.random.default_rng(3)
    network, twin = draw(cell, kind, layers=layers, learned=True)
    for steps in (5, 1, 4):
        inputs, targets = draw_inputs(kind, SIZES, rng, steps), draw_targets("classes", SIZES, rng, steps)
        network.reset_state()
        outputs, _, gradient = our_step(network, inputs, targets)
        their_outputs, _, last = their_step(twin, inputs, targets)
        agree(outputs, their_outputs)
        same_states(network.recurrent.state, last)
        same_gradients(network, gradient, twin)
        assert {name for name, _ in twin.named_parameters()} >= {f"{name}0" for name in cell.ours.state_names}
        network.parameters.vector -= 0.3 * gradient
        load(twin, network)


def retained(states):
    """||dL/dstate_t|| of every step and sequence (T + 1, N), where each state kept its gradient."""
    return np.stack([np.linalg.norm(state.grad.numpy(), axis=-1) for state in states])


def step_by_step(cell, twin, inputs, start):
    """Outputs of a loop over PyTorch's one-step module, and every state on the way, which keeps its gradient."""
    size = twin.rnn.input_size, twin.rnn.hidden_size
    one = cell.one_step(*size, **cell.module_options).double()
    one.load_state_dict({name.removesuffix("_l0"): value for name, value in twin.rnn.state_dict().items()})
    xs, states = twin.features(torch.from_numpy(inputs)), [start]
    for x in xs:
        new = one(x, states[-1] if cell.has_c else states[-1][0])
        states.append(new if cell.has_c else (new,))
        for state in states[-1]:
            state.retain_grad()
    return twin.output(torch.stack([state[0] for state in states[1:]])), list(zip(*states, strict=True))


@pytest.mark.parametrize("scored", ["all steps", "some steps", "the last step"])
@pytest.mark.parametrize("loss", ["classes", "values"])
@every_kind
@every_cell
def test_norms_of_the_gradient_in_every_state_are_those_of_a_loop_over_single_steps(cell, kind, loss, scored):
    rng, names = np.random.default_rng(4), cell.ours.state_names
    network, twin = draw(cell, kind)
    for steps in (7, 4):
        inputs, targets = draw_inputs(kind, SIZES, rng, steps), draw_targets(loss, SIZES, rng, steps)
        mask = np.ones(targets.shape[:2], bool) if scored == "all steps" else rng.random(targets.shape[:2]) < 0.5
        mask[:-1] &= scored != "the last step"
        mask[-1] = True
        state = draw_state(network, rng)
        network.recurrent.set_state(*state)
        _, our_loss, gradient = our_step(network, inputs, targets, mask, norms=True)
        start = tuple(torch.from_numpy(part).requires_grad_() for part in state)
        outputs, states = step_by_step(cell, twin, inputs, start)
        total = torch_loss(outputs, targets, mask)
        total.backward()
        agree(our_loss, total.item())
        assert network.recurrent.norms.keys() == set(names)
        for name, each in zip(names, states, strict=True):
            agree(network.recurrent.norms[name], retained(each), f"norms of {name}")
        network.parameters.vector -= 0.1 * gradient
        load(twin, network)


@pytest.mark.parametrize("layers", [2, 3])
@every_cell
def test_norms_of_a_stack_are_of_the_gradient_in_all_layers_together(cell, layers):
    """Every layer by itself, fed with the h of the one below, which is what keeps the gradients apart."""
    rng, names = np.random.default_rng(5), cell.ours.state_names
    network, twin = draw(cell, "embedding", layers=layers)
    inputs, targets = draw_inputs("embedding", SIZES, rng), draw_targets("classes", SIZES, rng)
    our_step(network, inputs, targets, norms=True)
    xs = twin.features(torch.from_numpy(inputs))
    squares = dict.fromkeys(names, 0.0)
    all_states = []
    for layer in range(layers):
        alone = Twin(cell, "raw", Sizes(hidden=SIZES.hidden, inputs=xs.shape[-1]))
        suffix = f"_l{layer}"
        own = {name: value for name, value in twin.rnn.state_dict().items() if name.endswith(suffix)}
        alone.rnn.load_state_dict({f"{name.removesuffix(suffix)}_l0": value for name, value in own.items()})
        alone.features = lambda _, xs=xs: xs
        start = tuple(torch.zeros(SIZES.batch, SIZES.hidden).double().requires_grad_() for _ in names)
        _, states = step_by_step(cell, alone, inputs, start)
        xs = torch.stack(states[0][1:])
        all_states.append(states)
    torch_loss(twin.output(xs), targets).backward()
    for states in all_states:
        for name, each in zip(names, states, strict=True):
            squares[name] = squares[name] + retained(each) ** 2
    for name, square in squares.items():
        agree(network.recurrent.norms[name], np.sqrt(square), f"norms of {name}")


def test_every_cell_is_among_those_compared():
    assert {cell.module for cell in CELLS.values()} == {torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM}
