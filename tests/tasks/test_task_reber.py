import re
from collections import Counter
from itertools import product
from math import log
from types import SimpleNamespace

import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.tasks.reber import Reber

# The diagram, read as a regular expression. From state 3: any number of rounds X T* V P, then S, or X T* V V.
FROM_3 = "(?:XT*VP)*(?:S|XT*VV)E"
PLAIN = f"B(?:TS*X{FROM_3}|PT*V(?:VE|P{FROM_3}))"
EMBEDDED = f"B(?:T{PLAIN}T|P{PLAIN}P)E"

# The same diagram as a table: which symbol leads where, and what may follow.
TABLE = {
    0: {"T": 1, "P": 2},
    1: {"S": 1, "X": 3},
    2: {"T": 2, "V": 4},
    3: {"X": 2, "S": 5},
    4: {"P": 3, "V": 5},
    5: {"E": None},
}

# What follows each symbol in plain strings, by hand: B is followed by T, P; T comes 1/2 time before state 1 and 1 time
# before state 2 in a string, and so on.
NEXT = {
    "B": {"T": 1 / 2, "P": 1 / 2},
    "T": {"T": 1 / 3, "V": 1 / 3, "S": 1 / 6, "X": 1 / 6},
    "S": {"E": 1 / 2, "S": 1 / 4, "X": 1 / 4},
    "X": {"T": 1 / 4, "S": 1 / 4, "X": 1 / 4, "V": 1 / 4},
    "P": {"T": 1 / 4, "S": 1 / 4, "X": 1 / 4, "V": 1 / 4},
    "V": {"P": 1 / 3, "V": 1 / 3, "E": 1 / 3},
}


def strings(task, batch):
    """Every sequence as text: what was read, and the last target."""
    texts = []
    for inputs, targets, mask in zip(batch.inputs.T, batch.targets.T, batch.mask.T, strict=True):
        read = "".join(task.input_names[token] for token in inputs[mask])
        texts.append(read + task.output_names[targets[mask][-1]])
    return texts


def legal_inside(prefix):
    """Symbols that may follow a prefix of a plain string."""
    if not prefix:
        return {"B"}
    state = 0
    for symbol in prefix[1:]:
        state = TABLE[state][symbol]
    return set() if state is None else set(TABLE[state])


def legal(prefix, embedded):
    """Symbols that may follow a prefix of a string."""
    if not embedded:
        return legal_inside(prefix)
    if len(prefix) < 2:
        return {"T", "P"} if prefix else {"B"}
    inside = prefix[2:]
    if "E" not in inside:
        return legal_inside(inside)
    return {prefix[1]} if inside.endswith("E") else {"E"}


def logits_of(task, batch, predict):
    """Outputs whose softmax is what `predict` says for each prefix of inputs; -60 for what can't come."""
    outputs = np.full((*batch.inputs.shape, task.output_size), -60.0)
    known = {}
    for sequence, (inputs, mask) in enumerate(zip(batch.inputs.T, batch.mask.T, strict=True)):
        text = "".join(task.input_names[token] for token in inputs[mask])
        for step in range(len(text)):
            prefix = text[: step + 1]
            if prefix not in known:
                known[prefix] = np.full(task.output_size, -60.0)
                for symbol, probability in predict(prefix).items():
                    known[prefix][task.output_names.index(symbol)] = log(probability)
            outputs[step, sequence] = known[prefix]
    return outputs


def losses(outputs, batch):
    """The cross-entropy of each step, 0 where none is scored."""
    shifted = outputs - outputs.max(axis=-1, keepdims=True)
    normal = np.log(np.exp(shifted).sum(axis=-1))
    return np.where(batch.mask, normal - np.take_along_axis(shifted, batch.targets[..., None], -1)[..., 0], 0.0)


def close_to_ratio(sums, counts, expected):
    """sum(sums) / sum(counts) is `expected` within 5 standard errors; both are per sequence."""
    ratio = sums.sum() / counts.sum()
    error = (sums - expected * counts).std() / counts.mean() / np.sqrt(len(counts))
    assert abs(ratio - expected) < 5 * error + 1e-12, (ratio, expected, error)


def uniform(symbols):
    return {symbol: 1 / len(symbols) for symbol in symbols}


@pytest.fixture(params=[False, True], ids=["plain", "embedded"])
def embedded(request):
    return request.param


def test_the_table_and_the_expression_of_this_test_are_the_same_grammar():
    for length in range(2, 8):
        for between in product("TSXPV", repeat=length - 2):
            text = "B" + "".join(between) + "E"
            try:
                walked = "E" in legal_inside(text[:-1])
            except KeyError:
                walked = False
            assert walked == bool(re.fullmatch(PLAIN, text)), text


def test_every_string_is_of_the_grammar(embedded):
    task = Reber(embedded=embedded)
    expression = re.compile(EMBEDDED if embedded else PLAIN)
    texts = strings(task, task.sample(5000, rng=np.random.default_rng(0)))
    assert all(expression.fullmatch(text) for text in texts)


def test_every_short_string_occurs_as_often_as_its_coins_say(embedded):
    task, count = Reber(embedded=embedded), 40_000
    seen = Counter(strings(task, task.sample(count, rng=np.random.default_rng(1))))
    short = []
    for length in range(5, 9):
        for between in product("TSXPV", repeat=length - 2):
            text = "B" + "".join(between) + "E"
            if re.fullmatch(PLAIN, text):
                short += [f"BT{text}TE", f"BP{text}PE"] if embedded else [text]
    assert len(short) == (2 if embedded else 1) * (2 + 3 + 4 + 7)
    # One coin for each symbol between B and E, and one for the first T or P.
    for text in short:
        share = 0.5 ** (len(text) - (5 if embedded else 2))
        assert abs(seen[text] / count - share) < 5 * np.sqrt(share * (1 - share) / count), text
    assert {text for text in seen if len(text) <= (12 if embedded else 8)} == set(short)


def test_mean_lengths_are_8_and_12(embedded):
    task, count = Reber(embedded=embedded), 40_000
    lengths = task.sample(count, rng=np.random.default_rng(2)).mask.sum(axis=0) + 1
    assert lengths.min() == (9 if embedded else 5)
    assert abs(lengths.mean() - (12 if embedded else 8)) < 5 * lengths.std() / np.sqrt(count)
    assert len(set(lengths.tolist())) > 15


def test_a_batch_is_as_long_as_its_longest_string_and_padded_with_zeros_at_the_end(embedded):
    batch = Reber(embedded=embedded).sample(300, rng=np.random.default_rng(3))
    lengths = batch.mask.sum(axis=0)
    assert lengths.max() == len(batch.mask)
    assert np.array_equal(batch.mask, np.arange(len(batch.mask))[:, None] < lengths)
    assert not batch.mask.all()
    assert not batch.inputs[~batch.mask].any()
    assert not batch.targets[~batch.mask].any()
    assert not batch.allowed[~batch.mask].any()


def test_targets_are_the_next_symbols_and_legal_ones_are_told_step_by_step(embedded):
    task = Reber(embedded=embedded)
    assert "".join(task.input_names) == ("BTSXPVE" if embedded else "BTSXPV")
    assert "".join(task.output_names) == ("BTSXPVE" if embedded else "TSXPVE")
    batch = task.sample(200, rng=np.random.default_rng(4))
    assert batch.allowed.shape == (*batch.inputs.shape, task.output_size)
    for sequence, text in enumerate(strings(task, batch)):
        for step in range(len(text) - 1):
            assert task.input_names[batch.inputs[step, sequence]] == text[step]
            assert task.output_names[batch.targets[step, sequence]] == text[step + 1]
            right = {name for name, flag in zip(task.output_names, batch.allowed[step, sequence], strict=True) if flag}
            assert right == legal(text[: step + 1], embedded), text[: step + 1]


def test_who_knows_the_grammar_is_never_wrong_and_gets_the_best_loss(embedded):
    task = Reber(embedded=embedded)
    batch = task.sample(4000, rng=np.random.default_rng(5))
    outputs = logits_of(task, batch, lambda prefix: uniform(legal(prefix, embedded)))
    assert not (task.wrong(outputs, batch) & batch.mask).any()
    # 6 coins for 7 predictions, or 7 for 11, on average.
    assert task.floor == pytest.approx(log(2) * (7 / 11 if embedded else 6 / 7), rel=1e-12)
    each = losses(outputs, batch).sum(axis=0)
    lengths = batch.mask.sum(axis=0) + 1
    assert each == pytest.approx(log(2) * (lengths - (5 if embedded else 2)), rel=1e-9)
    close_to_ratio(each, batch.mask.sum(axis=0), task.floor)


def compare_with_the_baseline(task, batch, predict):
    """A predictor's loss, error and accuracy against the baseline's; ties are broken by lot."""
    outputs = logits_of(task, batch, predict)
    counts = batch.mask.sum(axis=0)
    close_to_ratio(losses(outputs, batch).sum(axis=0), counts, task.baseline.loss)
    outputs += 1e-6 * np.random.default_rng(0).random(outputs.shape)
    right = ((outputs.argmax(axis=-1) == batch.targets) & batch.mask).sum(axis=0)
    close_to_ratio(right, counts, task.baseline.accuracy)
    error, count = task.baseline.error, len(counts)
    failed = (task.wrong(outputs, batch) & batch.mask).any(axis=0).mean()
    assert abs(failed - error) < 5 * np.sqrt(error * (1 - error) / count)


def test_who_forgets_the_first_symbol_of_an_embedded_string_gets_the_baseline():
    task = Reber(embedded=True)

    def forgetful(prefix):
        right = legal(prefix, True)
        # Only the symbol before the last E can be T or P alone.
        return uniform({"T", "P"} if right in ({"T"}, {"P"}) else right)

    compare_with_the_baseline(task, task.sample(6000, rng=np.random.default_rng(6)), forgetful)
    assert task.baseline.loss == pytest.approx(log(2) * 8 / 11, rel=1e-12)
    assert task.baseline.accuracy == pytest.approx(7 / 11, rel=1e-12)
    assert task.baseline.error == 0.5
    assert task.baseline.exact


def test_who_sees_only_the_present_symbol_of_a_plain_string_gets_the_baseline():
    task = Reber()
    compare_with_the_baseline(task, task.sample(6000, rng=np.random.default_rng(7)), lambda prefix: NEXT[prefix[-1]])


def test_the_plain_baseline_by_hand():
    baseline = Reber().baseline
    # A string has 1 B, 3/2 T, 1 S, 1 X, 1 P and 3/2 V on average.
    per_symbol = {"B": 1, "T": 1.5, "S": 1, "X": 1, "P": 1, "V": 1.5}
    entropies = {symbol: -sum(p * log(p) for p in after.values()) for symbol, after in NEXT.items()}
    assert baseline.loss == pytest.approx(sum(per_symbol[s] * entropies[s] for s in NEXT) / 7, rel=1e-12)
    assert baseline.accuracy == pytest.approx(2.5 / 7, rel=1e-12)
    # All right from state 4 on after V: w = 2/3 (1/6 + q/2), where q = 1/4 + w/8 is that from state 3 on after P; from
    # state 2 on after P w/2; and never after B T.
    w = 14 / 69
    assert w == pytest.approx(2 / 3 * (1 / 6 + (1 / 4 + w / 8) / 2))
    assert baseline.error == pytest.approx(1 - w / 4, rel=1e-12)
    assert baseline.exact


def test_a_legal_symbol_is_right_even_if_another_comes_and_an_illegal_one_is_wrong():
    task = Reber(embedded=True)
    batch = task.sample(50, rng=np.random.default_rng(8))
    for name in task.output_names:
        outputs = np.zeros((*batch.inputs.shape, 7))
        outputs[..., task.output_names.index(name)] = 1.0
        wrong = task.wrong(outputs, batch)
        for sequence, text in enumerate(strings(task, batch)):
            told = [name not in legal(text[: step + 1], True) for step in range(len(text) - 1)]
            assert wrong[: len(text) - 1, sequence].tolist() == told


def test_solved_is_no_string_wrong():
    task = Reber(embedded=True)
    assert task.solved(SimpleNamespace(evaluation=SimpleNamespace(error=0.0))) is True
    assert task.solved(SimpleNamespace(evaluation=SimpleNamespace(error=0.002))) is False
    assert task.solved(SimpleNamespace(evaluation=None)) is None


def test_the_evaluation_set_has_the_size_asked_for():
    assert Reber(eval_sequences=17).evaluation(rng=np.random.default_rng(0)).mask.shape[1] == 17


@pytest.mark.parametrize(
    ("key", "values", "allowed"),
    [("embedded", [1, "yes", None], "true or false"), ("eval_sequences", [0, -1, 2.5, None], "a whole number >= 1")],
)
def test_values_that_make_no_task_are_refused_by_name(key, values, allowed):
    for value in values:
        with pytest.raises(InvalidValue, match=f"^{key} must be {allowed}, got "):
            Reber(**{key: value})
