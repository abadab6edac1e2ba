"""Algorithms that estimate the gradient: truncated BPTT with fixed, randomized and adaptive windows."""

from rnnexp.algorithms.adaptive import AdaptiveBPTT
from rnnexp.algorithms.artbp import RandomizedBPTT
from rnnexp.algorithms.base import Algorithm, Segment, Truncation
from rnnexp.algorithms.batches import training_gradients
from rnnexp.algorithms.bptt import TruncatedBPTT

__all__ = [
    "AdaptiveBPTT",
    "Algorithm",
    "RandomizedBPTT",
    "Segment",
    "TruncatedBPTT",
    "Truncation",
    "training_gradients",
]
