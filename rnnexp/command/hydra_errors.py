"""Errors of Hydra and OmegaConf about the command line, in our two-line form."""

import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from errno import EACCES, EDQUOT, ENOSPC, EPERM, EROFS
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from rnnexp.build import component, parameters_of
from rnnexp.checks import InvalidValue, UserError, nearest, out_of_memory, show
from rnnexp.command import quoting
from rnnexp.command.flags import may_sweep, take_apart
from rnnexp.settings import GROUPS, ROOT_KEYS, conf_dir, options, plain, root_rule, unknown_key
from rnnexp.usual_names import FORMER_GROUP, choice, former_group

#: Choices of Hydra's own groups that need an extra of this package.
EXTRAS = {
    "hydra/launcher/joblib": "parallel",
    "hydra/launcher/submitit_local": "cluster",
    "hydra/launcher/submitit_slurm": "cluster",
    "hydra/sweeper/optuna": "optuna",
}
#: What an algorithm of one's own may take, and is given by root keys.
FROM_ROOT = ("algorithm.length", "algorithm.stride", "task.output_size")
#: Stacks on a cluster.
ON_DASK = "hydra.launcher.backend=dask hydra.launcher.address=tcp://..., with workers that dask-jobqueue starts there"


def explain(error: Exception, arguments: Sequence[str]) -> UserError | None:
    """The `UserError` for a configuration error, or None if it is another error."""
    text = str(error)
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override, arguments)
    if re.search(rf"'{FORMER_GROUP}['=.@]|full_key: {FORMER_GROUP}\b", text):
        typed = [one for one in arguments if re.match(rf"[+~]*{FORMER_GROUP}(?=[=.]|$)", one)]
        file = re.match(r"In '([^']+)'", text)
        return former_group(typed, options("algorithm"), f"in {file[1]}.yaml" if file else text.splitlines()[0])
    if isinstance(error, MissingConfigException):
        return _no_such_choice(error)
    if found := re.match(r"Ambiguous value for argument '([^=]+)=(.*)'", text):
        key, value = found[1].lstrip("+~"), _value(found[1].lstrip("+~"), arguments) or found[2]
        return InvalidValue(key, value, "one value", _one_or_several(key, value, arguments))
    if found := re.match(r"Could not (?:override|delete|append to config)[^']*'([^'=]+)", text):
        key, known = found[1].lstrip("+~"), known_values(arguments)
        if text.startswith("Could not delete") and key in known:
            return UserError(f"~{key} deletes nothing: {key} is {show(known[key])}", "leave it out")
        if key in GROUPS:
            choices = options(key)
            return InvalidValue(key, _value(key, arguments), f"one of {', '.join(choices)}", f"{key}={choices[0]}")
        if text.startswith("Could not append") and key in known:
            return UserError(f"the key {key} already exists", f"leave out the +: {key}={_value(key, arguments)}")
        if key == "hydra.launcher.max_copies":
            on_slurm = _value("hydra/launcher", arguments) == "submitit_slurm"
            hint = f"instead: hydra/launcher=stacked {ON_DASK}" if on_slurm else "add hydra/launcher=stacked"
            return UserError(f"{key} is a setting of the launcher that trains jobs as stacks", hint)
        refused: Any = _value(key, arguments)
        inner = str(getattr(error.__cause__, "full_key", None) or key)
        if inner.startswith(f"{key}.") and (read := quoting.parsed(f"{key}={refused}")):  # as in init.recurrent={a:1}
            refused = read.value()
            for part in inner.removeprefix(f"{key}.").split("."):
                refused = refused[part]
        if hint := _left_out(inner, refused, known):
            return UserError(f"unknown key '{inner}', got {inner}={show(refused)}", hint)
        return unknown_key(inner, refused, known)
    if isinstance(error.__cause__, OmegaConfBaseException) and error.__cause__.full_key:
        key = str(error.__cause__.full_key)
        if key not in ROOT_KEYS:
            why = str(error.__cause__).splitlines()[0]
            return InvalidValue(key, _value(key, arguments), "a value of the type that Hydra gives it", why)
        return InvalidValue(key, _value(key, arguments), root_rule(key))
    if found := re.match(r"Multiple values for ([^.]+)\. To override", text):
        return UserError(f"{found[1]} is chosen twice", f"leave out the +: {found[1]}={_value(found[1], arguments)}")
    if text.startswith("Config group override must be") or isinstance(error, TypeError):  # as for optimizer=[1]
        for argument in arguments:
            group, _, value = argument.lstrip("+~").partition("=")
            choices = [] if argument.startswith("-") else options(group.partition("@")[0])
            if choices and value not in choices:
                hint = choice(group, value, choices)
                return InvalidValue(group, value, f"one of {', '.join(choices)}", hint or f"{group}={choices[0]}")
    if isinstance(error, HydraException | OmegaConfBaseException) or text.startswith("Config group override"):
        lines = [line for line in text.splitlines() if line.strip() and "hydra.cc" not in line]
        return UserError(lines[0] if lines else type(error).__name__, " ".join(lines[1:]))
    if isinstance(error, OSError) and error.errno in (EACCES, EPERM, EROFS):
        return UserError(f"{error.filename} can't be written: {error.strerror}", "start from a writable folder")
    if isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT):
        return UserError(f"{error.filename or 'a file'} can't be written: {error.strerror}", "free some there")
    if isinstance(error, MemoryError):
        return out_of_memory(error)
    return None


def known_values(arguments: Sequence[str]) -> dict[str, Any]:
    """The values of the chosen groups by key, and those of the root; empty if the choices can't be composed."""
    named = [(argument, argument.partition("=")[0]) for argument in arguments if "," not in argument]
    chosen = [argument for argument, key in named if key in GROUPS or key.startswith("initializer@")]
    if own := get_args_parser().parse_known_args(list(arguments))[0].config_dir:
        chosen.append(f"hydra.searchpath=['file://{Path(own).resolve()}']")
    try:
        begun = GlobalHydra.instance().is_initialized()
        with nullcontext() if begun else initialize_config_dir(str(conf_dir()), version_base="1.3"):
            config = compose("config", overrides=chosen)
    except (HydraException, OmegaConfBaseException, ValueError):
        return {}
    return {key: value for key, value in _flat(config).items() if not key.endswith("_target_")}


def _flat(config: DictConfig, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in config:
        value: Any = config[key]
        name = prefix + str(key)
        found[name] = plain(value)
        if isinstance(value, DictConfig):
            found |= _flat(value, f"{name}.")
    return found


def _left_out(key: str, value: Any, known: Mapping[str, Any]) -> str:
    """How to give a setting that the chosen class takes and its YAML file does not name, as a hint; empty if none."""
    group, _, name = key.rpartition(".")
    if not isinstance(known.get(group), Mapping):
        return ""
    try:
        cls, _ = component(group, known[group])
    except UserError:  # it is told when all of it is built
        return ""
    # The files of the package name all that its classes take.
    own = not cls.__module__.startswith("rnnexp.") or group == "task"
    if not own or f"{group}.{name}" in FROM_ROOT or name not in parameters_of(cls):
        return ""
    typed = shlex.quote(f"+{key}={value if isinstance(value, str) else show(value)}")
    return f"{cls.__name__} takes it, but its YAML file does not name it: add it there, or type {typed}"


def _value(key: str, arguments: Sequence[str]) -> str | None:
    """The value given for a key, as typed."""
    for argument in arguments:
        name, equals, value = argument.lstrip("+~").partition("=")
        if equals and name.partition("@")[0] == key:
            return value
    return None


def _unreadable(argument: str | None, arguments: Sequence[str]) -> UserError:
    """The error for an argument that Hydra's grammar does not admit."""
    # As it was typed: what Hydra was given may have quotes already.
    argument = next((one for one in arguments if one == argument), argument or "")
    key, _, value = argument.partition("=")
    if quoting.parsed(f"{key}=1") is None:
        return unknown_key(key.lstrip("+~"), value, known_values(arguments))
    multirun = may_sweep(take_apart(arguments))
    try:
        quoting.readable(argument, multirun=multirun)
        why = "Hydra's grammar has no such value"
    except quoting.Unclear as unclear:
        why = str(unclear)
    present = known_values(arguments).get(key.lstrip("+~"))
    return UserError(
        f"cannot parse the argument {show(argument)}: {why}", quoting.advice(argument, present, multirun=multirun)
    )


def _one_or_several(key: str, value: str, arguments: Sequence[str]) -> str:
    """What to type in place of a sweep without -m."""
    hint = "add -m to sweep over several values"
    present = known_values(arguments).get(key)
    if key in quoting.LISTS or isinstance(present, list) or not (present is None or isinstance(present, str)):
        hint_for_one = key in quoting.LISTS or isinstance(present, list)
    else:
        hint_for_one = key not in GROUPS and "/" not in key and not key.startswith("hydra")
    return f"{hint}; {quoting.advice(f'{key}={value}', present, multirun=False)}" if hint_for_one else hint


def _no_such_choice(error: MissingConfigException) -> UserError:
    missing = str(error.missing_cfg_file or "")
    group, slash, name = missing.rpartition("/")
    choices = list(error.options or [])
    if not slash or not choices:
        return UserError(str(error).splitlines()[0], "python -m rnnexp --help lists the groups and their choices")
    if extra := EXTRAS.get(missing):
        hint = f"it needs an extra; in the clone: pip install --constraint constraints.txt --editable '.[{extra}]'"
    else:
        own = "for a choice of your own, pass --config-dir with its folder"
        others = [other for other in GROUPS if other != group and name in options(other)]
        elsewhere = f"it is a choice of another group: {others[0]}={name}" if others else ""
        hint = choice(group, name, choices) or nearest(name, choices) or elsewhere or own
    return InvalidValue(group, name, f"one of {', '.join(choices)}", hint)
