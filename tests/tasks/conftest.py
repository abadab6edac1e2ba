import numpy as np
import pytest
from small_tasks import TASKS

from rnnexp.tasks import EpisodeTask, Table, Text

MADE = {}


@pytest.fixture
def table_task(tmp_path):
    """A Table task on a file of two columns, a target and an id."""

    def make(**settings):
        rng = np.random.default_rng(0)
        lines = ["id,a,b,c"]
        lines += [f"{row // 9},{','.join(f'{value:.4f}' for value in rng.standard_normal(3))}" for row in range(90)]
        path = tmp_path / "given.csv"
        path.write_text("\n".join(lines))
        return Table(path=str(path), **settings)

    return make


@pytest.fixture
def text_task(tmp_path):
    """A Text task on a file that holds the given text, of which nothing is kept for the test unless asked for."""

    def make(text, output_size=None, **settings):
        path = tmp_path / "given.txt"
        path.write_bytes(text.encode())
        return Text(output_size, path=str(path), **{"test_fraction": 0, **settings})

    return make


@pytest.fixture
def random_text():
    """`length` characters out of `alphabet`, uneven enough for ties to be rare."""

    def make(length, alphabet="abcdefg\n ", seed=0):
        rng = np.random.default_rng(seed)
        weights = rng.dirichlet(np.ones(len(alphabet)))
        return "".join(rng.choice(list(alphabet), size=length, p=weights))

    return make


@pytest.fixture
def make_task(text_task, random_text, table_task):
    """Every kind of task, small, by name; each is made once, for a task does not change."""
    makers = TASKS | {
        "text": lambda: text_task(random_text(3000), test_fraction=0.1),
        "text, capped": lambda: text_task(random_text(3000), 4, test_fraction=0.1),
        "table": lambda: table_task(inputs=["a", "b"], length=7),
        "table, ids": lambda: table_task(inputs=["a", "b", "c"], targets="c", sequence="id"),
    }

    def make(name, *, again=False):
        if again or name not in MADE:
            MADE[name] = makers[name]()
        return MADE[name]

    return make


@pytest.fixture
def draw():
    """Training data of any task: `batch_size` sequences, `steps` steps if it is a stream."""

    def drawn(task, batch_size, rng, steps=12):
        if isinstance(task, EpisodeTask):
            return task.sample(batch_size, rng=rng)
        return task.read(task.begin(batch_size, rng=rng), steps, rng=rng)

    return drawn
