"""Whether a network fits a task, or a batch: said in words before anything is computed."""

from typing import Any, Protocol

import numpy as np

from ..checks import InvalidValue, one_of
from .base import Array
from .criteria import CRITERIA
from .network import INPUT_KINDS, Network, amount


class TaskSizes(Protocol):
    """What a network has to know of a task: every `Task` of `rnnexp.tasks` has it."""

    input_kind: str
    input_size: int
    output_size: int


class Sequences(Protocol):
    """What is looked at of a batch, a `Batch` of `rnnexp.tasks`."""

    inputs: Array
    targets: Array
    mask: Array


def in_words(input_kind: str, input_size: int, output_size: int) -> str:
    """Kind and sizes as a phrase."""
    return f"{amount(input_size, input_kind)} in, {output_size} out"


def check_sizes(task: Any) -> None:
    """Refuse what is not a task, a class among them."""
    if isinstance(task, type) or getattr(task, "input_kind", None) not in INPUT_KINDS:
        hint = f"an object, not its class: {task.__name__}()" if isinstance(task, type) else "those of rnnexp.tasks"
        raise InvalidValue("task", task, "a task, such as rnnexp.tasks.Recall(lag=8)", hint)


def check_network(network: Any) -> None:
    """Refuse what is not a network."""
    if not isinstance(network, Network):
        raise InvalidValue("network", network, "a Network", "build_network(task, hidden_size=10, rng=...) makes one")


def check_task(network: Network, task: TaskSizes) -> None:
    """Refuse a network whose inputs or outputs are not the task's.

    Raises
    ------
    InvalidValue
    """
    check_network(network)
    check_sizes(task)
    has, needed = network.sizes, (task.input_kind, task.input_size, task.output_size)
    if has != needed:
        allowed = f"made for the task {type(task).__name__} ({in_words(*needed)})"
        hint = "build_network(task, hidden_size=10, rng=...) takes kind and sizes from the task"
        raise InvalidValue("network", in_words(*has), allowed, hint)


def check_batch(network: Network, batch: Sequences, target_kind: str | None = None) -> None:
    """Refuse sequences (T, N, ...) whose inputs, or scored targets if their kind is given, do not fit the network.

    Raises
    ------
    InvalidValue
    """
    check_network(network)
    kind, size, outputs = network.sizes
    hint = "build_network(task, hidden_size=10, rng=...) makes a network for the task that the batch is of"
    inputs = np.asarray(batch.inputs)
    if kind == "tokens":
        fits = inputs.ndim == 2 and inputs.dtype.kind in "iu" and _within(inputs, size)
    else:
        fits = inputs.ndim == 3 and inputs.shape[-1] == size
    if not fits:
        allowed = f"tokens (T, N) from 0 to {size - 1}" if kind == "tokens" else f"values (T, N, {size})"
        raise InvalidValue("batch.inputs", _described(inputs), f"{allowed} for this network", hint)
    if target_kind is None:
        return
    one_of("target_kind", target_kind, CRITERIA)
    targets = np.asarray(batch.targets)
    if target_kind == "classes":
        fits = targets.ndim == 2 and targets.dtype.kind in "iu" and _within(targets[np.asarray(batch.mask)], outputs)
    else:
        fits = targets.ndim == 3 and targets.shape[-1] == outputs
    if not fits:
        allowed = f"classes (T, N) from 0 to {outputs - 1}" if target_kind == "classes" else f"values (T, N, {outputs})"
        raise InvalidValue("batch.targets", _described(targets), f"{allowed} for this network", hint)


def _within(numbers: Array, size: int) -> bool:
    """Whether all are from 0 to size - 1."""
    return not numbers.size or bool(numbers.min() >= 0 and numbers.max() < size)


def _described(array: Array) -> str:
    """What an array holds, in a few words."""
    known = array.dtype.kind in "iuf" and array.size
    return f"{array.dtype} {array.shape}" + (f" from {array.min():g} to {array.max():g}" if known else "")
