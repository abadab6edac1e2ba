"""The command line taken apart: Hydra's flags, in whatever form they were typed, and the settings beside them."""

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from hydra import __version__ as hydra_version
from hydra._internal.utils import get_args_parser

from rnnexp.checks import InvalidValue, UserError, show
from rnnexp.command.quoting import all_readable
from rnnexp.settings import GROUPS, ROOT_KEYS, conf_dir, options
from rnnexp.usual_names import ABSENT, USUAL, usual
from rnnexp.version import __version__

WITHOUT_DASHES = "settings are written key=value, without dashes or spaces around the ="
#: Flags of which only one can be given, with what each asks for.
TASKS = {"run": "--run", "multirun": "-m", "cfg": "--cfg", "info": "--info", "shell_completion": "--shell-completion"}


def take_apart(arguments: Sequence[str]) -> argparse.Namespace:
    """The flags and settings of a command line; settings may stand on both sides of a flag.

    Raises
    ------
    UserError
        For flags that Hydra does not have, or that say nothing together.
    SystemExit
        After ``--version``.
    """
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        hint = f"{WITHOUT_DASHES}; python -m rnnexp --help lists them"
        raise UserError(f"cannot parse the command line: {message}", hint)

    parser.error = refuse  # type: ignore[method-assign]
    for action in parser._actions:
        if isinstance(action, argparse._VersionAction):
            action.version = f"rnnexp {__version__} (Hydra {hydra_version})"
    check_letters(arguments, sys.getfilesystemencoding())
    check_dashes(arguments)
    found = parser.parse_intermixed_args([part for argument in arguments for part in attached(argument)])
    check_together(found)
    check_settings(found.overrides)
    if found.config_path is not None:
        check_config_path(found.config_path, found.config_name or "config")
    if found.config_dir is not None:
        check_config_dir(Path(found.config_dir))
    return found


def put_together(found: argparse.Namespace) -> list[str]:
    """The command line in the form that Hydra reads: flags first, settings with the quotes that they need."""
    line = []
    for action in get_args_parser()._actions:
        value = getattr(found, action.dest, None)
        if action.option_strings and value not in (None, False, argparse.SUPPRESS):
            flag = max(action.option_strings, key=len)
            line.append(flag if value is True else f"{flag}={value}")
    return [*line, *all_readable(found.overrides, multirun=may_sweep(found))]


def may_sweep(found: argparse.Namespace) -> bool:
    """Whether a command line asks for a sweep, or for files that may."""
    elsewhere = found.config_dir is not None or found.config_name is not None
    return bool(found.multirun) or elsewhere or any("hydra.mode" in text for text in found.overrides)


def attached(argument: str) -> list[str]:
    """A flag as argparse reads it: ``-cdDIR`` in two parts, ``--config_dir`` with dashes."""
    if short := re.fullmatch(r"(-c[dnp])([^=].*)", argument):
        return list(short.groups())
    name, equals, value = argument.partition("=")
    if re.fullmatch(r"--(config|hydra|shell|experimental)_[a-z]+", name):
        return [name.replace("_", "-") + equals + value]
    return [argument]


def check_letters(arguments: Sequence[str], encoding: str) -> None:
    """Refuse letters that Python could not read, since the locale's encoding lacks them: they could not be recorded."""
    if encoding.lower() != "utf-8" and any(re.search("[\udc80-\udcff]", text) for text in arguments):
        problem = f"the command line has letters that this shell's locale ({encoding}) lacks"
        raise UserError(problem, "let Python read it as UTF-8: export PYTHONUTF8=1")


def check_dashes(arguments: Sequence[str]) -> None:
    """Refuse settings typed as flags: ``--hidden_size 3``, ``-lr=0.1``."""
    flags = {flag for action in get_args_parser()._actions for flag in action.option_strings}
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        given, equals, value = argument.partition("=")
        name = given.lstrip("-").replace("-", "_").strip()
        setting = name in ROOT_KEYS or name in GROUPS or name.lower() in USUAL | ABSENT or "." in name
        if given in flags or not re.match(r"--?\w", given) or not setting or any(f.startswith(given) for f in flags):
            continue
        value = value if equals else following
        hint = usual(name, value, {}, options) if name not in (*ROOT_KEYS, *GROUPS) else ""
        said = shlex.quote(f"{name}={value}") if value and not value.startswith("-") else f"{name}=..."
        raise UserError(
            f"{given} is not a flag; settings are written key=value, without dashes", hint or f"for example {said}"
        )


def check_settings(settings: Sequence[str]) -> None:
    """Refuse what is no ``key=value``: ``hidden_size = 3``, ``hidden_size: 3``, ``hidden_size 3``."""
    for at, text in enumerate(settings):
        if (whole := list_with_spaces(settings, at)) != text:
            hint = f"a list is written without spaces: {shlex.quote(whole)}"
            raise UserError(f"cannot parse the argument {show(settings[at + 1])}", hint)
        after = [*settings[at + 1 : at + 3], "", ""]
        if text.endswith("=") and after[0] and "=" not in after[0]:
            said = f"{text}{after[0]}"
        elif "=" in text or text.startswith("~"):
            continue
        else:
            name, _, value = text.partition(":")
            value = value or (after[1] if after[0] == "=" else after[0].lstrip("=") if after[0][:1] == "=" else "")
            value = value or (after[0] if "=" not in after[0] else "")
            said = f"{name}={value}" if value else "hidden_size=10"
        problem = f"cannot parse the argument {show(text)}"
        raise UserError(problem, f"settings are written key=value, without spaces: for example {shlex.quote(said)}")


def list_with_spaces(settings: Sequence[str], at: int) -> str:
    """The setting at a place with the rest of its list, where the shell has parted it: ``task.lag=5, 10``."""
    whole = settings[at]
    for part in settings[at + 1 :] if "=" in whole else ():
        if "=" in part or not (whole.endswith((",", "[")) or part.startswith((",", "]"))):
            break
        whole += part
    return whole


def check_together(found: argparse.Namespace) -> None:
    """Refuse flags that contradict each other, or mean nothing by themselves."""
    asked = [flag for name, flag in TASKS.items() if getattr(found, name)]
    if len(asked) > 1:
        first, other = asked[:2]
        why = ": --cfg shows the configuration of a run" if other == "--cfg" else ""
        raise UserError(f"{first} and {other} can't be given together", f"leave out {first}{why}")
    for name in ("resolve", "package"):
        if getattr(found, name) and not found.cfg and not found.help:
            value = "" if name == "resolve" else f" {found.package}"
            raise UserError(f"--{name} says how --cfg shows a configuration", f"give both: --cfg job --{name}{value}")
    if found.shell_completion and not any("=" in text for text in found.overrides):
        hint = "what the shell has to evaluate is printed by --shell-completion install=bash"
        raise UserError("--shell-completion must be given with what to do", hint)
    if found.experimental_rerun is not None and not Path(found.experimental_rerun).is_file():
        allowed = "the config.pickle of a job, which Hydra keeps where its callback PickleJobInfoCallback is used"
        hint = "resume=<run folder> continues a run of this program"
        raise InvalidValue("--experimental-rerun", found.experimental_rerun, allowed, hint)


def check_config_path(path: str, name: str) -> None:
    """Refuse a folder that can't take the place of this package's configuration."""
    if re.match(r"\w+://", path) or (Path(path).is_absolute() and (Path(path) / f"{name}.yaml").is_file()):
        return
    allowed = f"an absolute path to a whole configuration with its {name}.yaml, in place of this program's"
    raise InvalidValue(
        "--config-path", path, allowed, f"to add a folder of your own: {shlex.join(['--config-dir', path])}"
    )


def check_config_dir(folder: Path) -> None:
    """Refuse files that would never be read: those with the names of this program's come after them."""
    if not folder.is_dir():
        raise InvalidValue("--config-dir", str(folder), "a folder", f"not found; looked in {Path.cwd()}")
    for path in sorted(folder.rglob("*.yaml")):
        inside = path.relative_to(folder)
        if (ours := conf_dir() / inside).is_file() and ours.read_bytes() != path.read_bytes():
            problem = f"{path} would never be read: there is a {inside} in this program, which comes first"
            raise UserError(problem, f"give it another name, such as {inside.with_stem(f'my_{inside.stem}')}")
