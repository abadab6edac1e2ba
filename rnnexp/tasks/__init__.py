"""The sequences that networks learn: one file per family, NumPy only."""

from rnnexp.tasks.adding import Adding
from rnnexp.tasks.base import Baseline, Batch, EpisodeTask, Place, StreamTask, Task
from rnnexp.tasks.echo import Echo
from rnnexp.tasks.influence import InfluenceBalancing
from rnnexp.tasks.recall import Recall
from rnnexp.tasks.text import Text
from rnnexp.tasks.trial import trial_text

__all__ = [
    "Adding",
    "Baseline",
    "Batch",
    "Echo",
    "EpisodeTask",
    "InfluenceBalancing",
    "Place",
    "Recall",
    "StreamTask",
    "Task",
    "Text",
    "trial_text",
]
