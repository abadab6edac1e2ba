"""``-m resume=FOLDER``: the command of a sweep that was stopped, so that it goes on in its folder."""

import argparse
import shlex
from pathlib import Path

from rnnexp.checks import InvalidValue
from rnnexp.command.quoting import all_readable, parsed
from rnnexp.records import Sweep, load_sweep
from rnnexp.redaction import redact_setting
from rnnexp.settings import keys_of, override

#: What may be changed: it does not matter to the jobs.
FREE = ("quiet", "fail_fast", "max_jobs", "tracking.uri")
#: Choices of Hydra's, with the beginning of the keys that belong to each.
PLUGINS = {"hydra/launcher": "hydra.launcher.", "hydra/sweeper": "hydra.sweeper."}


def continue_sweep(found: argparse.Namespace) -> Sweep | None:
    """Complete a command line that continues a sweep by what the sweep was started with; the sweep, or None.

    Raises
    ------
    InvalidValue
        If there is no sweep in the folder, or something was given that it did not have.
    """
    if not found.multirun or not any(key_of(text) == "resume" for text in found.overrides):
        return None  # before anything is parsed: so it is for most commands
    given = all_readable(found.overrides, multirun=True)
    wanted = [value for text in given if key_of(text) == "resume" and (value := parsed(text))]
    if not wanted or wanted[-1].is_sweep_override() or wanted[-1].value() is None:
        return None
    name = str(wanted[-1].value())
    sweep = load_sweep(Path(name).resolve())
    if sweep is None:
        hint = "the last lines of a sweep name its folder; a single run is continued without -m"
        raise InvalidValue("resume", name, "the folder of a sweep, with -m", hint)
    own = {key_of(text): text for text in given if key_of(text) != "resume"}
    to_hydra = {key: own.pop(key) for key in list(own) if key.startswith(("hydra.", "hydra/"))}
    before = {key_of(text): text for text in sweep.overrides}
    for key, text in own.items():
        if key not in FREE and redact_setting(text) != before.get(key):
            raise _changed(key, text, before.get(key, ""))
    kept = {key_of(text): text for text in sweep.hydra}
    for key, text in to_hydra.items():
        if key.startswith("hydra.sweep.") and text != kept.get(key):
            raise _changed(key, text, kept.get(key, ""))
        if key in PLUGINS:
            kept = {one: other for one, other in kept.items() if not one.startswith(PLUGINS[key])}
    kept |= {**to_hydra, "hydra.sweep.dir": override("hydra.sweep.dir", str(sweep.folder))}
    typed = [own.pop(key_of(text), text) for text in sweep.overrides]
    found.overrides = [*typed, *own.values(), *kept.values()]
    for text in found.overrides:
        if "***" in text:
            key, hint = key_of(text), f"a sweep keeps none: give {key_of(text)}=... once more"
            raise InvalidValue(key, text.partition("=")[2], "given with its password", hint)
    return sweep


def key_of(text: str) -> str:
    """The key of an override."""
    (key,) = keys_of([text])
    return key


def _changed(key: str, text: str, before: str) -> InvalidValue:
    allowed = f"as in the sweep that is continued: {before}" if before else "left out, as in the sweep"
    value = text.partition("=")[2] or text
    return InvalidValue(key, redact_setting(value), allowed, f"leave {shlex.quote(key)} out, or begin another sweep")
