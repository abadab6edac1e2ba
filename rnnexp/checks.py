"""One form of error message for all user input: key, value, what is allowed, what to try."""

import difflib
import math
import numbers
import re
from collections.abc import Collection, Iterable
from typing import Any

#: Of figures: those of matplotlib that show transparent bands as they are.
FORMATS = ("png", "pdf", "svg", "jpg", "tif", "webp")


class UserError(Exception):
    """A mistake that the user can correct: `problem` and `hint`, a line each, reported without a traceback."""

    def __init__(self, problem: str, hint: str = "") -> None:
        problem, hint = one_line(problem), one_line(hint)
        super().__init__(problem, hint)
        self.problem, self.hint = problem, hint

    def __str__(self) -> str:
        return f"{self.problem}\n{self.hint}" if self.hint else self.problem

    def message(self) -> str:
        """The lines for stderr."""
        return f"rnnexp: {self.problem}\n{self.hint or 'python -m rnnexp --help shows every key with its default'}"


class InvalidValue(UserError, ValueError):
    """A setting whose value is not allowed; `allowed` completes "must be ..."."""

    def __init__(self, key: str, value: object, allowed: str, hint: str = "") -> None:
        super().__init__(f"{key} must be {allowed}, got {show(value)}", hint or _as_range(key, value))
        self.key, self.value, self.allowed, self.given_hint = key, value, allowed, hint

    def __reduce__(self) -> tuple[type, tuple[str, object, str, str]]:
        return type(self), (self.key, self.value, self.allowed, self.given_hint)

    def under(self, prefix: str) -> "InvalidValue":
        """The same error with the full key, as on the command line: ``prefix.key``."""
        return InvalidValue(f"{prefix}.{self.key}", self.value, self.allowed, self.given_hint)


class UnknownArgument(UserError, TypeError):
    """A keyword that a function or a class does not take; the hint is the nearest one that it does."""

    def __init__(self, function: str, key: str, known: Iterable[str]) -> None:
        known = list(known)
        hint = nearest(key, known) or f"its arguments are {', '.join(known) or 'none'}"
        super().__init__(f"{function} takes no argument '{key}'", hint)
        self.function, self.key, self.known = function, key, known

    def __reduce__(self) -> tuple[type, tuple[str, str, list[str]]]:
        return type(self), (self.function, self.key, self.known)


def _as_range(key: str, value: object) -> str:
    """How a sweep writes what was typed as a range: ``seed=0-4``, ``seed=0..4``, ``seed=0:5``, ``lag=5:30:5``."""
    found = re.fullmatch(r"(\d{1,9})(-|\.\.\.?|:)(\d{1,9})(?::(\d{1,9}))?", value) if isinstance(value, str) else None
    if found is None or (found[4] and found[2] != ":"):
        return ""
    stop = int(found[3]) + (found[2] != ":")  # a colon as in Python: the end is not included
    step = f",{found[4]}" if found[4] else ""
    return f"a sweep over a range: -m '{key}=range({int(found[1])},{stop}{step})', which leaves out {stop}"


def one_line(text: str, width: int = 2000) -> str:
    """Untrusted text as one printable line of at most `width` characters."""
    return printable(text if len(text) <= width else f"{text[: width - 3]}...")


def printable(text: str) -> str:
    """Text as one line that does nothing to a terminal: ESC, a new line and the like are written as in Python."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def show(value: Any, width: int = 80) -> str:
    """A value as written on the command line: one line of at most `width` characters."""
    if value is None or isinstance(value, bool):
        text = {None: "null", True: "true", False: "false"}[value]
    elif isinstance(value, str):
        text = value if value.strip() and value.isprintable() and not _numeric(value) else repr(value)
    elif isinstance(value, numbers.Number) and hasattr(value, "item"):
        text = str(value)  # NumPy's numbers, without their type
    else:
        try:
            text = " ".join(repr(value).split())
        except ValueError:  # Python refuses to print integers of several thousand digits
            text = "a number with too many digits"
    return text if len(text) <= width else text[: width - 3] + "..."


def _numeric(text: str) -> bool:
    """Whether a string looks like a number; it is then shown in quotes."""
    try:
        float(text)
    except ValueError:
        return False
    return text.strip().lower() not in ("nan", "inf", "-inf")


def nearest(word: str, known: Iterable[str]) -> str:
    """``did you mean 'x'?`` for the known word nearest to `word`, or an empty string."""
    known = list(known)
    prefix, dot, tail = word.rpartition(".")
    # Within a group only the last part is compared: the shared prefix makes all keys look similar.
    siblings = {name.removeprefix(prefix + dot): name for name in known if name.startswith(prefix + dot)}
    # learning_rate for optimizer.learning_rate
    close = [] if dot else [name for name in known if name.rpartition(".")[2] == tail]
    if not close:
        close = [siblings[name] for name in difflib.get_close_matches(tail, siblings, n=1)]
    if not close:  # lr for learning_rate
        initials = ["".join(part[:1] for part in name.rpartition(".")[2].split("_")) for name in siblings.values()]
        close = [name for name, letters in zip(siblings.values(), initials, strict=True) if letters == tail]
    if not close:  # a nested key under the wrong group
        close = [name for name in known if name.rpartition(".")[2] == tail]
    if not close:
        close = difflib.get_close_matches(word, known, n=1, cutoff=0.75)
    return f"did you mean '{close[0]}'?" if close else ""


def integer(key: str, value: Any, *, at_least: int, hint: str = "") -> int:
    """`value` as an int, or `InvalidValue` if it is not a whole number or is too small."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < at_least:
        raise InvalidValue(key, value, f"a whole number >= {at_least}", hint)
    return int(value)


def boolean(key: str, value: Any) -> bool:
    """`value` itself, or `InvalidValue` if it is neither True nor False."""
    if not isinstance(value, bool):
        raise InvalidValue(key, value, "true or false")
    return value


def number(
    key: str,
    value: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    hint: str = "",
) -> float:
    """`value` as a finite float within the given bounds, or `InvalidValue`."""
    limits = ((">", above), (">=", at_least), ("<", below))
    bounds = [f"{sign} {bound:g}" for sign, bound in limits if bound is not None]
    try:
        given = math.nan if isinstance(value, bool) or not isinstance(value, numbers.Real) else float(value)
    except OverflowError:
        given = math.inf
    if (
        not math.isfinite(given)
        or (above is not None and not given > above)
        or (at_least is not None and not given >= at_least)
        or (below is not None and not given < below)
    ):
        raise InvalidValue(key, value, f"a number {' and '.join(bounds)}".strip(), hint)
    return given


def one_of(key: str, value: Any, choices: Collection[str]) -> str:
    """`value` if it is one of `choices`, or `InvalidValue` that names them and the nearest."""
    if not isinstance(value, str) or value not in choices:
        raise InvalidValue(key, value, f"one of {', '.join(choices)}", nearest(str(value), choices))
    return value


def check_formats(key: str, formats: Any, example: str = "'tracking.formats=[png,pdf]'") -> None:
    """Refuse formats in which no figure can be saved, before any is drawn."""
    allowed = f"a list of formats among {', '.join(FORMATS)}"
    if formats is None:
        return
    if not isinstance(formats, list) or not formats:
        raise InvalidValue(key, formats, allowed, f"for example {example}")
    for name in formats:
        if name not in FORMATS:
            hint = nearest(str(name).lower(), FORMATS) or "pdf is for print, svg for the web"
            raise InvalidValue(key, name, allowed, hint)


def check_rng(rng: Any) -> None:
    """Refuse what is not a `numpy.random.Generator`: a seed, None, NumPy's old interface."""
    from numpy.random import Generator

    if not isinstance(rng, Generator):
        seed = max(0, int(rng)) if isinstance(rng, numbers.Integral) else 0
        known = isinstance(rng, numbers.Number | str)
        hint = f"try rng=numpy.random.default_rng({seed}), or a stream of rnnexp.Streams(seed={seed})"
        shown = rng if known else "None" if rng is None else getattr(rng, "__name__", type(rng).__name__)
        raise InvalidValue("rng", shown, "a numpy.random.Generator", hint)


def out_of_memory(error: MemoryError) -> UserError:
    """The error for sizes that do not fit into memory."""
    return UserError(
        f"not enough memory: {error or 'the sizes are too large'}",
        getattr(error, "hint", "") or "try a smaller hidden_size, output_size or batch_size",
    )


def check_known(prefix: str, given: dict[str, Any], known: Iterable[str]) -> None:
    """Refuse a group's first unknown key."""
    known = list(known)
    for key in given:
        if key not in known:
            raise unknown(f"{prefix}.{key}", [f"{prefix}.{name}" for name in known], given[key])


def unknown(key: str, known: Iterable[str], value: object = None) -> UserError:
    """The error for an unknown key."""
    known = list(known)
    group = key.partition(".")[0] + "."
    here = [name for name in known if name.startswith(group)] or [name for name in known if "." not in name]
    near = (nearest(key, here) if "." in key else "") or nearest(key, known)
    hint = near or f"valid keys: {', '.join(here) or 'nothing'}"
    return UserError(f"unknown key '{key}', got {key}={show(value)}", hint)
