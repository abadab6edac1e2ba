import numpy as np
import pytest
from torch_twin import (
    Sizes,
    agree,
    arrays_of,
    as_state_dict,
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
    without_second_biases,
)

from rnnexp.layers import CRITERIA, from_state_dict, to_state_dict

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

SHAPES = {
    "usual": Sizes(),
    "one step": Sizes(steps=1, batch=4, features=3, hidden=6, outputs=2, inputs=5),
    "one sequence": Sizes(steps=9, batch=1, features=6, hidden=4, outputs=4, inputs=3),
    "one of each": Sizes(steps=1, batch=1, features=1, hidden=3, outputs=2, inputs=2),
    "wide and long": Sizes(steps=25, batch=8, features=10, hidden=16, outputs=11, inputs=12),
}

every_shape = pytest.mark.parametrize("sizes", SHAPES.values(), ids=SHAPES)


def some_scored(sizes, rng, steps):
    """A mask with scored and unscored steps, as far as there are enough of them."""
    mask = rng.random((steps, sizes.batch)) < 0.6
    mask[-1, 0] = True
    mask[0, -1] = steps * sizes.batch == 1
    return mask


def compare(network, twin, inputs, targets, mask):
    """Outputs, loss, final states and all gradients of a window from the initial state; our gradient."""
    if mask is not None:  # what stands at unscored steps has no meaning
        targets = targets.copy()
        targets[~mask] = -100 if targets.dtype.kind == "i" else np.nan
    network.reset_state()
    outputs, loss, gradient = our_step(network, inputs, targets, mask)
    their_outputs, their_loss, last = their_step(twin, inputs, targets, mask)
    agree(outputs, their_outputs, "outputs")
    agree(loss, their_loss, "loss")
    same_gradients(network, gradient, twin, zero=["weight_hh"] if len(inputs) == 1 else [])
    agree(network.recurrent.h, last[0][-1], "the last state")
    return gradient


def descend(network, twin, gradient, rate=0.1):
    """The same step down on both sides, each by its own gradient."""
    network.parameters.vector -= rate * gradient
    without_second_biases(twin)
    with torch.no_grad():
        for value in twin.parameters():
            value -= rate * value.grad


def train_both(network, twin, kind, sizes, rng, steps):
    """Windows on the same objects, both losses in turn, the parameters changed in between."""
    for count, loss in zip(steps, ("classes", "values", "classes"), strict=True):
        inputs, targets = draw_inputs(kind, sizes, rng, count), draw_targets(loss, sizes, rng, count)
        descend(network, twin, compare(network, twin, inputs, targets, some_scored(sizes, rng, count)))
    for name, array in to_state_dict(network).items():
        agree(array, arrays_of(twin.state_dict())[name], name, zero="bias_hh" in name)


@every_kind
@every_depth
@every_cell
def test_outputs_losses_and_all_gradients_agree_before_and_after_updates(cell, layers, kind):
    sizes = Sizes()
    network, twin = draw(cell, kind, sizes, layers=layers)
    train_both(network, twin, kind, sizes, np.random.default_rng(1), (6, 8, 4))


@every_shape
@every_depth
@every_cell
def test_windows_of_every_shape_agree_before_and_after_updates(cell, layers, sizes):
    network, twin = draw(cell, "embedding", sizes, layers=layers)
    train_both(network, twin, "embedding", sizes, np.random.default_rng(2), [sizes.steps] * 3)


@pytest.mark.parametrize("loss", ["classes", "values"])
@every_cell
def test_losses_without_a_mask_agree(cell, loss):
    rng, sizes = np.random.default_rng(3), Sizes()
    network, twin = draw(cell, "linear", layers=2)
    for _ in range(2):
        inputs, targets = draw_inputs("linear", sizes, rng), draw_targets(loss, sizes, rng)
        descend(network, twin, compare(network, twin, inputs, targets, None))


@pytest.mark.parametrize("learned", [False, True], ids=["from zero", "learned start"])
@every_depth
@every_cell
def test_a_tied_table_collects_the_gradients_of_both_ends(cell, layers, learned):
    rng, sizes = np.random.default_rng(3), Sizes(features=5, hidden=5, outputs=7, inputs=7)
    network, twin = draw(cell, "embedding", sizes, layers=layers, tie=True, learned=learned)
    assert network.tied
    assert twin.output.weight is twin.embedding.weight
    for steps in (6, 4):
        inputs, targets = draw_inputs("embedding", sizes, rng, steps), draw_targets("classes", sizes, rng, steps)
        descend(network, twin, compare(network, twin, inputs, targets, some_scored(sizes, rng, steps)))


@pytest.mark.parametrize("scored", [slice(-1, None), slice(1, 5, 2), np.array([4, 0, 2])], ids=["last", "odd", "index"])
@every_depth
@every_cell
def test_outputs_of_only_the_scored_steps_have_the_gradients_of_the_whole_window(cell, layers, scored):
    rng, sizes = np.random.default_rng(4), Sizes()
    network, twin = draw(cell, "embedding", layers=layers)
    inputs, targets = draw_inputs("embedding", sizes, rng), draw_targets("classes", sizes, rng)[scored]
    criterion = CRITERIA["classes"]()
    criterion.forward(network.forward(inputs, scored=scored), targets)
    gradient = network.backward(criterion.backward())
    outputs, _ = twin(torch.from_numpy(inputs))
    torch_loss(outputs[torch.from_numpy(np.arange(sizes.steps)[scored])], targets).backward()
    same_gradients(network, gradient, twin)


@every_kind
@every_depth
@every_cell
def test_weights_that_pytorch_drew_give_the_same_network_with_both_its_biases(cell, layers, kind):
    """The two biases come in as their sum."""
    rng, sizes = np.random.default_rng(5), Sizes()
    network, _ = draw(cell, kind, layers=layers)
    _, twin = draw(cell, kind, layers=layers, seed=1)
    for name, value in twin.named_parameters():
        torch.nn.init.normal_(value, std=0.4)
        assert torch.any(value != 0), name
    from_state_dict(network, arrays_of(twin.state_dict()))
    for _ in range(2):
        inputs, targets = draw_inputs(kind, sizes, rng), draw_targets("classes", sizes, rng)
        descend(network, twin, compare(network, twin, inputs, targets, None))


@every_depth
@every_cell
def test_weights_that_came_from_pytorch_and_go_back_are_the_same_function(cell, layers):
    rng, sizes = np.random.default_rng(6), Sizes()
    network, twin = draw(cell, "embedding", layers=layers)
    torch.manual_seed(2)
    for value in twin.parameters():
        torch.nn.init.normal_(value, std=0.4)
    inputs = torch.from_numpy(draw_inputs("embedding", sizes, rng))
    before = twin(inputs)[0].detach().numpy()
    from_state_dict(network, arrays_of(twin.state_dict()))
    for value in twin.parameters():
        torch.nn.init.zeros_(value)
    load(twin, network)
    agree(twin(inputs)[0].detach().numpy(), before)


def test_a_vector_laid_out_for_pytorch_has_every_number_once_but_the_second_biases():
    network, _ = draw(next(iter(every_cell.args[1])), "embedding", layers=2)
    numbers = 1.0 + np.arange(network.parameters.vector.size)
    laid_out = np.concatenate([array.ravel() for array in as_state_dict(network, numbers).values()])
    assert sorted(laid_out[laid_out > 0]) == list(numbers)
