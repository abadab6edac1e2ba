"""The data of stacked networks: K windows (T, N, ...) as one (T, K, N, ...)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnexp.tasks import EpisodeTask
from rnnexp.training.drawn import Drawn
from rnnexp.training.evaluation import scored_part
from rnnexp.training.trainer import Trainer

Array = NDArray[Any]


@dataclass
class Joined:
    """The next window of K networks.

    Attributes
    ----------
    inputs : array (T, K, N, ...)
    scored : slice or index array
        The scored steps.
    targets, mask : arrays (S, K, N, ...)
        At these steps.
    first : Drawn
        The first network's window; the others differ in their numbers only.
    """

    inputs: Array
    scored: Any
    targets: Array
    mask: Array
    first: Drawn

    @classmethod
    def of(cls, drawn: Sequence[Drawn]) -> "Joined":
        """Windows that `fit_together`."""
        scored, _ = scored_part(drawn[0].chunk.mask)
        inputs = stack_arrays([one.chunk.inputs for one in drawn])
        targets, mask = (
            stack_arrays(one)
            for one in ([d.chunk.targets[scored] for d in drawn], [d.chunk.mask[scored] for d in drawn])
        )
        return cls(inputs, scored, targets, mask, drawn[0])


def draw_episodes(trainers: Sequence[Trainer]) -> Joined | None:
    """The trainers' next episodes, drawn at once; None if the task can't do that, or if they are not read whole.

    Each trainer's generator advances as if it had drawn alone.
    """
    data, segment = trainers[0].data, trainers[0].algorithm.segment(rng=trainers[0].truncation)
    task = data.task
    if not (isinstance(task, EpisodeTask) and data.fresh and _draws_copies(type(task))):
        return None
    if any(type(trainer.data.task) is not type(task) for trainer in trainers):
        return None
    batch = task.sample_copies(data.batch_size, rngs=[trainer.data.rng for trainer in trainers])
    if batch is None:
        return None
    batch = batch.cast(data.dtype)
    whole = segment.new is None or len(batch.inputs) <= segment.new
    for copy, trainer in enumerate(trainers):
        trainer.data.batch = None if whole else batch.at((slice(None), copy))
        trainer.data.position = len(batch.inputs) if whole else 0
    if not whole:
        return None
    scored, _ = scored_part(batch.mask[:, 0])
    first = Drawn(batch.at((slice(None), 0)), True, segment)
    return Joined(batch.inputs, scored, batch.targets[scored], batch.mask[scored], first)


@cache
def _draws_copies(task: type[EpisodeTask]) -> bool:
    """Whether a task's `sample_copies` matches its `sample`: a subclass may have overridden only the latter."""
    return next("sample_copies" in vars(kind) for kind in task.__mro__ if {"sample", "sample_copies"} & set(vars(kind)))


def stack_arrays(arrays: Sequence[Array]) -> Array:
    """K arrays (T, ...) as one (T, K, ...)."""
    first = arrays[0]
    joined = np.empty((first.shape[0], len(arrays), *first.shape[1:]), first.dtype)
    for copy_, array in enumerate(arrays):
        joined[:, copy_] = array
    return joined


def fit_together(drawn: Sequence[Drawn]) -> bool:
    """Whether windows can be stacked: same shape, same position in the sequence, same scored steps."""
    first = drawn[0]
    shapes, fresh = (first.chunk.inputs.shape, first.chunk.targets.shape), first.fresh
    for one in drawn:
        if one.fresh != fresh or (one.chunk.inputs.shape, one.chunk.targets.shape) != shapes:
            return False
    return same_steps([one.chunk.mask for one in drawn])


def same_steps(masks: Sequence[Array]) -> bool:
    """Whether masks (T, N) score the same steps."""
    others = [mask for mask in masks if mask is not masks[0]]
    if not others:
        return True
    any_scored = np.logical_or.reduce(stack_arrays([masks[0], *others]), axis=-1)
    return bool((any_scored == any_scored[:, :1]).all())
