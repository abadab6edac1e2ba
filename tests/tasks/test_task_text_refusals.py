import pytest

from rnnexp.checks import InvalidValue
from rnnexp.tasks import Text


@pytest.fixture
def refused(tmp_path):
    """The refusal of a file that holds these bytes."""

    def of(content, **settings):
        path = tmp_path / "given.txt"
        path.write_bytes(content)
        with pytest.raises(InvalidValue) as caught:
            Text(path=str(path), **{"test_fraction": 0, **settings})
        return caught.value

    return of


def test_a_missing_file_is_refused_with_the_folder_it_was_looked_for_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidValue) as caught:
        Text(path="nowhere.txt")
    problem, hint = str(caught.value).splitlines()
    assert problem.startswith("path must be a readable UTF-8 text file, got nowhere.txt")
    assert "No such file" in hint
    assert str(tmp_path) in hint


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(InvalidValue, match=r"^path must be a readable UTF-8 text file.*\n.*directory"):
        Text(path=str(tmp_path))


def test_a_file_that_cannot_be_opened_is_refused_with_the_reason(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("abab" * 20)
    with pytest.raises(InvalidValue, match=r"^path must be .*\n.*Not a directory"):
        Text(path=str(path / "below.txt"))
    with pytest.raises(InvalidValue, match=r"^path must be .*\n.*name too long"):
        Text(path=str(tmp_path / ("x" * 400)))


@pytest.mark.parametrize("path", ["", "a\0b", "~nosuchuserhere/text.txt", 5, ["a.txt"], True], ids=repr)
def test_a_path_that_is_none_is_refused(path):
    with pytest.raises(InvalidValue, match=r"^path must be "):
        Text(path=path)


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(refused, content):
    error = refused(content)
    assert error.key == "path"
    assert "empty" in error.hint


@pytest.mark.parametrize("content", [b"abc\xff\xfe", "한글".encode("euc-kr"), b"\xed\xa0\x80aa"])
def test_bytes_that_are_not_utf8_are_refused(refused, content):
    error = refused(content * 20)
    assert error.key == "path"
    assert "UTF-8" in str(error)
    assert "is not UTF-8" in error.hint


def test_the_first_byte_that_is_not_utf8_is_named(refused):
    assert "byte 3 " in refused(b"abc\xffdefg").hint


def test_nul_characters_are_refused(refused):
    error = refused(b"some text\0with a zero byte in it")
    assert error.key == "path"
    assert "NUL" in error.hint


@pytest.mark.parametrize("content", [b"a", b"ab", b"aba"])
def test_a_text_too_short_to_split_is_refused(refused, content):
    assert str(refused(content)).startswith("path must be a text of at least 4 characters")


def test_a_text_of_one_symbol_is_refused(refused):
    assert "2 of them different" in str(refused(b"a" * 500))


def test_four_characters_are_enough(text_task):
    task = text_task("abab")
    assert len(task.training_tokens) == len(task.evaluation_tokens) == 2


@pytest.mark.parametrize("cap", [1, 0, -1, 2.0, "all", True])
def test_a_vocabulary_below_two_is_refused(refused, cap):
    error = refused(b"abab" * 20, output_size=cap)
    assert str(error).startswith("output_size must be a whole number >= 2")


@pytest.mark.parametrize("fraction", [0, 1, 0.0, 1.0, -0.1, 1.5, float("nan"), float("inf"), "half", None, True])
def test_a_fraction_outside_zero_and_one_is_refused(refused, fraction):
    error = refused(b"abab" * 20, eval_fraction=fraction)
    assert str(error).startswith("eval_fraction must be a number > 0 and < 1")


def test_a_fraction_that_leaves_nothing_to_train_on_is_named(refused):
    # The text is long enough and varied enough: it is the fraction that has to change.
    assert "eval_fraction" in str(refused(b"abcd" * 250, eval_fraction=0.9999))


def test_six_characters_are_enough_for_three_parts(text_task, refused):
    task = text_task("ababab", test_fraction=0.1)
    assert [len(part) for part in (task.training_tokens, task.evaluation_tokens, task.test_tokens)] == [2, 2, 2]
    assert "at least 6 characters" in str(refused(b"ababa", test_fraction=0.1))


def test_the_larger_of_the_fractions_that_leave_nothing_is_named(refused, text_task):
    text = b"abcd" * 250
    for fractions in ({"eval_fraction": 0.1, "test_fraction": 0.95}, {"eval_fraction": 0.95, "test_fraction": 0.1}):
        larger = max(fractions, key=fractions.get)
        error = refused(text, **fractions)
        assert error.key == larger and error.hint == "try 0.1"
        text_task(text.decode(), **{**fractions, larger: 0.1})
