import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.tasks import Text
from rnnexp.tasks.text import UNKNOWN, python_reference

HANGUL = "나 보기가 역겨워\n가실 때에는\n말없이 고이 보내 드리우리다\n" * 8


def test_the_vocabulary_is_every_character_in_code_point_order(text_task):
    task = text_task(HANGUL + "🙂")
    assert task.characters == sorted(set(HANGUL + "🙂"))
    assert task.input_size == task.output_size == len(task.characters)


def test_a_hangul_file_keeps_every_character(text_task):
    task = text_task(HANGUL)
    tokens = np.concatenate([task.training_tokens, task.evaluation_tokens])
    assert task.decode(tokens) == HANGUL
    assert np.array_equal(task.encode(HANGUL), tokens)


def test_other_data_have_another_digest(text_task):
    digests = [text_task(HANGUL).digest, text_task(HANGUL + "!").digest, text_task(HANGUL[::-1]).digest]
    digests.append(text_task(HANGUL, eval_fraction=0.5).digest)
    assert len(set(digests[:3])) == 3 and digests[3] == digests[0]
    assert text_task(HANGUL).digest == digests[0]
    # The same tokens, of other characters.
    assert text_task("ab" * 50).digest != text_task("cd" * 50).digest


def test_a_byte_order_mark_is_no_character_and_line_ends_are_one(text_task):
    task = text_task("\ufeffab\r\nab\r\nab\r\n")
    assert task.characters == ["\n", "a", "b"]
    assert len(task.training_tokens) + len(task.evaluation_tokens) == 9


@pytest.mark.parametrize(("fraction", "held_out"), [(0.1, 10), (0.25, 25), (0.5, 50), (0.001, 2), (0.9, 90)])
def test_the_last_part_of_the_text_is_held_out(text_task, random_text, fraction, held_out):
    text = random_text(100)
    task = text_task(text, eval_fraction=fraction)
    assert task.decode(task.training_tokens) == text[:-held_out]
    assert task.decode(task.evaluation_tokens) == text[-held_out:]


def test_a_cap_keeps_the_most_frequent_characters_of_the_training_part(text_task):
    training, evaluation = "a" * 40 + "b" * 20 + "z" * 15 + "c" * 10 + "d" * 5, "d" * 10
    task = text_task(training + evaluation, 4)
    assert task.characters == ["a", "b", "z", UNKNOWN]
    assert task.output_size == task.input_size == 4
    assert task.decode(task.training_tokens) == "a" * 40 + "b" * 20 + "z" * 15 + UNKNOWN * 15
    assert task.decode(task.evaluation_tokens) == UNKNOWN * 10


def test_a_cap_above_the_number_of_characters_adds_no_unknown_symbol(text_task):
    assert text_task("abc" * 20, 3).characters == ["a", "b", "c"]
    assert text_task("abc" * 20, 50).characters == ["a", "b", "c"]
    assert text_task("abc" * 20, 2).characters == ["a", UNKNOWN]


def test_a_text_that_holds_the_unknown_symbol_itself_keeps_a_vocabulary_of_two(text_task):
    task = text_task(UNKNOWN * 100 + "abc" * 20, 2)
    assert task.output_size == 2


def test_encoding_puts_the_unknown_symbol_for_other_characters_or_leaves_them_out(text_task):
    capped, whole = text_task("aaaabbbccd" * 20, 3), text_task("abc" * 20)
    assert capped.decode(capped.encode("abcx")) == f"ab{UNKNOWN}{UNKNOWN}"
    assert whole.decode(whole.encode("abcx")) == "abc"
    assert capped.encode("").shape == (0,)
    assert capped.encode("").dtype == np.int64


@pytest.mark.parametrize("batch_size", [1, 3, 7])
@pytest.mark.parametrize("chunks", [[5] * 60, [1] * 300, [299, 1], [40, 3, 257]])
def test_streams_read_on_without_a_gap_and_go_round(text_task, random_text, batch_size, chunks):
    text = random_text(110)
    task = text_task(text, eval_fraction=0.1)
    training = text[:99]
    rng = np.random.default_rng(0)
    place = task.begin(batch_size, rng=rng)
    starts = place.arrays["position"].copy()
    batches = [task.read(place, steps, rng=rng) for steps in chunks]
    inputs = np.concatenate([batch.inputs for batch in batches])
    targets = np.concatenate([batch.targets for batch in batches])
    assert all(batch.mask.all() for batch in batches)
    for stream, start in enumerate(starts):
        endless = (training * 5)[start : start + 301]
        assert task.decode(inputs[:, stream]) == endless[:-1]
        assert task.decode(targets[:, stream]) == endless[1:]


def test_streams_start_evenly_spread(text_task, random_text):
    task = text_task(random_text(1000))
    starts = task.begin(7, rng=np.random.default_rng(0)).arrays["position"]
    assert starts[0] == 0
    gaps = np.diff([*starts, 900])
    assert set(gaps) <= {900 // 7, 900 // 7 + 1}


def test_no_more_streams_than_characters_to_train_on(text_task):
    task = text_task("abcdefghij")
    assert task.begin(8, rng=np.random.default_rng(0)).arrays["position"].tolist() == list(range(8))
    with pytest.raises(InvalidValue, match="batch_size must be <= 8"):
        task.begin(9, rng=np.random.default_rng(0))


@pytest.mark.parametrize("held_out", [2, 3, 200, 401, 402, 602, 12_801, 12_802, 13_500])
def test_evaluation_predicts_every_character_but_the_first_exactly_once(text_task, random_text, held_out):
    text = random_text(held_out * 2)
    task = text_task(text, eval_fraction=0.5)
    batch = task.evaluation(rng=np.random.default_rng(0))
    assert batch.mask.sum() == held_out - 1
    # Stream after stream, the scored steps are the evaluation part in its order.
    assert task.decode(batch.inputs.T[batch.mask.T]) == text[held_out:-1]
    assert task.decode(batch.targets.T[batch.mask.T]) == text[held_out + 1 :]
    assert batch.mask[0].all()
    # Every stream starts without a past: they are few and long, so that this costs little.
    assert len(batch.mask) >= min(200, held_out - 1)
    assert batch.mask.shape[1] <= 64


def test_generated_text_starts_after_a_line_break_if_there_is_one(text_task):
    task = text_task("the cat\nthe hat\n")
    assert task.characters[task.start] == "\n"
    task = text_task("the cat, the hat")
    assert task.characters[task.start] == "t"


def test_the_unit_of_text_is_bits_per_character(text_task):
    assert text_task("abab").further_metrics(1.5) == {"bits_per_character": pytest.approx(1.5 / np.log(2))}


def test_without_a_path_it_is_the_python_reference():
    text = python_reference()
    assert len(text) > 400_000
    task = Text()
    assert task.decode(task.training_tokens[:500]) == text[:500]
    assert task.decode(task.test_tokens[-500:]) == text[-500:]
    # English with a smoothed bigram model: well below the entropy of single letters, far above one nat.
    assert 1.5 < task.baseline.loss < 3.0
    assert 0.2 < task.baseline.accuracy < 0.6  # 0.505 with the text of Python 3.13


@pytest.mark.parametrize(
    ("fractions", "parts"), [((0.1, 0.1), (80, 10, 10)), ((0.25, 0.001), (73, 25, 2)), ((0.001, 0.5), (48, 2, 50))]
)
def test_the_text_is_split_in_three_by_position(text_task, random_text, fractions, parts):
    text = random_text(100)
    task = text_task(text, eval_fraction=fractions[0], test_fraction=fractions[1])
    cut, end = parts[0], parts[0] + parts[1]
    assert task.decode(task.training_tokens) == text[:cut]
    assert task.decode(task.evaluation_tokens) == text[cut:end]
    batch = task.test(rng=np.random.default_rng(0))
    assert task.decode(batch.inputs.T[batch.mask.T]) == text[end:-1]
    assert task.decode(batch.targets.T[batch.mask.T]) == text[end + 1 :]


def test_a_tenth_is_kept_for_the_test_unless_none_is_wanted(text_task):
    assert len(Text().test_tokens) == round(0.1 * len(python_reference()))
    assert text_task(HANGUL, test_fraction=0).test(rng=np.random.default_rng(0)) is None
