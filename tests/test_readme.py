"""The README and its translation: the same commands, choices and links, none out of date (.ci/readme runs them)."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENGLISH, KOREAN = "README.md", "README.ko.md"
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def prose(name):
    return FENCED.sub("", read(name))


def section(name, number):
    """The text of a section, by its place: headings differ between the languages."""
    return re.split(r"^## ", prose(name), flags=re.MULTILINE)[number]


def slugs(name):
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.*)$", prose(name), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_both_languages_hold_the_same_code():
    blocks = FENCED.findall(read(ENGLISH))
    assert len(blocks) > 40
    assert FENCED.findall(read(KOREAN)) == blocks


def test_both_languages_have_the_same_sections_tables_and_pictures():
    def shape(name):
        return re.findall(r"^(#+) |^(\|)|^(!)|^(</?details>)|^(<!--.*-->)", prose(name), flags=re.MULTILINE)

    assert shape(KOREAN) == shape(ENGLISH)


def test_both_languages_name_the_same_keys_and_files():
    def named(name):
        return set(re.findall(r"`([^`\n]+)`", prose(name)))

    assert named(KOREAN) == named(ENGLISH)


@pytest.mark.parametrize("name", [ENGLISH, KOREAN])
def test_every_link_leads_somewhere(name):
    links = LINK.findall(prose(name))
    assert len(links) > 20
    for link in links:
        if link.startswith("#"):
            assert link[1:] in slugs(name), link
        elif not link.startswith("http"):
            assert (ROOT / link).exists(), link


def test_the_pictures_are_small():
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", read(ENGLISH))
    assert len(pictures) >= 4
    for picture in pictures:
        assert (ROOT / picture).read_bytes().startswith(b"\x89PNG")
        assert (ROOT / picture).stat().st_size < 200_000, picture


GROUPS = sorted(path.name for path in (ROOT / "conf").iterdir() if path.is_dir() and path.name != "experiment")


@pytest.mark.parametrize("group", GROUPS)
def test_every_choice_of_a_group_is_in_the_tables(group):
    choices = {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}
    there = re.split(r"^## ", read(ENGLISH).partition("\n## Reference")[2], maxsplit=1, flags=re.MULTILINE)[0]
    rows = [row for row in there.splitlines() if row.startswith("|")]
    if group != "task":
        rows = [row for row in rows if row.startswith(("| `init", f"| `{group}"))]
    assert choices <= set(re.findall(r"`([^`]+)`", " ".join(rows)))


def test_every_root_key_is_in_the_tables():
    from rnnexp.settings import GROUPS as GROUP_KEYS
    from rnnexp.settings import ROOT_KEYS

    rows = set(re.findall(r"^\| `(\w+)` \|", read(ENGLISH), flags=re.MULTILINE))
    assert set(ROOT_KEYS) - set(GROUP_KEYS) <= rows


def test_every_study_is_in_the_table():
    studies = {path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml")}
    studies |= {path.parent.name for path in (ROOT / "experiments").glob("*/README.md")} - {"speed", "growth"}
    assert studies <= set(re.findall(r"^\| \[(\w+)\]\(experiments/\1\)", section(ENGLISH, -2), flags=re.MULTILINE))
