"""The same training on both sides: sequences told in advance, windows with carried state, an optimizer's step each."""

import numpy as np
from torch_twin import Sizes, torch, torch_loss, without_second_biases

from rnnexp.algorithms import TruncatedBPTT
from rnnexp.tasks import Batch, EpisodeTask, Place, StreamTask
from rnnexp.training import train

SIZES = Sizes()


class Given:
    """What both tasks have in common: one batch of long sequences."""

    input_kind, target_kind, scored = "tokens", "classes", "the steps of the mask"
    input_size, output_size = SIZES.inputs, SIZES.outputs
    baseline = None

    def __init__(self, steps, *, mask=None, seed=1):
        rng, shape = np.random.default_rng(seed), (steps, SIZES.batch)
        inputs, targets = rng.integers(SIZES.inputs, size=shape), rng.integers(SIZES.outputs, size=shape)
        self.whole = Batch(inputs, targets, np.ones(shape, bool) if mask is None else mask)

    def evaluation(self, *, rng):
        raise NotImplementedError


class Episodes(Given, EpisodeTask):
    def sample(self, batch_size, *, rng):
        return self.whole


class Stream(Given, StreamTask):
    def begin(self, batch_size, *, rng):
        return Place({"at": np.zeros(1, int)})

    def read(self, place, steps, *, rng):
        start = int(place.arrays["at"][0])
        place.arrays["at"] += steps
        return self.whole.steps(start, start + steps)


class Recorder:
    """An optimizer that keeps every gradient, and descends by `rate`."""

    def __init__(self, rate):
        self.learning_rate, self.slots, self.gradients = rate, {}, []

    def update(self, vector, gradient):
        self.gradients.append(gradient.copy())
        vector -= self.learning_rate * gradient


def train_ours(network, task, optimizer, steps, *, length, stride=None, **options):
    """The report of each update."""
    options |= {"optimizer": optimizer, "steps": steps, "batch_size": SIZES.batch, "rng": np.random.default_rng(0)}
    return list(train(network, task, algorithm=TruncatedBPTT(length, stride), **options))[1:]


def torch_windows(twin, whole, length, optimizer, *, before=lambda twin: None, scheduler=None):
    """A loop as PyTorch users write it: the state is detached at every window's edge. Yields the loss of each.

    The second biases do not move; `before` is called with the twin's final gradients, before the optimizer's step.
    """
    state = None
    for start in range(0, len(whole.inputs), length):
        window = whole.steps(start, start + length)
        outputs, state = twin(torch.from_numpy(window.inputs), state)
        state = tuple(part.detach() for part in state)
        if window.mask.any():
            twin.zero_grad()
            loss = torch_loss(outputs, window.targets, window.mask)
            loss.backward()
            yield loss.item()
            without_second_biases(twin)
            before(twin)
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
