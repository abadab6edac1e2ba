"""A notebook with every public name: `make lint` has `mypy --strict` accept it, `tests/test_api.py` runs it."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import rnnexp
from rnnexp import analysis, checks, gradients, layers, plot, report, tasks, training
from rnnexp.algorithms import Algorithm
from rnnexp.training.optimizers import Optimizer

Array = NDArray[Any]

streams: rnnexp.Streams = rnnexp.Streams(seed=0)
task: tasks.Task = tasks.Recall(lag=2, eval_sequences=20)
init = rnnexp.Initializers(recurrent=layers.Orthogonal(gain=0.9))
network: rnnexp.Network = rnnexp.build_network(task, hidden_size=4, cell="lstm", init=init, rng=streams.init)
held_out: tasks.Batch = task.evaluation(rng=streams.evaluation)
print(network, task, network.recurrent, sep="\n")

optimizers: list[Optimizer] = [rnnexp.SGD(0.1), rnnexp.Adagrad(), rnnexp.RMSProp(), rnnexp.Adam(), rnnexp.AdamW()]
cuts: list[Algorithm] = [rnnexp.TruncatedBPTT(length=2), rnnexp.RandomizedBPTT(), rnnexp.AdaptiveBPTT()]
cuts += [rnnexp.RTRL(), rnnexp.SnAp(order=2), rnnexp.UORO()]
print(rnnexp.RFLO())
study = rnnexp.GradientStudy(jacobians=True, lyapunov_exponents=2)


def look(network: rnnexp.Network) -> rnnexp.Study:
    """Study the gradient."""
    return study(network, held_out, task.target_kind)


reports: list[rnnexp.Report] = []
for optimizer, algorithm in zip([*optimizers, rnnexp.SGD()], cuts, strict=True):
    reports += rnnexp.train(
        network,
        task,
        optimizer=optimizer,
        algorithm=algorithm,
        steps=2,
        rng=streams.data,
        clipping=rnnexp.NormClipping(1.0) if algorithm.length else rnnexp.ValueClipping(),
        schedule=training.Cosine(),
        regularizer=training.WeightDecay(),
        evaluate_on=held_out,
        study=look,
    )
last: rnnexp.Evaluation = rnnexp.evaluate(network, held_out, task.target_kind, task)
norms: rnnexp.NormsByLag = rnnexp.norms_by_lag(network, held_out, task.target_kind)
bias: gradients.TruncationBias = rnnexp.truncation_bias(network, held_out, task.target_kind, length=2)
signal: gradients.SignalToNoise = rnnexp.gradient_snr(network, [held_out, held_out], task.target_kind, length=2)
by_parameter = rnnexp.parameter_bias(network, held_out, task.target_kind, length=2)
network.reset_state()
network.forward(held_out.inputs)
carried = network.recurrent.state or ()
stale: NDArray[Any] = rnnexp.state_staleness(network, held_out.inputs, carried)
matrix: gradients.AlignmentMatrix = rnnexp.alignment_matrix(network, held_out, cuts[:4], rng=streams.batches)
plot.alignment(matrix)
print(signal, by_parameter, stale, matrix)
rate: float = rnnexp.mean_field(1.2).rate + norms.decay_rate + bias.cosine + last.loss
exponents: list[float] = rnnexp.lyapunov(network, held_out, 2).tolist()
exponents += rnnexp.lyapunov_exponents(network.recurrent.jacobians(), 2).tolist()
print(reports[0], last, norms, rate, exponents, sep="\n")
left, right = Figure(layout="constrained").subplots(1, 2)
plot.losses(reports[:3], task, title="the first optimizer", ax=left)
plot.eigenvalues(reports[:3], task, subtitle="the first optimizer", ax=right)
plot.hidden_units(reports[:3], task)
plot.gradient_heat_map(reports[:3], task, bptt_length=2)
plot.gradient_over_training(reports[:3], task, bptt_length=2, ax=[left, right])

states: rnnexp.StateTrajectories = rnnexp.state_trajectories(network, held_out)
components: rnnexp.PrincipalComponents = rnnexp.principal_components(states)
found: rnnexp.FixedPoints = rnnexp.fixed_points(network, states, x=0, starts=10, rng=np.random.default_rng(0))
points: list[rnnexp.FixedPoint] = list(found)
sensitivity: rnnexp.NormsByLag = analysis.sensitivity(network, held_out)
assert rnnexp.sensitivity is analysis.sensitivity
print(states, components, found, points, sensitivity, sep="\n")


def read_back(folder: str) -> rnnexp.Trained:
    """A trained network, and what it says about other settings."""
    trained = rnnexp.load(folder)
    elsewhere: rnnexp.Evaluation = trained.evaluate(lag=3)
    further: str | rnnexp.Continuation = trained.generate(None, length=10)
    print(elsewhere, further, trained.metrics)
    return trained


try:
    read_back("no run")
except checks.UserError as error:
    print(error)


class Leaky(rnnexp.Recurrent):
    """h_t = (1 - rate) h_{t-1} + rate tanh(x_t Wx + h_{t-1} Wh)."""

    def __init__(self, Wx: Array, Wh: Array, *, rate: float = 0.3, **options: Any) -> None:
        super().__init__((Wx, Wh), hidden_size=Wh.shape[-1], **options)
        self.rate = checks.number("rate", rate, above=0)

    @staticmethod
    def parameter_shapes(input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
        """Of Wx and Wh."""
        return {"Wx": (input_size, hidden_size), "Wh": (hidden_size, hidden_size)}

    def step(self, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        """One step."""
        (Wx, Wh), (h,) = self.params[:2], state
        return ((1 - self.rate) * h + self.rate * np.tanh(x @ Wx + h @ Wh),)

    def step_back(
        self, x: Array, state: tuple[Array, ...], dstate: tuple[Array, ...]
    ) -> tuple[Array, tuple[Array, ...], list[Array]]:
        """Back through it."""
        (Wx, Wh), (h,), (dh,) = self.params[:2], state, dstate
        dpre = self.rate * dh * (1 - np.tanh(x @ Wx + h @ Wh) ** 2)
        return dpre @ Wx.T, ((1 - self.rate) * dh + dpre @ Wh.T,), [x.mT @ dpre, h.mT @ dpre]


windows: list[type[rnnexp.Recurrent]] = [rnnexp.TimeRNN, rnnexp.TimeGRU, rnnexp.TimeLSTM, Leaky]
for cell in windows:
    rnnexp.check_cell(cell, rng=np.random.default_rng(0))
print(rnnexp.build_network(task, hidden_size=4, cell=Leaky, cell_options={"rate": 0.5}, rng=streams.init))
wx, wh, b = np.ones((2, 3)), np.eye(3), np.zeros(3)
print(rnnexp.RNN(wx, wh, b).forward(np.ones((1, 2)), np.zeros((1, 3))))
print(rnnexp.GRU([wx] * 3, [wh] * 3, [b] * 3, b), rnnexp.LSTM([wx] * 4, [wh] * 4, [b] * 4), sep="\n")
table = rnnexp.TimeEmbedding(np.eye(3))
outputs: Array = rnnexp.TimeLinear(np.ones((3, 2))).forward(table.forward([[0], [2]]))
with TemporaryDirectory() as folder:
    try:
        rnnexp.save_weights(network, Path(folder, "weights.npz"))
        rnnexp.load_weights(network, Path(folder, "weights.npz"))
        print(len(report.runs("rnnexp", uri=f"sqlite:///{folder}/mlflow.db")))
    except checks.UserError as error:
        print(error.message())
