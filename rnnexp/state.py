"""States as plain data: copies of everything that changes, and how each is checked before it is put back."""

from typing import Any

import numpy as np
from numpy.random import Generator, SeedSequence
from numpy.typing import NDArray

from rnnexp.checks import UserError, show

Array = NDArray[Any]
State = dict[str, Any]
PLAIN = (bool, int, float, str)


def unfit(problem: str) -> UserError:
    """The error for a state that another configuration, or another program, wrote."""
    return UserError(
        f"the checkpoint does not fit: {problem}", "continue with the configuration that it was written by"
    )


def copied(value: Any, where: str = "state") -> Any:
    """A value as dicts, lists, arrays and plain values of its own; a `TypeError` where something else is in it."""
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
    if value is None or isinstance(value, PLAIN):
        return value
    raise TypeError(f"{where} must be made of dicts, arrays of numbers and plain values, got {type(value).__name__}")


def like(own: Any, saved: Any, where: str) -> Any:
    """A copy of what `copied` made of a value such as `own`; a `UserError` where it is not such a value."""
    if isinstance(own, Generator):
        return restored_generator(own, saved, where)
    if isinstance(own, np.ndarray):
        return array_like(saved, where, own.shape, own.dtype)
    if isinstance(own, dict):
        if not isinstance(saved, dict) or saved.keys() != own.keys():
            given = ", ".join(map(str, saved)) if isinstance(saved, dict) else show(saved)
            raise unfit(f"{where} holds {given or 'nothing'}, here it is {', '.join(own) or 'nothing'}")
        return {key: like(item, saved[key], f"{where}/{key}") for key, item in own.items()}
    if isinstance(own, list | tuple):
        return type(own)(expected(saved, where, list))
    if isinstance(own, np.generic):
        return type(own)(expected(saved, where, PLAIN))
    return saved if own is None else expected(saved, where, (int, float) if type(own) is float else type(own))


def expected(value: Any, where: str, kind: Any, *, at_least: int | None = None) -> Any:
    """`value` if it is of that kind; true and false are no numbers."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise unfit(f"{where} is {show(value)}")
    if at_least is not None and value < at_least:
        raise unfit(f"{where} is {show(value)}, the least is {at_least}")
    return value


def entry(state: Any, name: str, where: str = "") -> Any:
    """An item of a dict that must have it."""
    if not isinstance(state, dict) or name not in state:
        raise unfit(f"it has no {where + '/' if where else ''}{name}")
    return state[name]


def array_like(saved: Any, where: str, shape: tuple[int | None, ...], dtype: Any) -> Array:
    """A copy of an array of that shape, None being any number of steps, and of that dtype or one of those kinds."""
    if not isinstance(saved, np.ndarray):
        raise unfit(f"{where} is not an array")
    right = saved.dtype.kind in dtype if isinstance(dtype, str) else saved.dtype == dtype
    if not right:
        raise unfit(f"{where} holds numbers of type {saved.dtype}, not of the type that is needed here")
    if len(saved.shape) != len(shape) or any(m not in (n, None) for n, m in zip(saved.shape, shape, strict=True)):
        needed = str(shape).replace("None", "any")
        raise unfit(f"{where} has shape {saved.shape}, here it is {needed}")
    return saved.copy("K")


def generator_state(rng: Generator) -> State:
    """Where a generator has got to, and how many children it has spawned."""
    bits = rng.bit_generator
    sequence = bits.seed_seq
    seeds = copied(sequence.state) if isinstance(sequence, SeedSequence) else None
    return {"bits": copied(bits.state), "seeds": seeds}


def restored_generator(rng: Generator, saved: Any, where: str) -> Generator:
    """A new generator of the kind of `rng` that goes on where the saved one was."""
    own = rng.bit_generator
    sequence: Any = own.seed_seq
    try:
        seeds = saved["seeds"]
        if seeds is not None:
            seeds = like({**copied(sequence.state), "entropy": None, "spawn_key": ()}, seeds, where)
            entropy = expected(seeds["entropy"], where, (int, list))
            if seeds["pool_size"] != sequence.pool_size or entropy == []:  # the pool's size in memory
                raise ValueError("other seeds")
            sequence = SeedSequence(**seeds)
        like(copied(own.state), saved["bits"], where)
        bits: Any = type(own)(sequence)
        bits.state = saved["bits"]
    except UserError:
        raise
    except Exception as error:
        problem = str(error).strip() or type(error).__name__
        raise unfit(f"{where} is no state of a {type(own).__name__}: {problem}") from None
    return Generator(bits)
