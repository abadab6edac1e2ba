"""What a user waits for, and how it grows with the work: ``python experiments/growth/run.py --output FOLDER``.

Ratios and slopes (of the logarithm of a cost over that of its size; 1 is proportional), from commands that are run in
processes of their own, by processor time. It takes about five minutes; ``--full`` measures sizes that take hours on
some parts, ``--tiny`` tries everything in seconds.
"""

import argparse
import datetime
import os
import platform
from dataclasses import replace
from pathlib import Path

from measuring import Row, read_csv, write_csv
from parts import FULL, PARTS, TINY, USUAL


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--full", action="store_true", help="large sizes: files of 300 MB, 10,000 runs, T=10,000")
    size.add_argument("--tiny", action="store_true", help="sizes that mean nothing, to try the script")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=list(PARTS),
        metavar="PART",
        help=f"of {', '.join(PARTS)}; the table keeps the others",
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where table.csv, table.md and figure.png go")
    options = parser.parse_args()
    sizes = FULL if options.full else TINY if options.tiny else USUAL
    rows: dict[str, list[Row]] = {}
    for name in options.only or PARTS:
        # As the table has them, so that what is computed from it is what is printed.
        rows[name] = [replace(row, value=float(f"{row.value:.4g}")) for row in PARTS[name](sizes)]
        for row in rows[name]:
            at = f", {row.size:g} {row.of}" if row.of else ""
            print(f"{row.part}: {row.series}{at}: {row.value:.3g} {row.unit}", flush=True)
    # Only now: a child's peak of memory would begin with that of this process.
    from tables import draw, markdown

    table = (options.output or Path()) / "table.csv"
    kept = read_csv(table) if options.output is not None and options.only and table.exists() else []
    shown = [row for part in PARTS for row in rows.get(part, [row for row in kept if row.part == part])]
    head = f"{datetime.date.today().isoformat()}; {platform.system()}, {platform.machine()}, {os.cpu_count()} cores."
    text = markdown(shown, head)
    print(text)
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        write_csv(shown, table)
        (options.output / "table.md").write_text(text)
        if any(row.of for row in shown):
            draw(shown).savefig(options.output / "figure.png", dpi=100)


if __name__ == "__main__":
    main()
