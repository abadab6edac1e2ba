"""How long one training step takes: rnnexp, a notebook's loops, PyTorch, JAX, and the bare matrix products.

``python experiments/speed/run.py --output experiments/speed``, or ``--quick`` for a first look. A step is forward,
loss, backward through the whole sequence and the update by gradient descent, in float32, from data that lie ready.
Every contender has a process of its own; they take turns, one at a time. Before that, each trains two steps from the
same weights, and its losses must be those of rnnexp. Ratios mean something, times are of one machine.
"""

import argparse
import importlib.util
import statistics
import sys
import tempfile
from pathlib import Path

from shapes import CASES, GATES, QUICK, Shape
from tables import Row, draw, markdown, printed, write_csv
from workers import Failed, Worker

#: Contenders, the name that people read, and the package that they need.
CONTENDERS = {
    "ours": ("rnnexp", "rnnexp"),
    "loops": ("NumPy loops", "numpy"),
    "pytorch": ("PyTorch", "torch"),
    "compiled": ("torch.compile", "torch"),
    "jaxed": ("JAX jit", "jax"),
    "floor": ("products only", "numpy"),
}
TOLERANCE = 1e-4


def measure(
    cell: str, shape: Shape, threads: str, names: list[str], rounds: int, seconds: float, notes: list[str]
) -> list[Row]:
    """Every contender's time on one case; why one does not work goes into `notes`."""
    workers: dict[str, Worker] = {}
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.npz"
        try:
            for name in names:
                worker = workers[name] = Worker(name, cell, shape, threads, weights)
                try:
                    worker.begin()
                except Failed as failed:
                    if name == "ours":
                        raise
                    notes.append(f"{CONTENDERS[name][0]}, {cell} {shape}: does not work: {failed}")
                    workers.pop(name).stop()
                    continue
                check(CONTENDERS[name][0], worker.losses, workers["ours"].losses)
            times: dict[str, list[float]] = {name: [] for name in workers}
            for _ in range(rounds):
                for name, worker in workers.items():
                    times[name].append(worker.burst(seconds))
        finally:
            for worker in workers.values():
                worker.stop()
    for name, worker in workers.items():
        if worker.disturbed:
            what = f"{CONTENDERS[name][0]}, {cell} {shape}"
            notes.append(
                f"{what}: in {worker.disturbed} of {rounds} turns something else used the core: measure again."
            )
    own = statistics.median(times["ours"])
    versions = {name: worker.version for name, worker in workers.items()}
    return [
        Row(cell, shape, threads, CONTENDERS[name][0], median := statistics.median(times[name]), median / own, version)
        for name, version in versions.items()
    ]


def check(name: str, losses: list[float | None], own: list[float | None]) -> None:
    """Refuse a contender that does other work."""
    for step, (loss, ours) in enumerate(zip(losses, own, strict=True), start=1):
        if loss is not None and ours is not None and not abs(loss - ours) <= TOLERANCE * abs(ours):
            raise SystemExit(f"{name} does not do the same: its loss of step {step} is {loss:.6g}, rnnexp's {ours:.6g}")


def chosen(given: list[str] | None, known: dict[str, tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Contenders that can run here, rnnexp first, and those whose package is missing."""
    wanted = [name for name in known if given is None or name in given or name == "ours"]
    missing = [name for name in wanted if importlib.util.find_spec(known[name][1]) is None]
    return [name for name in wanted if name not in missing], [known[name][0] for name in missing]


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="the two smallest shapes, one thread, short rounds; no compiler"
    )
    parser.add_argument("--shapes", nargs="+", type=Shape.parse, metavar="N,T,D,H,O", help="instead of the usual ones")
    parser.add_argument("--cells", nargs="+", choices=list(GATES), help="all by default, in their usual shapes")
    parser.add_argument("--threads", nargs="+", choices=["1", "all"], help="both by default")
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), help="all that are installed by default")
    parser.add_argument("--rounds", type=int, help="turns that each contender has; 7 by default")
    parser.add_argument("--seconds", type=float, help="length of a turn, and three steps at least; 0.4 by default")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where table.csv, table.md and figure.png go")
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 7)
    options.seconds = options.seconds or (0.1 if options.quick else 0.4)
    options.threads = options.threads or (["1"] if options.quick else ["1", "all"])
    return options


def main() -> None:
    """Measure, print, and write."""
    options = parsed()
    cells = options.cells or (["rnn"] if options.quick or options.shapes else list(GATES))
    if options.shapes or options.quick:
        cases = [(cell, shape) for cell in cells for shape in options.shapes or QUICK]
    else:
        cases = [(cell, shape) for cell, shape in CASES if cell in cells]
    if options.quick and options.contenders is None:
        options.contenders = [name for name in CONTENDERS if name != "compiled"]  # compiling alone takes longer
    names, missing = chosen(options.contenders, CONTENDERS)
    notes = [f"Left out, since not installed: {', '.join(missing)}."] if missing else []
    if "compiled" in names:
        notes.append("torch.compile leaves nn.RNN, nn.GRU and nn.LSTM as they are; it compiles what is around them.")
    rows: list[Row] = []
    for threads in options.threads:
        for cell, shape in cases:
            found = measure(cell, shape, threads, names, options.rounds, options.seconds, notes)
            print(printed(found), flush=True)
            rows += found
    print(*notes, sep="\n", file=sys.stderr)
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        write_csv(rows, options.output / "table.csv")
        (options.output / "table.md").write_text(markdown(rows, notes))
        draw(rows).savefig(options.output / "figure.png", dpi=100)


if __name__ == "__main__":
    main()
