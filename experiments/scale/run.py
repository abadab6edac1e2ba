"""What a sweep of very many jobs costs, and where it would break: ``python experiments/scale/run.py --output FOLDER``.

Sweeps of the smallest training there is, of growing size: what they cost beside the training grows with the number of
jobs. From each quantity a line and an exponent are fitted, which say what a sweep of 100,000 jobs would cost. It takes
about twenty minutes of one core; ``--tiny`` tries it in a minute.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from proxy import Counter

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "growth"))
from measuring import SURROUNDINGS, Row, Usage, read_csv, used, write_csv  # noqa: E402

COMMON = ["hidden_size=2", "steps=5", "tracking.figures=false", "max_jobs=1000000", "quiet=true"]
STACKED = ["hydra/launcher=stacked"]
#: Sweeps by name: what is special about them, and their sizes.
Sweeps = dict[str, tuple[list[str], list[int]]]
SQLITE, WITHOUT, SERVER, RATES, SERIAL, POOL = "SQLite", "without MLflow", "server", "rates", "serial", "joblib"
SWEEPS: Sweeps = {
    SQLITE: (STACKED, [500, 1000, 2000, 5000]),
    WITHOUT: ([*STACKED, "tracking=none"], [500, 1000, 2000, 5000]),
    SERVER: (STACKED, [200, 500, 1000]),
    RATES: ([*STACKED, "tracking=none"], [500, 1000, 2000]),
    SERIAL: ([], [100, 300]),
    POOL: (["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"], [50, 150]),
}


def jobs_of(name: str, count: int) -> list[str]:
    """Overrides that make so many jobs: seeds, or for `RATES` as many rates, each of which is built for the check."""
    if name != RATES:
        return [f"seed=range(0,{count})"]
    return ["optimizer.learning_rate=" + ",".join(f"{0.01 + 1e-6 * number:.6f}" for number in range(count))]


def one_sweep(folder: Path, name: str, count: int, uri: str | None = None) -> Usage:
    """Run a sweep in a folder whose database has been used; what it took."""
    special, _ = SWEEPS[name]
    given = [*COMMON, *special, *jobs_of(name, count), "hydra.sweep.dir=sweep"]
    if uri is not None:
        given.append(f"tracking.uri={uri}")
    return used([str(HERE / "one_sweep.py"), str(folder), *given], folder)


def rows_of(name: str, count: int, found: Usage, folder: Path, base: float) -> Iterator[Row]:
    """The costs of one sweep; `base` is the size of the database before it."""
    phases = json.loads(found.output.splitlines()[-1])

    def row(series: str, value: float, unit: str) -> Row:
        return Row(name, series, count, "jobs", float(f"{value:.4g}"), unit)

    for series, first, last in (
        ("composition and check", "before check", "check"),
        *([("jobs", "check", "before summary")] if name != POOL else []),
        ("summary", "before summary", "summary"),
    ):
        yield row(series, phases[last]["seconds"] - phases[first]["seconds"], "CPU s")
    yield row("whole", found.seconds, "CPU s")  # with its workers
    yield row("memory of the command", found.memory, "MB")
    sweep = folder / "sweep"
    if name in (SQLITE, WITHOUT):
        there = list(sweep.rglob("*"))
        files = [path for path in there if path.is_file()]
        yield row("files and folders", len(there), "")
        yield row("run folders", sum(path.stat().st_blocks for path in files) * 512 / 1e6, "MB on the disk")
        yield row("sweep.html", (sweep / "sweep.html").stat().st_size / 1e3, "kB")
        yield row("sweep.csv", (sweep / "sweep.csv").stat().st_size / 1e6, "MB")
    if name == SQLITE:
        yield row("database", sum(p.stat().st_size for p in folder.glob("mlflow.db*")) / 1e6 - base, "MB")


def cpu_of_group(group: int) -> float:
    """CPU seconds of the living processes of a group and of their ended children."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[2]) == group:
                ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def server(folder: Path) -> Iterator[tuple[int, int]]:
    """An MLflow server on a database in a folder: its port, and its group of processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    where = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files")]
    command = [sys.executable, "-m", "mlflow", "server", *where, "--host", "127.0.0.1", "--port", str(port)]
    environment = {**SURROUNDINGS, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*command, "--workers", "1"], env=environment, start_new_session=True, **quiet)
    try:
        until = time.monotonic() + 300
        while time.monotonic() < until:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                break
            time.sleep(0.5)
        yield port, process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def questions(port: int, folder: Path) -> Iterator[tuple[str, float]]:
    """Seconds that a server takes to answer what a job with `skip_finished=true` asks, and to list a page of runs."""
    asked = used([str(HERE / "questions.py"), f"http://127.0.0.1:{port}"], folder)
    yield from json.loads(asked.output.splitlines()[-1]).items()


def measured(sweeps: Sweeps) -> Iterator[Row]:
    """All sweeps, from small to large; a folder is removed once its numbers are there."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        template = Path(place, "template")
        template.mkdir()
        subprocess.run(
            [sys.executable, "-m", "rnnexp", *COMMON], cwd=template, env=SURROUNDINGS, check=True, capture_output=True
        )
        for name, (_, sizes) in sweeps.items():
            for count in sizes:
                folder = Path(place, f"{count}")
                folder.mkdir()
                shutil.copy(template / "mlflow.db", folder / "mlflow.db")
                base = (folder / "mlflow.db").stat().st_size / 1e6
                if name != SERVER:
                    yield from rows_of(name, count, one_sweep(folder, name, count), folder, base)
                else:
                    yield from with_server(folder, count, base)
                shutil.rmtree(folder, ignore_errors=True)


def with_server(folder: Path, count: int, base: float) -> Iterator[Row]:
    """A sweep recorded by a server, with what goes over the network, and the time of some questions afterwards."""
    with server(folder) as (port, group):
        before, counter = cpu_of_group(group), Counter(port)
        found = one_sweep(folder, SERVER, count, f"http://127.0.0.1:{counter.port}")
        counter.close()
        taken = cpu_of_group(group) - before
        yield from rows_of(SERVER, count, found, folder, base)
        for series, value, unit in (
            ("CPU of the server", taken, "CPU s"),
            ("requests", json.loads(found.output.splitlines()[-1])["end"]["requests"], ""),
            ("connections", counter.connections, ""),
            ("sent", counter.sent / 1e6, "MB"),
            ("received", counter.received / 1e6, "MB"),
            *((series, value, "ms") for series, value in questions(port, folder)),
        ):
            yield Row(SERVER, series, count, "jobs", float(f"{value:.4g}"), unit)


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="sizes that mean nothing, to try the script")
    parser.add_argument("--only", nargs="+", choices=list(SWEEPS), help="the table keeps the others")
    parser.add_argument(
        "--jobs", nargs="+", type=int, metavar="N", help="these sizes alone; the table keeps the others"
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where table.csv, table.md and figure.png go")
    options = parser.parse_args()
    chosen = {
        name: (special, options.jobs or ([5, 10] if options.tiny else sizes))
        for name, (special, sizes) in SWEEPS.items()
        if name in (options.only or SWEEPS)
    }
    rows = []
    for row in measured(chosen):
        rows.append(row)
        print(f"{row.part}: {row.series}, {row.size:g} jobs: {row.value:g} {row.unit}", flush=True)
    from fits import draw, markdown

    if options.output is None:
        return
    options.output.mkdir(parents=True, exist_ok=True)
    table = options.output / "table.csv"
    there = {(row.part, row.size) for row in rows}
    old = read_csv(table) if (options.only or options.jobs) and table.exists() else []
    kept = [row for row in old if (row.part, row.size) not in there]
    order = {name: at for at, name in enumerate(SWEEPS)}
    shown = sorted(rows + kept, key=lambda row: (order[row.part], row.size))
    write_csv(shown, table)
    head = f"{datetime.date.today().isoformat()}; {platform.system()}, {platform.machine()}, {os.cpu_count()} cores."
    (options.output / "table.md").write_text(markdown(shown, head))
    draw(shown).savefig(options.output / "figure.png", dpi=100)


if __name__ == "__main__":
    main()
