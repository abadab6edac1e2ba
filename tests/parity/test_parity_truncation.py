import numpy as np
import pytest
from torch_training import SIZES, Episodes, Recorder, Stream, torch_windows, train_ours
from torch_twin import agree, arrays_of, draw, every_cell, load, same_gradients, torch_loss

from rnnexp.layers import to_state_dict
from rnnexp.training import SGD

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

WINDOWS, RATE = 10, 0.3


def some_windows_unscored(steps, length):
    """A random mask, in which no step of the second and the fifth window is scored."""
    mask = np.random.default_rng(2).random((steps, SIZES.batch)) < 0.5
    for window in range(0, steps, length):
        mask[window, 0] = True
    for window in (1, 4):
        mask[window * length : (window + 1) * length] = False
    return mask


@pytest.mark.parametrize("length", [1, 4, 7])
@pytest.mark.parametrize("task_class", [Episodes, Stream])
@pytest.mark.parametrize("layers", [1, 2])
@every_cell
def test_ten_windows_with_carried_state_have_the_gradients_of_a_loop_that_detaches(cell, layers, task_class, length):
    network, twin = draw(cell, "embedding", layers=layers)
    task, recorder = task_class(WINDOWS * length), Recorder(RATE)
    start = network.parameters.vector.copy()
    reports = train_ours(network, task, recorder, WINDOWS, length=length)
    after = to_state_dict(network)
    network.parameters.vector[...] = start
    optimizer = torch.optim.SGD(twin.parameters(), lr=RATE)
    windows = torch_windows(twin, task.whole, length, optimizer)
    assert len(recorder.gradients) == WINDOWS
    for count, (report, gradient) in enumerate(zip(reports, recorder.gradients, strict=True)):
        agree(report.train_loss, next(windows))
        same_gradients(network, gradient, twin, zero=["weight_hh"] if length == 1 and count == 0 else [])
    assert next(windows, None) is None
    for name, value in arrays_of(twin.state_dict()).items():
        agree(after[name], value, name, zero=".bias_hh_" in name)


@pytest.mark.parametrize("length", [3, 5])
@every_cell
def test_windows_without_a_scored_step_hand_on_their_state_and_make_no_update(cell, length):
    network, twin = draw(cell, "embedding", layers=2)
    task = Episodes(WINDOWS * length, mask=some_windows_unscored(WINDOWS * length, length))
    reports = train_ours(network, task, SGD(RATE), WINDOWS - 2, length=length)
    theirs = list(torch_windows(twin, task.whole, length, torch.optim.SGD(twin.parameters(), lr=RATE)))
    assert len(theirs) == WINDOWS - 2
    agree([report.train_loss for report in reports], theirs)


@pytest.mark.parametrize("start", ["from zero", "learned start"])
@every_cell
def test_whole_episodes_reach_back_to_their_start_every_time(cell, start):
    network, twin = draw(cell, "embedding", learned=start == "learned start")
    task = Episodes(6)
    reports = train_ours(network, task, SGD(RATE), WINDOWS, length=None)
    optimizer = torch.optim.SGD(twin.parameters(), lr=RATE)
    agree(
        [report.train_loss for report in reports],
        [loss for _ in range(WINDOWS) for loss in torch_windows(twin, task.whole, 6, optimizer)],
    )


@pytest.mark.parametrize(("length", "stride"), [(6, 2), (5, 1), (7, 3)])
@pytest.mark.parametrize("layers", [1, 2])
@every_cell
def test_long_windows_every_few_steps_send_the_newest_losses_through_all_of_the_window(cell, layers, length, stride):
    """With constant weights, since the states of an old step are those of the weights it was computed with."""
    network, twin = draw(cell, "embedding", layers=layers)
    task, recorder = Episodes(WINDOWS * stride), Recorder(0.0)
    train_ours(network, task, recorder, WINDOWS, length=length, stride=stride)
    whole = task.whole
    for count, gradient in enumerate(recorder.gradients):
        end = (count + 1) * stride
        begin = max(0, end - length)
        state = None
        if begin:
            state = tuple(part.detach() for part in twin(torch.from_numpy(whole.inputs[:begin]))[1])
        outputs, _ = twin(torch.from_numpy(whole.inputs[begin:end]), state)
        twin.zero_grad()
        torch_loss(outputs[-stride:], whole.targets[end - stride : end]).backward()
        same_gradients(network, gradient, twin, zero=["weight_hh"] if end == 1 else [])


def scaled_back(part, factor):
    """The same numbers, whose gradient is multiplied on the way back."""
    return part * factor + (part * (1.0 - factor)).detach()


@pytest.mark.parametrize("layers", [1, 2])
@every_cell
def test_factors_of_what_a_step_hands_back_scale_the_gradient_as_a_hook_would(cell, layers):
    rng = np.random.default_rng(3)
    network, twin = draw(cell, "embedding", layers=layers)
    whole = Episodes(6).whole
    for _ in range(2):
        network.reset_state()
        step_weights = list(rng.uniform(0.3, 1.7, 6))
        slope = rng.standard_normal((6, SIZES.batch, SIZES.outputs))
        network.forward(whole.inputs)
        gradient = network.backward(slope, step_weights=step_weights)
        state, total = None, 0.0
        for step, factor in enumerate(step_weights):
            if state is not None:
                state = tuple(scaled_back(part, factor) for part in state)
            outputs, state = twin(torch.from_numpy(whole.inputs[step : step + 1]), state)
            total = total + (outputs[0] * torch.from_numpy(slope[step])).sum()
        twin.zero_grad()
        total.backward()
        same_gradients(network, gradient, twin)
        network.parameters.vector -= 0.02 * gradient
        load(twin, network)
