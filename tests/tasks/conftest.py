import numpy as np
import pytest

from rnnexp.tasks import Adding, Echo, EpisodeTask, InfluenceBalancing, Recall, Text


@pytest.fixture
def text_task(tmp_path):
    """A Text task on a file that holds the given text."""

    def make(text, output_size=None, **settings):
        path = tmp_path / "given.txt"
        path.write_bytes(text.encode())
        return Text(output_size, path=str(path), **settings)

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
def make_task(text_task, random_text):
    """Every kind of task, small, by name."""
    makers = {
        "recall": lambda: Recall(5, lag=4, distractors=3, eval_sequences=11),
        "recall, smallest": lambda: Recall(2, lag=2, distractors=1, eval_sequences=7),
        "adding": lambda: Adding(length=9, eval_sequences=13),
        "echo": lambda: Echo(lag=3, eval_streams=4, eval_steps=31),
        "influence": lambda: InfluenceBalancing(eval_steps=20),
        "text": lambda: text_task(random_text(3000)),
        "text, capped": lambda: text_task(random_text(3000), 4),
    }
    return lambda name: makers[name]()


@pytest.fixture
def draw():
    """Training data of any task: `batch_size` sequences, `steps` steps if it is a stream."""

    def drawn(task, batch_size, rng, steps=12):
        if isinstance(task, EpisodeTask):
            return task.sample(batch_size, rng=rng)
        return task.read(task.begin(batch_size, rng=rng), steps, rng=rng)

    return drawn
