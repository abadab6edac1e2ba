"""A network in plain NumPy, written a second time and slowly, to hold rnnexp's own against."""

import numpy as np
import pytest

from rnnexp.layers import build_network
from rnnexp.tasks import Batch, EpisodeTask


class EveryStep(EpisodeTask):
    """Random tokens and random classes; the steps that `mask` (T, N) marks are scored, or all of them."""

    input_kind, target_kind, scored = "tokens", "classes", "every step"
    input_size, output_size = 5, 3

    def __init__(self, length=7, mask=None):
        super().__init__(eval_sequences=6)
        self.length, self.mask, self.drawn = length, mask, []

    @property
    def baseline(self):
        raise NotImplementedError

    def sample(self, batch_size, *, rng):
        shape = (self.length, batch_size)
        inputs, targets = rng.integers(self.input_size, size=shape), rng.integers(self.output_size, size=shape)
        batch = Batch(inputs, targets, np.ones(shape, bool) if self.mask is None else self.mask)
        self.drawn.append(batch)
        return batch


class Frozen:
    """An optimizer that changes nothing and keeps every gradient it is given."""

    def __init__(self):
        self.slots, self.gradients = {}, []

    def update(self, vector, gradient):
        self.gradients.append(gradient.copy())


class Reference:
    """What a tanh network computes, step by step, for real or complex parameters."""

    def __init__(self, network):
        self.shapes = network.parameters.shapes
        self.vector = network.parameters.vector.astype(np.float64)

    def unpack(self, vector):
        values, start = {}, 0
        for name, shape in self.shapes.items():
            stop = start + int(np.prod(shape))
            values[name] = vector[start:stop].reshape(shape)
            start = stop
        return values

    def run(self, inputs, vector=None, h=None):
        """States (T + 1, N, H), the one before the first step included, inputs of the cell and outputs."""
        values = self.unpack(self.vector if vector is None else vector)
        if inputs.dtype.kind == "f":
            xs = inputs @ values["embedding.W"]
        else:
            xs = np.stack([values["embedding.W"][tokens] for tokens in inputs])
        hidden = values["recurrent.b"].shape[0]
        states = [np.zeros((inputs.shape[1], hidden), xs.dtype) if h is None else h]
        for x in xs:
            pre = x @ values["recurrent.Wx"] + states[-1] @ values["recurrent.Wh"] + values["recurrent.b"]
            states.append(np.tanh(pre))
        outputs = np.stack([state @ values["output.W"] + values["output.b"] for state in states[1:]])
        return np.stack(states), xs, outputs

    def losses(self, batch, vector=None, h=None):
        """Loss of every step and sequence, (T, N)."""
        _, _, outputs = self.run(batch.inputs, vector, h)
        if batch.targets.dtype.kind == "f":
            return ((outputs - batch.targets) ** 2).mean(axis=-1)
        losses = np.empty(batch.targets.shape, outputs.dtype)
        for t, n in np.ndindex(batch.targets.shape):
            logits = outputs[t, n] - outputs[t, n].real.max()
            losses[t, n] = np.log(np.exp(logits).sum()) - logits[batch.targets[t, n]]
        return losses

    def mean_loss(self, batch, vector=None):
        return self.losses(batch, vector)[batch.mask].mean()

    def complex_step_gradient(self, batch):
        """Gradient of the mean loss over the scored steps, without a backward pass."""
        gradient, step = np.empty_like(self.vector), 1e-30
        for index in range(len(self.vector)):
            vector = self.vector.astype(complex)
            vector[index] += 1j * step
            gradient[index] = self.mean_loss(batch, vector).imag / step
        return gradient

    def window_gradient(self, batch, weights, start):
        """Gradient of sum(weights * losses), weights (T, N), without the paths that begin before step `start`.

        Every pair of a loss at step t and a step s <= t is a path of its own, through the product of the Jacobians
        dh_r / dh_{r-1} = Wh diag(1 - h_r^2) of the steps between (rows: the earlier state).
        """
        values = self.unpack(self.vector)
        states, xs, outputs = self.run(batch.inputs)
        total = {name: np.zeros(shape) for name, shape in self.shapes.items()}
        for t, n in np.argwhere(weights > 0):
            chances = np.exp(outputs[t, n] - outputs[t, n].max())
            error = chances / chances.sum()
            error[batch.targets[t, n]] -= 1.0
            error *= weights[t, n]
            total["output.W"] += np.outer(states[t + 1, n], error)
            total["output.b"] += error
            at_loss = values["output.W"] @ error
            for s in range(start, t + 1):
                jacobian = np.eye(len(at_loss))
                for r in range(s + 1, t + 1):
                    jacobian = jacobian @ (values["recurrent.Wh"] * (1.0 - states[r + 1, n] ** 2))
                dpre = (jacobian @ at_loss) * (1.0 - states[s + 1, n] ** 2)
                total["recurrent.Wx"] += np.outer(xs[s, n], dpre)
                total["recurrent.Wh"] += np.outer(states[s, n], dpre)
                total["recurrent.b"] += dpre
                total["embedding.W"][batch.inputs[s, n]] += values["recurrent.Wx"] @ dpre
        return np.concatenate([total[name].ravel() for name in self.shapes])


@pytest.fixture
def every_step():
    return EveryStep


@pytest.fixture
def frozen():
    return Frozen


@pytest.fixture
def reference():
    return Reference


@pytest.fixture
def network_for():
    """A small network for a task: hidden size 4, embedding 3, weights large enough to bend the tanh."""

    def make(task, *, hidden_size=4, seed=0, dtype=np.float64, scale=1.5, **settings):
        network = build_network(
            hidden_size=hidden_size,
            embedding_dim=settings.pop("embedding_dim", 3),
            output_size=task.output_size,
            input_size=task.input_size,
            input_kind=task.input_kind,
            rng=np.random.default_rng(seed),
            dtype=dtype,
            **settings,
        )
        network.parameters.vector *= scale
        network.parameters.values["output.b"][...] = np.linspace(-0.3, 0.4, task.output_size)
        return network

    return make


@pytest.fixture
def recording():
    """A task that behaves as `task` does and keeps every training batch that it gave."""

    def make(task):
        name = "sample" if isinstance(task, EpisodeTask) else "read"
        original, kept = getattr(task, name), []

        def recorded(*args, **kwargs):
            batch = original(*args, **kwargs)
            kept.append(batch)
            return batch

        setattr(task, name, recorded)
        return task, kept

    return make
