"""What reading data costs: texts and CSV files by size, the latter beside pandas."""

import random
import tempfile
from collections.abc import Callable
from pathlib import Path

from measuring import Row, used

TINY = 0.01
READERS = {
    "text": "from rnnexp.tasks import Text; Text(path={path!r})",
    "table": "from rnnexp.tasks import Table; Table(path={path!r})",
    "pandas": "import pandas; pandas.read_csv({path!r})",
}


def write_text(path: Path, megabytes: float) -> None:
    """Words of ASCII letters."""
    rng, words = random.Random(0), []
    for _ in range(2000):
        words.append("".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))))
    _fill(path, lambda: " ".join(rng.choices(words, k=10_000)) + "\n", megabytes)


def write_characters(path: Path, megabytes: float, count: int = 5000) -> None:
    """Characters from an alphabet of `count`, 3 bytes each."""
    rng = random.Random(0)
    _fill(path, lambda: "".join(chr(0x4E00 + rng.randrange(count)) for _ in range(20_000)), megabytes)


def write_table(path: Path, megabytes: float) -> None:
    """Four columns of numbers under a head."""
    rng = random.Random(0)
    path.write_text("a,b,c,d\n")
    line = "{:.6f},{:.6f},{:.6f},{:.6f}\n".format
    _fill(path, lambda: "".join(line(*(rng.random() for _ in "abcd")) for _ in range(2000)), megabytes)


def _fill(path: Path, block: Callable[[], str], megabytes: float) -> None:
    """Append blocks until a size is reached; after the tenth, the first ones again."""
    blocks: list[bytes] = []
    with path.open("ab") as file:
        written = 0
        while not written or file.tell() < megabytes * 1e6:
            if written < 10:
                blocks.append(block().encode())
            file.write(blocks[written % 10])
            written += 1


def reading(megabytes: list[float], rounds: int) -> list[Row]:
    """Seconds and peak memory of reading a file, beyond those with a tiny one; the least of several rounds."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder, base = Path(place), dict[str, tuple[float, float]]()
        for size in (TINY, *megabytes):
            text, table = folder / "text.txt", folder / "table.csv"
            text.unlink(missing_ok=True)
            write_text(text, size)
            write_table(table, size)
            for name, program in READERS.items():
                path = text if name == "text" else table
                found = [used(["-c", program.format(path=str(path))], folder) for _ in range(rounds)]
                seconds, memory = min(one.seconds for one in found), min(one.memory for one in found)
                if size == TINY:
                    base[name] = seconds, memory
                    continue
                seconds, memory = max(0.01, seconds - base[name][0]), max(0.01, memory - base[name][1])
                rows.append(Row("files", name, size, "MB", seconds, "CPU s"))
                rows.append(Row("files", f"{name}, memory", size, "MB", memory, "MB"))
    return rows
