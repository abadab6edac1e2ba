"""Algorithms for the gradient: backpropagation through time in windows, and rules that carry an influence forward."""

from rnnexp.algorithms.adaptive import AdaptiveBPTT
from rnnexp.algorithms.artbp import RandomizedBPTT
from rnnexp.algorithms.base import Algorithm, Segment, Truncation
from rnnexp.algorithms.batches import training_gradients
from rnnexp.algorithms.bptt import TruncatedBPTT
from rnnexp.algorithms.carried import CarriedForward
from rnnexp.algorithms.influence import InfluenceMatrix
from rnnexp.algorithms.rflo import RFLO
from rnnexp.algorithms.rtrl import RTRL
from rnnexp.algorithms.snap import SnAp
from rnnexp.algorithms.uoro import UORO

__all__ = [
    "RFLO",
    "RTRL",
    "UORO",
    "AdaptiveBPTT",
    "Algorithm",
    "CarriedForward",
    "InfluenceMatrix",
    "RandomizedBPTT",
    "Segment",
    "SnAp",
    "TruncatedBPTT",
    "Truncation",
    "training_gradients",
]
