"""Training: truncated BPTT, optimizers, schedules, clipping, regularizers, evaluation, and the loop that reports."""

from rnnexp.training.clipping import NoClipping, NormClipping, ValueClipping
from rnnexp.training.evaluation import Evaluation, evaluate
from rnnexp.training.loop import Run, train
from rnnexp.training.optimizers import SGD, Adagrad, Adam, AdamW, RMSProp
from rnnexp.training.regularizers import NoRegularizer, Omega, WeightDecay
from rnnexp.training.sampling import Continuation
from rnnexp.training.schedules import Constant, Cosine, StepDecay
from rnnexp.training.stacked import StackedTrainer, train_together
from rnnexp.training.stopping import NoStopping, Patience, Solved, Stopping
from rnnexp.training.streams import Streams
from rnnexp.training.trainer import Report

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Constant",
    "Continuation",
    "Cosine",
    "Evaluation",
    "NoClipping",
    "NoRegularizer",
    "NoStopping",
    "NormClipping",
    "Omega",
    "Patience",
    "RMSProp",
    "Report",
    "Run",
    "Solved",
    "StackedTrainer",
    "StepDecay",
    "Stopping",
    "Streams",
    "ValueClipping",
    "WeightDecay",
    "evaluate",
    "train",
    "train_together",
]
