"""The sequences that networks learn: one file per family, NumPy only."""

from rnnexp.tasks.adding import Adding
from rnnexp.tasks.base import Baseline, Batch, EpisodeTask, Place, StreamTask, Task
from rnnexp.tasks.copying import CopyingMemory
from rnnexp.tasks.data_iterator import DataIterator
from rnnexp.tasks.digits import Digits
from rnnexp.tasks.echo import Echo
from rnnexp.tasks.flip_flop import FlipFlop
from rnnexp.tasks.influence import InfluenceBalancing
from rnnexp.tasks.latch import Latch
from rnnexp.tasks.long_lag import LongLag
from rnnexp.tasks.mackey_glass import MackeyGlass
from rnnexp.tasks.memorization import NoiselessMemorization
from rnnexp.tasks.multiplication import Multiplication
from rnnexp.tasks.parity import Parity
from rnnexp.tasks.permutation import RandomPermutation
from rnnexp.tasks.reber import Reber
from rnnexp.tasks.recall import Recall
from rnnexp.tasks.sine import Sine
from rnnexp.tasks.table import Table
from rnnexp.tasks.temporal_order import TemporalOrder
from rnnexp.tasks.text import Text
from rnnexp.tasks.trial import trial_text
from rnnexp.tasks.two_lag import TwoLag
from rnnexp.tasks.xor import Xor

__all__ = [
    "Adding",
    "Baseline",
    "Batch",
    "CopyingMemory",
    "DataIterator",
    "Digits",
    "Echo",
    "EpisodeTask",
    "FlipFlop",
    "InfluenceBalancing",
    "Latch",
    "LongLag",
    "MackeyGlass",
    "Multiplication",
    "NoiselessMemorization",
    "Parity",
    "Place",
    "RandomPermutation",
    "Reber",
    "Recall",
    "Sine",
    "StreamTask",
    "Table",
    "Task",
    "TemporalOrder",
    "Text",
    "TwoLag",
    "Xor",
    "trial_text",
]
