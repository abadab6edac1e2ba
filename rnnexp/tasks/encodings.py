"""How a file's bytes become text: as its mark or a setting says; and what a file that is no such text could be."""

import codecs
from typing import Any

from rnnexp.checks import InvalidValue

#: Byte order marks, the longer ones first.
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: What files that are no text begin with.
BINARY = (
    (b"PK\x03\x04", "an Excel workbook or another ZIP archive: save its sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls) or the like: save its sheet as CSV"),
    (b"\x1f\x8b", "a gzip file: let its name end in .gz"),
    (b"PAR1", "a Parquet file: let its name end in .parquet"),
    (b"\x93NUMPY", "an array of NumPy: save it by a name with numpy.savez"),
    (b"\x89HDF", "an HDF5 file: save what is needed of it as CSV or .npz"),
    (b"SQLite format 3", "an SQLite database: export a table as CSV"),
    (b"%PDF", "a PDF document: save its text, or its table as CSV"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x7fELF", "a program"),
    (b"7z\xbc\xaf", "a 7z archive: unpack it"),
    (b"BZh", "a bzip2 file: unpack it"),
    (b"\xfd7zXZ", "an xz file: unpack it"),
)
#: Bytes that text in an encoding with ASCII in it does not have.
CONTROLS = bytes([*range(9), *range(14, 27), *range(28, 32), 127])
#: Correctly decoded characters beyond ASCII after which a file is UTF-8 with a fault in it.
ENOUGH = 10


def text_encoding(value: Any) -> str | None:
    """The setting `encoding`: null, or a text encoding that Python knows."""
    if value is None:
        return None
    allowed = "null (UTF-8, or as a byte order mark says) or the name of a text encoding"
    hint = "for example task.encoding=cp949 (Korean), shift_jis, gb18030, cp1252 (Western European), utf-16"
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidValue("encoding", value, allowed, hint)
    try:
        found = codecs.lookup(str(value))
        "".encode(str(value))  # refused by codecs that make no text
    except (LookupError, ValueError, TypeError):
        raise InvalidValue("encoding", value, allowed, hint) from None
    return "utf-8-sig" if found.name == "utf-8" else found.name


def encoding_of(head: bytes, given: str | None) -> str:
    """The encoding of a file that begins with `head`."""
    marked = next((name for mark, name in MARKS if head.startswith(mark)), None)
    return given or marked or "utf-8-sig"


def binary(head: bytes, encoding: str) -> str:
    """Why a file that begins with `head` is not text in `encoding`; empty if it may be."""
    for mark, kind in BINARY:
        if head.startswith(mark):
            return f"it is {kind}" if ":" in kind else f"it is a binary file: {kind}"
    if encoding.startswith(("utf-16", "utf-32", "utf_16", "utf_32")) or not head:
        return ""
    if b"\0" in head:
        even, odd = head[::2].count(0), head[1::2].count(0)
        for name, few, many in (("utf-16-le", even, odd), ("utf-16-be", odd, even)):
            if many > len(head) / 8 and not few and head.count(b"\0\0") == 0 and _is_text(_decoded(head, name)):
                return f"it holds NUL bytes, as UTF-16 does: try task.encoding={name}"
        return "it holds NUL bytes: it is a binary file"
    if len(head) - len(head.translate(None, CONTROLS)) > len(head) / 50:
        return "it is a binary file: it is full of control characters"
    return ""


def advice(before: str, sample: bytes, start: int, encoding: str) -> str:
    """What to do about bytes that are not in `encoding`: those from `start` on, after the text `before` that was."""
    if encoding != "utf-8-sig":
        return "it is UTF-8: leave task.encoding out" if _decoded(sample, "utf-8") else _try(sample[start:])
    if sum(character > "\x7f" for character in before) > ENOUGH:
        return "the text before it is UTF-8: the file is damaged there, or was put together from two"
    return _try(sample[start:])


def _try(sample: bytes) -> str:
    return f"try task.encoding={guessed(sample)}"


def guessed(sample: bytes) -> str:
    """The encoding that a text with other bytes than UTF-8's is probably in, with its script in brackets."""
    for name, strict, script, range_, share in (
        ("cp949", "euc_kr", "Korean", ("\uac00", "\ud7a3"), 0.8),
        ("cp932", "cp932", "Japanese", ("\u3041", "\u30ff"), 0.3),
        ("cp949", "cp949", "Korean", ("\uac00", "\ud7a3"), 0.8),
        ("gb18030", "gb2312", "Chinese", ("\u4e00", "\u9fff"), 0.8),
    ):
        text = _decoded(sample, strict)
        letters = [character for character in text if character > "\x7f" and character.isalpha()]
        if sum(range_[0] <= letter <= range_[1] for letter in letters) > share * len(letters):
            return f"{name} ({script})"
    western = "cp1252" if _decoded(sample, "cp1252") else "latin-1"
    return f"{western} (Western European), or the one that it was saved in, such as cp949 (Korean)"


def _is_text(text: str) -> bool:
    """Whether nearly all characters are ones that are written."""
    written = sum(character.isprintable() or character.isspace() for character in text)
    return written > 0.95 * len(text) > 0


def _decoded(sample: bytes, encoding: str) -> str:
    """The text, but for a character that the end cuts; empty if it is none in this encoding."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return ""
