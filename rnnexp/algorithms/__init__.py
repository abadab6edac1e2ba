"""How a gradient is had: by windows of BPTT, with randomized and with adaptive truncation."""

from rnnexp.algorithms.adaptive import AdaptiveBPTT
from rnnexp.algorithms.artbp import RandomizedBPTT
from rnnexp.algorithms.base import Segment, Truncation
from rnnexp.algorithms.bptt import TruncatedBPTT

__all__ = ["AdaptiveBPTT", "RandomizedBPTT", "Segment", "TruncatedBPTT", "Truncation"]
