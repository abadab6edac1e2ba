"""What components share: a `repr` that shows their configuration, and words for a wrong argument or a wrong `rng`."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any, ClassVar, ParamSpec, TypeVar

from .checks import UnknownArgument, check_rng

P = ParamSpec("P")
R = TypeVar("R")


class Shown:
    """An object whose `repr` shows the arguments of its constructor, as far as it keeps them by their names.

    Arguments left at None, False or an empty text and empty mappings are left out. Numbers of a result, a dataclass,
    have six digits.
    """

    __slots__ = ()
    #: Properties that are shown as well.
    also: ClassVar[tuple[str, ...]] = ()
    #: Said after the arguments.
    remark: ClassVar[str] = ""

    def configuration(self) -> dict[str, Any]:
        """The arguments of the constructor by name, as they are now."""
        names = inspect.signature(type(self)).parameters
        return {name: getattr(self, name) for name in names if hasattr(self, name)}

    def __repr__(self) -> str:
        defaults = {name: item.default for name, item in inspect.signature(type(self)).parameters.items()}
        given = self.configuration() | {name: getattr(self, name) for name in self.also}
        digits = 6 if is_dataclass(self) else None
        shown = [
            f"{name}={short(value, digits)}"
            for name, value in given.items()
            if not _unsaid(value, defaults.get(name, inspect.Parameter.empty))
        ]
        return f"{type(self).__name__}({', '.join(shown)})" + (f": {self.remark}" if self.remark else "")


def _unsaid(value: Any, default: Any) -> bool:
    """Whether an argument is left out of `repr`."""
    if isinstance(value, dict):
        return not value
    nothing = value is None or value is False or (isinstance(value, str) and not value)
    return nothing and (default is value or default is inspect.Parameter.empty or default == "" == value)


def short(value: Any, digits: int | None = None) -> str:
    """A value as `repr` shows it, an array by its type and shape, floats with so many digits if given."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        if value.shape:
            return f"<{value.dtype} {value.shape}>"
        value = value.item()
    if isinstance(value, float) and digits:
        return f"{value:.{digits}g}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {short(each, digits)}" for key, each in value.items()) + "}"
    if isinstance(value, type):
        return value.__name__
    return repr(value)


class Component(Shown):
    """A part of an experiment that has a configuration; its constructor, and methods with an `rng`, are `checked`."""

    __slots__ = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, function in list(vars(cls).items()):
            if inspect.isfunction(function) and (name == "__init__" or "rng" in inspect.signature(function).parameters):
                setattr(cls, name, checked(function))


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """`function` with `known_arguments`, refusing an `rng` that is not a Generator."""
    inner = known_arguments(function)

    @functools.wraps(function)
    def call(*args: P.args, **given: P.kwargs) -> R:
        if "rng" in given:
            check_rng(given["rng"])
        return inner(*args, **given)

    return call


def known_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, answering an unknown keyword with the nearest one that it has."""
    parameters = inspect.signature(function).parameters
    if any(item.kind is item.VAR_KEYWORD for item in parameters.values()):
        return function

    @functools.wraps(function)
    def call(*args: P.args, **given: P.kwargs) -> R:
        for key in given:
            if key not in parameters:
                constructor = function.__name__ == "__init__"
                name = type(args[0]).__name__ if constructor else function.__qualname__
                raise UnknownArgument(name, key, [name for name in parameters if name != "self"])
        return function(*args, **given)

    return call
