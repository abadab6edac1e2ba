"""Training: truncated BPTT, optimizers, clipping, evaluation, and the loop that reports."""

from rnnexp.training.bptt import TruncatedBPTT
from rnnexp.training.clipping import NoClipping, NormClipping
from rnnexp.training.evaluation import Evaluation, evaluate
from rnnexp.training.loop import Report, train
from rnnexp.training.optimizers import SGD, Adam
from rnnexp.training.streams import Streams

__all__ = [
    "SGD",
    "Adam",
    "Evaluation",
    "NoClipping",
    "NormClipping",
    "Report",
    "Streams",
    "TruncatedBPTT",
    "evaluate",
    "train",
]
