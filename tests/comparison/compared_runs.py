"""Tables of runs made for the tests of what compares them."""

import itertools
import math

import numpy as np
import pandas as pd

LOSS = "final/eval/loss"
NAN = math.nan


def table_of(losses, **columns):
    """A table of finished runs r0, r1, ... with these losses."""
    rows = {"name": [f"run {index}" for index in range(len(losses))], "status": "FINISHED", **columns, LOSS: losses}
    return pd.DataFrame(rows, index=[f"r{index}" for index in range(len(losses))])


def grid(seeds=2, **values):
    """Every combination, with a loss, a decay rate and a curve for each."""
    rng = np.random.default_rng(0)
    rows = [dict(zip([*values, "seed"], row, strict=True)) for row in itertools.product(*values.values(), range(seeds))]
    table = table_of(rng.uniform(0.1, 1.4, len(rows)), **pd.DataFrame(rows, dtype=object).to_dict("list"))
    table["final/eval/accuracy"] = 0.5
    table["final/gradient/decay_rate"] = rng.normal(-0.2, 0.2, len(rows))
    curves = {run: pd.Series(-0.1 * np.arange(12.0), index=range(12)) for run in table.index}
    return table, curves, [*values, "seed"]
