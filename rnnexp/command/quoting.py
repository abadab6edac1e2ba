"""What people type and Hydra's grammar cannot read: put in quotes where it can mean one thing only."""

import re
import shlex
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from rnnexp.settings import quoted

#: Hydra's functions; any other word before a parenthesis is text.
FUNCTIONS = (
    *("bool", "choice", "extend_list", "float", "glob", "int", "interval", "json_str", "range", "shuffle"),
    *("sort", "str", "tag"),
)
CALL = re.compile(rf"({'|'.join(FUNCTIONS)})\s*\((.*)\)", re.DOTALL)
ENDS = {"(": ")", "[": "]", "{": "}"}
#: Functions whose values make jobs.
SWEEPS = ("choice", "sort", "shuffle", "tag")
#: Keys that take a list and are null by default.
LISTS = ("freeze", "task.inputs", "task.targets", "task.ignore")
#: What a backslash takes its meaning from, outside quotes.
ESCAPED = re.compile(r"\\([\\()\[\]{}:=, \t])")
INTERPOLATION = re.compile(r"\$\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}")


class Unclear(ValueError):
    """A value that may mean several things, or nothing; the message says why."""


def parsed(argument: str) -> Override | None:
    """The override as Hydra reads it; None if it cannot."""
    try:
        return OverridesParser.create().parse_overrides([argument])[0]
    except (HydraException, ValueError, RecursionError):
        return None


def readable(argument: str, *, multirun: bool = False) -> str:
    """An argument as Hydra can read it: itself, or with quotes around the texts in it.

    A comma outside quotes and brackets stays what it is to Hydra: it parts the values of a sweep.

    Raises
    ------
    Unclear
        If it can't be read, or could mean several things.
    """
    key, equals, value = argument.partition("=")
    if not equals or parsed(f"{key}=1") is None or all_jobs_readable(argument):
        return argument
    try:
        made = f"{key}={_several(value, alone=not multirun)}"
    except RecursionError:
        raise Unclear("it has too many brackets") from None
    if not all_jobs_readable(made):
        raise Unclear("Hydra's grammar has no such value")
    return made


def all_jobs_readable(argument: str) -> bool:
    """Whether Hydra reads an override, and what it makes of it for each job of a sweep: functions lose quotes."""
    override = parsed(argument)
    if override is None or not override.is_discrete_sweep() or override.is_range_sweep():
        return override is not None
    key = override.get_key_element()
    try:
        return all(parsed(f"{key}={value}") for value in override.sweep_string_iterator())
    except (HydraException, ValueError):
        return True  # as glob, which needs the groups


def all_readable(arguments: Sequence[str], *, multirun: bool = False) -> list[str]:
    """The arguments as Hydra can read them; those that it can't are left for its error."""
    found = []
    for argument in arguments:
        try:
            found.append(argument if argument.startswith("-") else readable(argument, multirun=multirun))
        except Unclear:
            found.append(argument)
    return found


def parts(text: str) -> list[str]:
    """A text cut at the commas outside its quotes, brackets and interpolations."""
    found, start, at, open_ = [], 0, 0, []  # type: list[str], int, int, list[str]
    begins = True
    while at < len(text):
        sign = text[at]
        if sign == "\\" and at + 1 < len(text):
            at += 2
            begins = False
            continue
        if begins and sign in "\"'":
            at = _closing(text, at) + 1
            begins = False
            continue
        if sign in ENDS:
            open_.append(ENDS[sign])
        elif open_ and sign == open_[-1]:
            open_.pop()
        elif sign == "," and not open_:
            found.append(text[start:at])
            start = at + 1
        begins = sign in ",([{:=" or (begins and sign.isspace())
        at += 1
    if open_:
        raise Unclear(f"{open_[-1]} is missing")
    return [*found, text[start:]]


def _closing(text: str, at: int) -> int:
    """Where the quote that begins at `at` ends."""
    mark, end = text[at], at + 1
    while end < len(text) and text[end] != mark:
        end += 2 if text[end] == "\\" else 1
    if end >= len(text):
        raise Unclear(f"the quote {mark} is never closed")
    return end


def _several(text: str, *, alone: bool = False) -> str:
    """Values parted by commas; `alone` where a single one may hold a comma in its own brackets."""
    values = parts(text)
    if len(values) > 1 and not all(value.strip() for value in values):
        raise Unclear("there is nothing on one side of a comma")
    if len(values) > 1 and any(re.search(r"[^\w\\]([\"'])(?!.*\1)", f"\n{value}".rstrip()) for value in values):
        raise Unclear("a comma stands between two quotes")
    return ",".join(_one(value.strip(), alone=alone and len(values) == 1) for value in values)


def _one(text: str, *, alone: bool = False) -> str:
    """A value: as it is if Hydra can read it, else a list, a mapping or a call with its own values, else a text."""
    if all_jobs_readable(f"x={text}"):
        return text
    if text.startswith("[") and _spans(text):
        return f"[{_several(text[1:-1])}]"
    if text.startswith("{") and _spans(text):
        pairs = [pair.partition(":") for pair in parts(text[1:-1])]
        if all(colon and parsed(f"x={{{key}:1}}") for key, colon, _ in pairs):
            return "{" + ",".join(f"{key}:{_one(value.strip())}" for key, _, value in pairs) + "}"
        raise Unclear("it begins like a mapping, whose keys are letters, digits and _")
    if (call := CALL.fullmatch(text)) and not call[2].strip():
        raise Unclear(f"{call[1]} needs values")
    if call and _spans(text[len(call[1]) :].lstrip()):
        if (
            call[1] == "choice" and call[2].strip()
        ):  # the same sweep; as a function it would lose the quotes of its values
            return _several(call[2])
        named = [re.fullmatch(r"(\s*[A-Za-z_]\w*=)?(.*)", value, re.DOTALL) for value in parts(call[2])]
        return f"{call[1]}({','.join((one[1] or '') + _one(one[2].strip()) for one in named if one)})"
    return _text(text, alone)


def _spans(text: str) -> bool:
    """Whether the bracket that begins a text ends with it."""
    try:
        return text.endswith(ENDS[text[0]]) and len(parts(text[1:-1])) > 0
    except Unclear:
        return False


def _text(text: str, alone: bool) -> str:
    """A text in quotes."""
    if text[:1] in ("'", '"'):
        raise Unclear("it begins with a quote that ends within it")
    if ESCAPED.search(text):
        raise Unclear("a backslash before a special character means that character alone")
    if text.startswith("[") and not _spans(text):
        raise Unclear("it begins like a list and does not end like one")
    bare = INTERPOLATION.sub("", text)
    if "${" in bare:
        raise Unclear("${ begins an interpolation, which is never closed")
    if re.search(r"(?<!\w)([\"'])[^\"']*,[^\"']*\1", bare) or ("," in bare and not alone):
        raise Unclear("its comma may part two values or belong to one")
    made = quoted(text)
    override = parsed(f"x={made}")
    if override is None or override.value() != text:
        raise Unclear("Hydra's grammar has no such value")
    return made


def advice(argument: str, present: Any, *, multirun: bool) -> str:
    """What to type for an argument that can't be read, whose key has the value `present` by default."""
    key, _, value = argument.partition("=")
    call = CALL.fullmatch(value.strip())
    inner = call[2] if call and call[1] in SWEEPS else value
    try:
        items = [part.strip() for part in parts(inner) if part.strip()]
    except Unclear:
        items = [part.strip() for part in inner.split(",") if part.strip()]

    def typed(text: str) -> str:
        return shlex.quote(f"{key}={text}")

    if isinstance(present, int | float):
        numbers = [one for one in items if (read := parsed(f"x={one}")) and isinstance(read.value(), int | float)]
        return f"for example {typed(','.join(numbers if multirun else numbers[:1]) or str(present).lower())}"
    if isinstance(present, list) or key.lstrip("+") in LISTS:
        return f"each item of a list in quotes: {typed('[' + ','.join(_items(value)) + ']')}"
    several = ",".join(quoted(_alive(one)) for one in items)
    if call and call[1] in SWEEPS:
        return f"write its values with commas, texts in quotes: {typed(several)}"
    hint = f"one text goes into quotes, and again for the shell: {typed(quoted(_alive(value)))}"
    return hint + (f"; of several values, each: {typed(several)}" if multirun and len(items) > 1 else "")


def _items(text: str) -> list[str]:
    """What may be meant as the items of a list, each in quotes."""
    text = text.strip()
    text = text[1:] if text.startswith("[") else text
    text = text[:-1] if text.endswith("]") and text.count("]") > text.count("[") else text
    try:
        found = parts(text)
    except Unclear:
        found = text.split(",")
    return [quoted(_alive(one.strip())) for one in found if one.strip()] or ['""']


def _alive(text: str) -> str:
    """The text as it goes into quotes: without its own, without Hydra's backslashes, and no open interpolation."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    if "\\" in text and not re.search(r"\\[^\\()\[\]{}:=, \t]", text):
        text = ESCAPED.sub(r"\1", text)
    return text.replace("${", r"\${") if "${" in INTERPOLATION.sub("", text) else text
