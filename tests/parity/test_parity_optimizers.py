"""Optimizers, clipping and schedules on their own: the same gradients go into both."""

import numpy as np
import pytest
from torch_pairs import CLIPPING, OPTIMIZERS, SCHEDULES, clip_norm
from torch_twin import agree

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

STEPS, SIZE = 10, 60

every_optimizer = pytest.mark.parametrize(("ours", "theirs"), OPTIMIZERS.values(), ids=OPTIMIZERS)


def draw_gradient(rng):
    """Numbers of all sizes, those beside and below every epsilon too, and some zeros."""
    gradient = rng.standard_normal(SIZE) * 10.0 ** rng.integers(-12, 3, size=SIZE)
    gradient[:3] = 0.0
    return gradient


def both(rng, ours, theirs):
    """A vector, a tensor of the same numbers, and the optimizers of each."""
    vector = rng.standard_normal(SIZE)
    tensor = torch.nn.Parameter(torch.from_numpy(vector.copy()))
    return vector, tensor, ours(), theirs([tensor])


@every_optimizer
def test_ten_steps_with_the_same_gradients_agree(ours, theirs):
    rng = np.random.default_rng(1)
    vector, tensor, optimizer, their_optimizer = both(rng, ours, theirs)
    for step in range(STEPS):
        before, gradient = vector.copy(), draw_gradient(rng)
        tensor.grad = torch.from_numpy(gradient.copy())
        optimizer.update(vector, gradient.copy())
        their_optimizer.step()
        assert np.any(vector != before)
        agree(vector, tensor.detach().numpy(), f"step {step + 1}")


@every_optimizer
def test_the_steps_themselves_agree_to_the_last_digits_of_the_parameters(ours, theirs):
    """From parameters of zero, whose size does not hide a small step."""
    rng = np.random.default_rng(2)
    vector, tensor, optimizer, their_optimizer = both(rng, ours, theirs)
    for step in range(STEPS):
        vector[...] = 0.0
        with torch.no_grad():
            tensor.zero_()
        gradient = draw_gradient(rng)
        tensor.grad = torch.from_numpy(gradient.copy())
        optimizer.update(vector, gradient)
        their_optimizer.step()
        np.testing.assert_allclose(vector, tensor.detach().numpy(), rtol=1e-10, atol=0, err_msg=f"step {step + 1}")


@every_optimizer
def test_a_learning_rate_that_changes_on_the_way_has_the_same_effect(ours, theirs):
    rng = np.random.default_rng(3)
    vector, tensor, optimizer, their_optimizer = both(rng, ours, theirs)
    for step in range(STEPS):
        rate = 0.1 / (1 + step)
        optimizer.learning_rate = rate
        their_optimizer.param_groups[0]["lr"] = rate
        gradient = draw_gradient(rng)
        tensor.grad = torch.from_numpy(gradient.copy())
        optimizer.update(vector, gradient)
        their_optimizer.step()
        agree(vector, tensor.detach().numpy(), f"step {step + 1}")


def clip_both(rule, their_rule, gradient, parts=3):
    """Our clipped vector with what the rule tells, and PyTorch's gradients, of several tensors, laid side by side."""
    tensors = [torch.nn.Parameter(torch.from_numpy(part)) for part in np.split(np.zeros_like(gradient), parts)]
    for tensor, part in zip(tensors, np.split(gradient, parts), strict=True):
        tensor.grad = torch.from_numpy(part.copy())
    told = their_rule(tensors)
    clipped = gradient.copy()
    norm, was_clipped = rule(clipped)
    return clipped, norm, was_clipped, np.concatenate([tensor.grad.numpy() for tensor in tensors]), told


@pytest.mark.parametrize("size", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("name", ["norm", "value"])
def test_clipping_agrees_below_and_above_the_threshold(name, size):
    rng = np.random.default_rng(4)
    rule, their_rule = CLIPPING[name](0.7)
    gradient = rng.standard_normal(SIZE)
    gradient *= size / np.linalg.norm(gradient)
    clipped, norm, was_clipped, theirs, told = clip_both(rule, their_rule, gradient)
    agree(clipped, theirs)
    agree(norm, size)
    assert was_clipped == np.any(theirs != gradient)
    assert told is None or told.item() == pytest.approx(size, rel=1e-12)


def test_clipping_by_norm_differs_from_pytorchs_only_by_the_millionth_added_to_the_norm():
    gradient = np.random.default_rng(5).standard_normal(SIZE)
    rule, _ = CLIPPING["norm"](0.5)
    clipped, norm, _, theirs, _ = clip_both(
        rule, lambda tensors: torch.nn.utils.clip_grad_norm_(tensors, 0.5), gradient
    )
    agree(clipped, theirs, rtol=1e-5)
    agree(clipped * norm / (norm + 1e-6), theirs)
    assert np.linalg.norm(clipped) == pytest.approx(0.5, rel=1e-14)


def test_the_correction_for_that_millionth_leaves_what_is_not_clipped():
    tensor = torch.nn.Parameter(torch.zeros(3).double())
    tensor.grad = torch.tensor([0.1, 0.2, 0.3]).double()
    before = tensor.grad.clone()
    clip_norm([tensor], 0.5)
    assert torch.equal(tensor.grad, before)


@pytest.mark.parametrize(("schedule", "scheduler"), SCHEDULES.values(), ids=SCHEDULES)
def test_schedules_give_the_learning_rates_of_pytorchs(schedule, scheduler):
    steps, rate = 40, 0.3
    tensor = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([tensor], lr=rate)
    theirs, rates = scheduler(optimizer, steps), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        tensor.grad = torch.zeros(1)
        optimizer.step()
        theirs.step()
    agree([rate * schedule.factor(step, steps) for step in range(1, steps + 1)], rates)
    assert len(set(rates)) > 1
