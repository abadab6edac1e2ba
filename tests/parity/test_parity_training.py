"""Real training on both sides: windows with carried state, clipping, an optimizer, a schedule."""

import numpy as np
import pytest
from torch_pairs import CLIPPING, OPTIMIZERS, SCHEDULES
from torch_training import SIZES, Episodes, torch_windows, train_ours
from torch_twin import CELLS, Sizes, agree, arrays_of, draw, every_cell

from rnnexp.layers import to_state_dict
from rnnexp.training import SGD, WeightDecay

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

STEPS, LENGTH = 10, 5
#: Of the two rules, so that some of ten updates are clipped and others are not.
THRESHOLDS = {"norm": 0.6, "value": 0.2}

every_optimizer = pytest.mark.parametrize(("ours", "theirs"), OPTIMIZERS.values(), ids=OPTIMIZERS)


def same_parameters(network, twin):
    for name, array in to_state_dict(network).items():
        agree(array, arrays_of(twin.state_dict())[name], name, zero=".bias_hh_" in name)


def losses_of(reports):
    return [report.train_loss for report in reports]


@every_optimizer
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_ten_updates_of_a_small_network_agree(cell, ours, theirs):
    network, twin = draw(CELLS[cell], "embedding")
    task, before = Episodes(STEPS * LENGTH), network.parameters.vector.copy()
    reports = train_ours(network, task, ours(), STEPS, length=LENGTH)
    losses = list(torch_windows(twin, task.whole, LENGTH, theirs(twin.parameters())))
    assert len(losses) == STEPS
    assert np.any(network.parameters.vector != before)
    agree(losses_of(reports), losses)
    same_parameters(network, twin)


@every_optimizer
@pytest.mark.parametrize("rule", CLIPPING)
def test_ten_clipped_updates_agree(rule, ours, theirs):
    network, twin = draw(CELLS["lstm"], "embedding")
    task = Episodes(STEPS * LENGTH)
    clipping, clip = CLIPPING[rule](THRESHOLDS[rule])
    reports = train_ours(network, task, ours(), STEPS, length=LENGTH, clipping=clipping)
    norms, after = [], []

    def before(twin):
        norms.append(norm_of(twin))
        clip(list(twin.parameters()))
        after.append(norm_of(twin))

    losses = list(torch_windows(twin, task.whole, LENGTH, theirs(twin.parameters()), before=before))
    agree(losses_of(reports), losses)
    agree([report.grad_norm for report in reports], norms)
    agree([report.clipped_norm for report in reports], after)
    assert [report.clipped for report in reports] == [whole > less for whole, less in zip(norms, after, strict=True)]
    assert any(report.clipped for report in reports)
    same_parameters(network, twin)


def norm_of(twin):
    return np.sqrt(sum(float((value.grad**2).sum()) for value in twin.parameters()))


@every_cell
def test_clipping_by_norm_as_pytorch_has_it_stays_within_its_millionth(cell):
    network, twin = draw(cell, "embedding", layers=2)
    task, (clipping, _) = Episodes(STEPS * LENGTH), CLIPPING["norm"](0.3)
    reports = train_ours(network, task, SGD(0.5), STEPS, length=LENGTH, clipping=clipping)

    def before(twin):
        torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.3)

    optimizer = torch.optim.SGD(twin.parameters(), lr=0.5)
    agree(losses_of(reports), list(torch_windows(twin, task.whole, LENGTH, optimizer, before=before)), rtol=1e-5)
    assert any(report.clipped for report in reports)


@pytest.mark.parametrize(("schedule", "scheduler"), SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("optimizer", ["momentum", "adamw with more decay"])
def test_updates_under_a_schedule_agree(optimizer, schedule, scheduler):
    network, twin = draw(CELLS["lstm"], "embedding")
    ours, theirs = OPTIMIZERS[optimizer]
    steps, task = 12, Episodes(12 * LENGTH)
    reports = train_ours(network, task, ours(), steps, length=LENGTH, schedule=schedule)
    their_optimizer, rates = theirs(twin.parameters()), []
    windows = torch_windows(
        twin,
        task.whole,
        LENGTH,
        their_optimizer,
        before=lambda twin: rates.append(their_optimizer.param_groups[0]["lr"]),
        scheduler=scheduler(their_optimizer, steps),
    )
    agree(losses_of(reports), list(windows))
    agree([report.learning_rate for report in reports], rates)
    same_parameters(network, twin)


@pytest.mark.parametrize("tie", [False, True], ids=["apart", "tied"])
@every_cell
def test_the_weight_decay_that_goes_through_the_optimizer_is_pytorchs_on_weight_matrices(cell, tie):
    sizes = Sizes(features=SIZES.hidden, outputs=SIZES.outputs, inputs=SIZES.inputs)
    if tie:
        sizes = Sizes(features=SIZES.hidden, outputs=SIZES.inputs, inputs=SIZES.inputs)
    network, twin = draw(cell, "embedding", sizes, layers=2, tie=tie)
    task = Episodes(STEPS * LENGTH)
    task.output_size = sizes.outputs
    options = {"length": LENGTH, "regularizer": WeightDecay(0.05)}
    reports = train_ours(network, task, SGD(0.2, momentum=0.8), STEPS, **options)
    named = list(twin.named_parameters())
    groups = [
        {"params": [value for name, value in named if "weight" in name], "weight_decay": 0.05},
        {"params": [value for name, value in named if "weight" not in name]},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.2, momentum=0.8)
    agree(losses_of(reports), list(torch_windows(twin, task.whole, LENGTH, optimizer)))
    same_parameters(network, twin)
