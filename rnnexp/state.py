"""States as plain data: copies of everything that changes, and how each is validated before it is restored."""

import dataclasses
from dataclasses import dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
from numpy.random import Generator, SeedSequence
from numpy.typing import NDArray

from rnnexp.checks import UserError, show

Array = NDArray[Any]
State = dict[str, Any]
PLAIN = (bool, int, float, str)
KINDS = {bool: "true or false", int: "an integer", float: "a number", str: "a string", list: "a list", dict: "a dict"}


class Shaped:
    """In a template: an array of this shape, None being any shape or an axis of any length, of one of these types."""

    def __init__(self, shape: tuple[int | None, ...] | None, *types: Any) -> None:
        self.shape, self.types = shape, types


@dataclass(frozen=True)
class Maybe:
    """In a template: None, or what matches `template`."""

    template: Any


@dataclass(frozen=True)
class Many:
    """In a template: a list of any length whose items match `item`."""

    item: Any


@dataclass(frozen=True)
class Named:
    """In a template: a dict with any keys whose values match `item`."""

    item: Any


def unfit(problem: str) -> UserError:
    """The error for a state that another configuration, or another program, wrote."""
    return UserError(
        f"the checkpoint does not fit: {problem}", "continue with the configuration that it was written by"
    )


def copied(value: Any, where: str = "state") -> Any:
    """A copy of a value as dicts, lists, arrays and plain values; a `TypeError` where something else is in it."""
    if value is None or type(value) in PLAIN:  # most are
        return value
    if isinstance(value, Generator):
        return generator_state(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return value.copy("K")
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: copied(item, f"{where}/{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [copied(item, where) for item in value]
    if isinstance(value, PLAIN):
        return value
    raise TypeError(f"{where} must be made of dicts, arrays of numbers and plain values, got {type(value).__name__}")


def matching(template: Any, saved: Any, where: str = "") -> Any:
    """A copy of a saved state that has the structure, types and shapes of a template.

    Parameters
    ----------
    template : nested dicts, lists, arrays, generators and plain values
        A component's own state, or what it is made of. `Shaped`, `Maybe`, `Many` and `Named` say what is free in it;
        the items of a list are free, and None leaves a value unchecked, and not copied. In place of a dict there may be
        a dataclass, of which an instance is made, each field as annotated.
    saved : anything
        What `copied` made, if all is well.
    where : str
        The path to it, for the error.

    Raises
    ------
    UserError
        Naming the first part that does not match.
    """
    if isinstance(template, Maybe):
        return None if saved is None else matching(template.template, saved, where)
    if isinstance(template, Many):
        return [matching(template.item, item, f"{where}/{at}") for at, item in enumerate(_of_type(list, saved, where))]
    if isinstance(template, Named):
        return {
            key: matching(template.item, item, f"{where}/{key}") for key, item in _of_type(dict, saved, where).items()
        }
    if isinstance(template, Generator):
        return _restored_generator(template, saved, where)
    if isinstance(template, np.ndarray):
        return _matching_array(Shaped(template.shape, template.dtype), saved, where)
    if isinstance(template, Shaped):
        return _matching_array(template, saved, where)
    if isinstance(template, dict):
        prefix = f"{where}/" if where else ""
        for name in [*template, *_of_type(dict, saved, where or "it")]:
            if name not in saved:
                raise unfit(f"{prefix}{name} is missing")
            if name not in template:
                raise unfit(f"{prefix}{name} has no counterpart in this configuration")
        return {name: matching(item, saved[name], f"{prefix}{name}") for name, item in template.items()}
    if isinstance(template, type) and dataclasses.is_dataclass(template):
        kinds = get_type_hints(template)
        fields = {item.name: _of_annotation(kinds[item.name]) for item in dataclasses.fields(template)}
        return template(**matching(fields, saved, where))
    if isinstance(template, list | tuple):
        return type(template)(_of_type(list, saved, where))
    if isinstance(template, np.generic):
        return type(template)(_of_type(type(template.item()), saved, where))
    return saved if template is None else _of_type(type(template), saved, where)


def _of_annotation(kind: Any) -> Any:
    """The template of a dataclass's field: an instance, array, number or text, a dict of one of them, or None."""
    if isinstance(kind, UnionType):
        return Maybe(_of_annotation(get_args(kind)[0]))
    if get_origin(kind) is dict:
        return Named(_of_annotation(get_args(kind)[1]))
    if get_origin(kind) is np.ndarray:
        return Shaped(None, np.number, np.bool_)
    return kind if dataclasses.is_dataclass(kind) else kind()


def _of_type(kind: Any, saved: Any, where: str) -> Any:
    """`saved` if it is of that type; an integer is a number too, but true and false are neither."""
    if not isinstance(saved, (int, float) if kind is float else kind) or (isinstance(saved, bool) and kind is not bool):
        raise unfit(f"{where} is {show(saved)}, not {KINDS.get(kind, kind.__name__)}")
    return saved


def _matching_array(template: Shaped, saved: Any, where: str) -> Array:
    if not isinstance(saved, np.ndarray):
        raise unfit(f"{where} is not an array")
    if not any(saved.dtype == t if isinstance(t, np.dtype) else np.issubdtype(saved.dtype, t) for t in template.types):
        raise unfit(f"{where} holds numbers of type {saved.dtype}, which is not the type needed here")
    shape = saved.shape if template.shape is None else template.shape
    if len(saved.shape) != len(shape) or any(m not in (n, None) for n, m in zip(saved.shape, shape, strict=True)):
        raise unfit(f"{where} has shape {saved.shape}, here it is {str(shape).replace('None', 'any')}")
    return saved.copy("K")


def generator_state(rng: Generator) -> State:
    """The state of a generator, and the number of children it has spawned."""
    bits = rng.bit_generator
    sequence = bits.seed_seq
    seeds = copied(sequence.state) if isinstance(sequence, SeedSequence) else None
    return {"bits": copied(bits.state), "seeds": seeds}


def _restored_generator(rng: Generator, saved: Any, where: str) -> Generator:
    """A new generator of the kind of `rng` that continues where the saved one was."""
    own = rng.bit_generator
    sequence: Any = own.seed_seq
    try:
        state = matching({"bits": copied(own.state), "seeds": None}, saved, where)
        if (seeds := state["seeds"]) is not None:
            seeds = matching({**copied(sequence.state), "entropy": None, "spawn_key": ()}, seeds, f"{where}/seeds")
            whole = type(seeds["entropy"]) in (int, list) and seeds["entropy"] != []
            if seeds["pool_size"] != sequence.pool_size or not whole:  # the pool's size in memory
                raise ValueError("other seeds")
            sequence = SeedSequence(**seeds)
        bits: Any = type(own)(sequence)
        bits.state = state["bits"]
    except UserError:
        raise
    except Exception as error:
        problem = str(error).strip() or type(error).__name__
        raise unfit(f"{where} is not a state of {type(own).__name__}: {problem}") from None
    return Generator(bits)
