"""A notebook with every public name, which `mypy --strict` accepts (`make lint`) and which runs (`tests/test_api.py`)."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import rnnexp
from rnnexp import checks, gradients, layers, plot, report, tasks, training

streams: rnnexp.Streams = rnnexp.Streams(seed=0)
task: tasks.Task = tasks.Recall(lag=2, eval_sequences=20)
init = rnnexp.Initializers(recurrent=layers.Orthogonal(gain=0.9))
network: rnnexp.Network = rnnexp.build_network(task, hidden_size=4, cell="lstm", init=init, rng=streams.init)
held_out: tasks.Batch = task.evaluation(rng=streams.evaluation)
print(network, task, network.recurrent, sep="\n")

optimizers: list[rnnexp.training.optimizers.Optimizer]
optimizers = [rnnexp.SGD(0.1), rnnexp.Adagrad(), rnnexp.RMSProp(), rnnexp.Adam(), rnnexp.AdamW()]
cuts: list[rnnexp.algorithms.Truncation]
cuts = [rnnexp.TruncatedBPTT(length=2), rnnexp.RandomizedBPTT(), rnnexp.AdaptiveBPTT()]
study = rnnexp.GradientStudy(jacobians=True, lyapunov_exponents=2)


def look(network: rnnexp.Network) -> rnnexp.Study:
    """Study the gradient."""
    return study(network, held_out, task.target_kind)


reports: list[rnnexp.Report] = []
for optimizer, bptt in zip(optimizers, [*cuts, *cuts], strict=False):
    reports += rnnexp.train(
        network,
        task,
        optimizer=optimizer,
        bptt=bptt,
        steps=2,
        rng=streams.data,
        clipping=rnnexp.NormClipping(1.0) if bptt.length else rnnexp.ValueClipping(),
        schedule=training.Cosine(),
        regularizer=training.WeightDecay(),
        evaluate_on=held_out,
        study=look,
    )
last: rnnexp.Evaluation = rnnexp.evaluate(network, held_out, task.target_kind, task)
norms: rnnexp.NormsByLag = rnnexp.norms_by_lag(network, held_out, task.target_kind)
bias: gradients.TruncationBias = rnnexp.truncation_bias(network, held_out, task.target_kind, length=2)
rate: float = rnnexp.mean_field(1.2).rate + norms.decay_rate + bias.cosine + last.loss
exponents: list[float] = rnnexp.lyapunov(network, held_out, 2).tolist()
exponents += rnnexp.lyapunov_exponents(network.recurrent.jacobians(), 2).tolist()
print(reports[0], last, norms, rate, exponents, sep="\n")
plot.losses(reports[:3], task, title="the first optimizer")


class Leaky(rnnexp.Recurrent):
    """h_t = (1 - rate) h_{t-1} + rate tanh(x_t Wx + h_{t-1} Wh)."""

    def __init__(self, Wx: layers.Array, Wh: layers.Array, *, rate: float = 0.3, stateful: bool = False) -> None:
        super().__init__([Wx, Wh], hidden_size=Wh.shape[-1], stateful=stateful)
        self.rate = checks.number("rate", rate, above=0)


steps: list[object] = [rnnexp.RNN, rnnexp.GRU, rnnexp.LSTM]
windows: list[type[rnnexp.Recurrent]] = [rnnexp.TimeRNN, rnnexp.TimeGRU, rnnexp.TimeLSTM]
for cell in windows:
    rnnexp.check_cell(cell, rng=np.random.default_rng(0))
table = rnnexp.TimeEmbedding(np.eye(3))
outputs: layers.Array = rnnexp.TimeLinear(np.ones((3, 2))).forward(table.forward([[0], [2]]))
saved, loaded, recorded = rnnexp.save_weights, rnnexp.load_weights, report.runs
with TemporaryDirectory() as folder:
    print(Path(folder), steps, Leaky, outputs, saved, loaded, recorded)
