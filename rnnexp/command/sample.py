"""The command ``python -m rnnexp.sample``: what a trained network continues a text or a series with."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnexp.arguments import Parser, command_frame
from rnnexp.checks import FORMATS, InvalidValue, integer
from rnnexp.command.of_runs import LOAD_OPTIONS, add_run, load_run
from rnnexp.tasks import Text
from rnnexp.trained import Trained
from rnnexp.training import Continuation

FIGURES = tuple(f".{name}" for name in FORMATS)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the continuation, and nothing else, on stdout; SystemExit on a mistake."""
    parser = Parser(
        prog="python -m rnnexp.sample",
        description="Let a trained network continue: a text, as characters on stdout; sine, mackey_glass or a table, "
        "as CSV on stdout, with the true series beside it.",
        epilog="example: python -m rnnexp.sample RUN --prompt 'def ' --length 300 --temperature 0.7",
    )
    add_run(parser)
    parser.add_argument(
        "--prompt", help="beginning of the text (default: the start of a line), or how many steps of the series the "
        "network reads first (default: 100, or half of a shorter table)"
    )  # fmt: skip
    parser.add_argument("--length", type=int, default=200, help="characters or steps (default: 200)")
    parser.add_argument("--temperature", type=float, help="of a text: 1 if not given, 0 takes the likeliest character")
    parser.add_argument("--seed", type=int, help="of what is drawn (default: always the same draw)")
    parser.add_argument(
        "--out", type=Path, action="append", default=[], metavar="FILE", help="of a series: a figure "
        f"({', '.join(FIGURES)}), or the numbers (.csv) in place of stdout; both if given twice"
    )  # fmt: skip
    with command_frame(LOAD_OPTIONS):
        try:
            _sample(parser.parse_args(arguments))
        except InvalidValue as error:  # with the name of an argument of `Trained.generate`
            if error.key not in ("prompt", "length", "temperature"):
                raise
            hint = error.hint or f"{parser.prog} --help shows the options"
            raise InvalidValue(f"--{error.key}", error.value, error.allowed, hint) from None


def _sample(given: Namespace) -> None:
    for file in given.out:
        if file.suffix.lower() not in (*FIGURES, ".csv"):
            raise InvalidValue("--out", str(file), f"a file {', '.join(FIGURES)} or .csv", "for example --out next.png")
    settings: dict[str, Any] = {"length": given.length}
    if given.temperature is not None:
        settings["temperature"] = given.temperature
    if given.seed is not None:
        import numpy as np

        settings["rng"] = np.random.default_rng(integer("--seed", given.seed, at_least=0, hint="for example --seed 1"))
    trained = load_run(given)
    if isinstance(trained.task, Text) and given.out:
        raise InvalidValue(
            "--out", str(given.out[0]), "left out for a text", "python -m rnnexp.sample ... > sample.txt"
        )
    continued = trained.generate(_prompt(trained, given.prompt), **settings)
    if isinstance(continued, str):
        sys.stdout.write(continued + "\n" * sys.stdout.isatty())
        sys.stdout.flush()
        return
    for file in given.out:
        try:
            _write(continued, file, trained)
        except OSError as error:
            raise InvalidValue("--out", str(file), "a file that can be written", error.strerror or str(error)) from None
    if not any(file.suffix.lower() == ".csv" for file in given.out):
        continued.table.to_csv(sys.stdout, index=False)


def _prompt(trained: Trained, given: str | None) -> Any:
    """The prompt as `Trained.generate` takes it: a text, or a number of steps."""
    if given is None or isinstance(trained.task, Text) or not trained.task.fed_back:
        return given
    try:
        return int(given)
    except ValueError:
        raise InvalidValue("--prompt", given, "a number of steps of the series", "for example --prompt 100") from None


def _write(continued: Continuation, file: Path, trained: Trained) -> None:
    if file.suffix.lower() == ".csv":
        continued.table.to_csv(file, index=False)
        return
    from rnnexp import plot
    from rnnexp.plot.axes import save_figure

    title = f"task={trained.name}: {len(continued.generated)} steps by the network after {continued.prompt} read"
    save_figure(plot.continuation(continued, title=title), file)
