"""The command ``python -m rnnexp.tasks``: the list of tasks, and a trial of one of them."""

import argparse
import inspect
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from rnnexp.arguments import Parser, command_frame
from rnnexp.build import build_the_task, component
from rnnexp.checks import FORMATS, InvalidValue, UserError, integer, one_of, show
from rnnexp.command.check_first import register
from rnnexp.command.hydra_errors import explain
from rnnexp.command.quoting import all_readable
from rnnexp.json_lines import document
from rnnexp.process import say
from rnnexp.settings import as_in_job, check_root, conf_dir

#: Steps of a stream that are shown.
STREAM_STEPS = 40


def main(arguments: Sequence[str] | None = None) -> None:
    """List the tasks, or explain one and draw a trial; SystemExit with two lines on a user's mistake."""
    parser = Parser(
        prog="python -m rnnexp.tasks",
        description="List the tasks, or explain one of them and draw a trial of it.",
        epilog="example: python -m rnnexp.tasks adding task.length=20 --figure",
    )
    parser.add_argument("name", nargs="?", help="a task, as in task=<name>; without one, all tasks are listed")
    parser.add_argument("settings", nargs="*", help="settings as for python -m rnnexp: task.length=20 seed=3")
    parser.add_argument("--steps", type=int, help="steps to show (default: the whole sequence, or 40 of a stream)")
    parser.add_argument(
        "--figure",
        nargs="?",
        const="",
        metavar="FILE",
        help="also draw it, in the format that its name ends in (default: <name>.png)",
    )
    parser.add_argument("--config-dir", help="a config folder of your own, with task/<name>.yaml in it")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    register()
    with command_frame():
        given = parser.parse_intermixed_args(arguments)
        if given.steps is not None:
            integer("--steps", given.steps, at_least=1)
        if given.figure and Path(given.figure).suffix.lower().removeprefix(".") not in FORMATS:
            allowed = f"a file that ends in {', '.join(FORMATS)}"
            raise InvalidValue("--figure", given.figure, allowed, f"for example --figure {given.name or 'trial'}.png")
        if given.config_dir and not Path(given.config_dir).is_dir():
            raise InvalidValue("--config-dir", given.config_dir, "a folder", f"looked in {Path.cwd()}")
        if given.name is None and given.json:
            say(*document([about_task(name, path) for name, path in task_files(given.config_dir).items()]).split("\n"))
        elif given.name is None:
            say(*listing(given.config_dir))
        else:
            explain_task(given)


def task_files(config_dir: str | None) -> dict[str, Path]:
    """The YAML file of every task by name, the user's own first."""
    folders = [Path(config_dir)] if config_dir else []
    found = {path.stem: path for folder in [conf_dir(), *folders] for path in (folder / "task").glob("*.yaml")}
    return dict(sorted(found.items()))


def listing(config_dir: str | None) -> list[str]:
    """Two lines per task: its description; sizes, baseline, paper."""
    lines = []
    for name, path in task_files(config_dir).items():
        found = built(path)
        facts = found if isinstance(found, str) else brief(found)
        lines += [f"{name:22}{first_comment(path)}", f"{'':22}{facts}"]
    usage = "python -m rnnexp.tasks <name> explains one and draws a trial; python -m rnnexp task=<name> trains on it"
    return [*lines, "", usage]


def brief(task: Any) -> str:
    """Sizes, baseline and paper of a task, in a line."""
    return f"{sizes(task)}; baseline {task.baseline.loss:.4g} ({task.baseline.predictor}); {task.paper}"


def built(path: Path) -> Any:
    """The task of a YAML file with its own settings, or why there is none, as text."""
    config: Any = OmegaConf.to_container(OmegaConf.load(path))
    try:
        return build_the_task({"output_size": None, **(config if "task" in config else {"task": config})})
    except UserError as error:
        return f"{error.problem}; {error.hint}" if error.hint else error.problem
    except Exception as error:  # an error in a class of the user's must not hide the other tasks
        return f"cannot be built: {error}"


def about_task(name: str, path: Path, task: Any = None) -> dict[str, Any]:
    """What is known of a task, by name."""
    task = built(path) if task is None else task
    about: dict[str, Any] = {"task": name, "description": first_comment(path)}
    if isinstance(task, str):
        return {**about, "problem": task}
    return {
        **about,
        "inputs": {"kind": task.input_kind, "size": task.input_size, "names": task.input_names},
        "outputs": {"kind": task.target_kind, "size": task.output_size, "names": task.output_names},
        "baseline": vars(task.baseline),
        "best_loss": task.floor,
        "scored": task.scored,
        "solved": task.success or None,
        "paper": task.paper,
        "data": getattr(task, "reading", "") or None,
    }


def explain_task(given: argparse.Namespace) -> None:
    """Print a task's description, settings, numbers, and one trial."""
    import numpy as np

    from rnnexp.tasks import EpisodeTask, trial_text
    from rnnexp.training import Streams

    known = task_files(given.config_dir)
    one_of("the task", given.name, list(known))
    path = known[given.name]
    root = task_settings(given.name, given.settings, given.config_dir)
    cls, chosen = component("task", root["task"])
    if not given.json:
        print_settings(given.name, path, cls, chosen)
    task = build_the_task(root)
    rng = Streams(root["seed"]).data
    if isinstance(task, EpisodeTask):
        batch = task.sample(1, rng=rng).steps(0, given.steps)
    else:
        batch = task.read(task.begin(1, rng=rng), given.steps or STREAM_STEPS, rng=rng)
    batch = batch.cast(np.float64)
    if given.json:
        trial = {name: getattr(batch, name)[:, 0] for name in ("inputs", "targets", "mask")}
        shown = {**about_task(given.name, path, task), "settings": chosen, "seed": root["seed"], "trial": trial}
        say(*document(shown).split("\n"))
    else:
        say(*(f"{name:12}{text}" for name, text in facts(task) if text))
        say("", f"One trial (seed={root['seed']})", "")
        say(*trial_text(task, batch, width=max(60, shutil.get_terminal_size((100, 24)).columns)).split("\n"))
    if given.figure is not None:
        from rnnexp.plot.trial_figure import save_trial

        file = Path(given.figure or f"{given.name}.png")
        save_trial(task, batch, file, title=f"task={given.name}: one trial")
        say("", f"figure      {file.resolve()}", error=given.json)


def print_settings(name: str, path: Path, cls: type, chosen: dict[str, Any]) -> None:
    """What a task's class says of itself, and its settings with their comments."""
    say(f"task={name}: {first_comment(path)}", "")
    say(*(inspect.getdoc(cls) or "").split("\n"), "", "Settings here")
    for key, value in chosen.items():
        text = f"task.{key}={show(value)}"
        say(f"    {text:32}{comment(path, key) or comment(conf_dir() / 'config.yaml', key)}".rstrip())
    say("")


def task_settings(name: str, overrides: Sequence[str], config_dir: str | None) -> dict[str, Any]:
    """The whole configuration for a task, its root keys checked."""
    own = [f"hydra.searchpath=['file://{Path(config_dir).resolve()}']"] if config_dir else []
    wrong = next((override for override in overrides if "=" not in override), None)
    if wrong is not None:
        raise UserError(f"cannot parse the argument {wrong!r}", "settings are written key=value, as in task.length=20")
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            given = [f"task={name}", *all_readable(overrides), *own]
            config = compose("config", overrides=given, return_hydra_config=True)
            with as_in_job(config):
                return check_root(config)
    except UserError:
        raise
    except Exception as error:
        arguments = [f"task={name}", *overrides, *(["--config-dir", config_dir] if config_dir else [])]
        if (refusal := explain(error, arguments)) is None:
            raise
        raise refusal from None


def sizes(task: Any) -> str:
    """The inputs and outputs per step, and the number of steps."""
    from rnnexp.tasks import StreamTask

    pairs = ((task.input_size, task.input_kind), (task.output_size, task.target_kind))
    inside, outside = ("1 value" if pair == (1, "values") else f"{pair[0]} {pair[1]}" for pair in pairs)
    return f"{inside} in, {outside} out, {'endless' if isinstance(task, StreamTask) else _steps(task)}"


def _steps(task: Any) -> str:
    """The range of sequence lengths, from a few samples."""
    import numpy as np

    mask = task.evaluation(rng=np.random.default_rng(0)).mask
    last = len(mask) - mask[::-1].argmax(axis=0)
    return f"{last.min()} to {last.max()} steps" if last.min() < last.max() else f"{last.max()} steps"


def facts(task: Any) -> list[tuple[str, str]]:
    """Names and texts of the known facts about a task."""
    loss = "cross-entropy, in nats" if task.target_kind == "classes" else "squared error"
    baseline = task.baseline
    numbers = [f"loss {baseline.loss:.5g}"]
    numbers += [f"accuracy {baseline.accuracy:.4g}"] if baseline.accuracy is not None else []
    numbers += [f"wrong {task.error_per}s {baseline.error:.4g}"] if baseline.error is not None else []
    source = "in closed form" if baseline.exact else "computed from data"
    return [
        ("sizes", sizes(task)),
        ("data", getattr(task, "reading", "")),
        ("caution", getattr(task, "caution", "")),
        ("scored", f"{task.scored}, by {loss}"),
        ("baseline", f"{', '.join(numbers)}: {baseline.predictor} ({source})"),
        ("best loss", "" if task.floor is None else f"{task.floor:.5g}"),
        ("solved", task.success),
        ("paper", task.paper),
    ]


def first_comment(path: Path) -> str:
    """The first comment line after the package header."""
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.removeprefix("#").strip()
        if line.startswith("#") and " " in text and not text.startswith("@package"):
            return text
    return ""


def comment(path: Path, key: str) -> str:
    """The comment on a key in a task's YAML file."""
    found = re.search(rf"^ *{re.escape(key)}:.*?#\s*(.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return f"# {found[1]}" if found else ""


if __name__ == "__main__":
    main(sys.argv[1:])
