"""A tracking database with very many runs, made by SQL from a small real one: for measuring what grows with them."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

#: Rows of a run, by table, with the columns that are copied as they are.
COPIED = {
    "params": ("key", "value"),
    "tags": ("key", "value"),
    "latest_metrics": ("key", "value", "timestamp", "step", "is_nan"),
    "metrics": ("key", "value", "timestamp", "step", "is_nan"),
}
CURVE = "gradient_by_lag/last"


def multiply_runs(source: Path, target: Path, count: int, *, histories: bool = False) -> None:
    """Copy a database, and let the copy have `count` runs in place of the FINISHED ones of its sweep.

    The copies of a run differ in their seed, their configuration's hash, and all their metrics, by up to 10 %.

    Parameters
    ----------
    source : Path
        A database that ``python -m rnnexp -m ...`` has made; it stays as it is.
    target : Path
        Must not be there.
    histories : bool
        Copy the whole history of every metric; otherwise the last values, and the curve of the gradient by lag.
    """
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
        new.execute("pragma synchronous = off")
        new.execute(
            "create temp table templates as select row_number() over (order by start_time, run_uuid) - 1 as place,"
            " run_uuid from runs where status = 'FINISHED' and run_uuid in"
            " (select run_uuid from tags where key = 'rnnexp.kind' and value = 'run')"
        )
        (many,) = new.execute("select count(*) from templates").fetchone()
        new.execute(
            "create temp table copies as with recursive number(n) as"
            " (select 0 union all select n + 1 from number where n + 1 < ?)"
            " select n, printf('%032x', n + 1) as id, run_uuid as old, 1 + 0.1 * (n * 7919 % 1000) / 1000 as factor"
            " from number join templates on place = n % ?",
            (count, many),
        )
        _copy_runs(new)
        for table, columns in COPIED.items():
            some = f"where old.key = '{CURVE}'" if table == "metrics" and not histories else ""
            copied = ", ".join(f"old.value * factor as {name}" if _changes(table, name) else name for name in columns)
            new.execute(
                f"insert into {table} ({', '.join(columns)}, run_uuid)"
                f" select {copied}, id from copies join {table} as old on old.run_uuid = copies.old {some} order by n"
            )
        new.execute(
            "update params set value = (select n / ? from copies where id = run_uuid)"
            " where key = 'seed' and run_uuid in (select id from copies)",
            (many,),
        )
        new.execute(
            "update tags set value = substr(run_uuid, -16)"
            " where key in ('rnnexp.config_hash', 'rnnexp.settings_hash') and run_uuid in (select id from copies)"
        )
        for table in (*COPIED, "runs"):
            new.execute(f"delete from {table} where run_uuid in (select run_uuid from templates)")
        new.commit()
        new.execute("pragma journal_mode = wal")


def _changes(table: str, column: str) -> bool:
    return column == "value" and "metrics" in table


def _copy_runs(database: sqlite3.Connection) -> None:
    columns = [row[1] for row in database.execute("pragma table_info(runs)")]
    new = {"run_uuid": "id", "start_time": "start_time + n"}
    chosen = ", ".join(new.get(name, name) for name in columns)
    database.execute(
        f"insert into runs ({', '.join(columns)})"
        f" select {chosen} from copies join runs on runs.run_uuid = copies.old order by n"
    )


def multiply_jobs(source: Path, target: Path, count: int) -> None:
    """The folder of a sweep with `count` records of jobs in place of those of a small one.

    The copies differ in their number, run, seed, and all their metrics, by up to 10 %.

    Parameters
    ----------
    source : Path
        The folder of a sweep that ``python -m rnnexp -m ...`` has made; it stays as it is.
    target : Path
        Made.
    """
    records = [json.loads(path.read_text().splitlines()[-1]) for path in sorted((source / "jobs").iterdir())]
    (target / "jobs").mkdir(parents=True)
    (target / "sweep.json").write_bytes((source / "sweep.json").read_bytes())
    for number in range(count):
        record, factor = records[number % len(records)], 1 + 0.1 * (number * 7919 % 1000) / 1000
        copy = {**record, "number": number, "run": f"{number + 1:032x}", "config": f"{number:016x}"}
        copy["values"] = {**record["values"], "seed": number // len(records)}
        seed = f"seed={copy['values']['seed']}"
        copy["overrides"] = [seed if text.startswith("seed=") else text for text in record["overrides"]]
        copy["metrics"] = {name: value * factor for name, value in record["metrics"].items()}
        (target / "jobs" / f"{number:06d}.jsonl").write_text(json.dumps(copy) + "\n")
