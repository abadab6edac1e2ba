"""The README, the guide and their translations: nothing out of date, the same commands (.ci/readme runs them)."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README, GUIDE = ROOT / "README.md", ROOT / "guide"
FENCED = re.compile(r"^```(\S+)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
PAGES = [README, ROOT / "README.ko.md", ROOT / "rnnexp" / "README.md", *sorted(GUIDE.rglob("*.md"))]
#: What is translated, and its translation.
TRANSLATED = [(page, GUIDE / "ko" / page.name) for page in sorted((GUIDE / "learn").glob("*.md"))]
TRANSLATED.append((README, ROOT / "README.ko.md"))
#: A comment, or a docstring of one line: what is translated of the code.
COMMENT = re.compile(r"(^|[ ])[ ]*(#.*|\"{3}.*\"{3})$", flags=re.MULTILINE)


def read(page):
    return page.read_text(encoding="utf-8")


def prose(page):
    return FENCED.sub("", read(page))


def slugs(page):
    """What GitHub, and the site, make of the headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_a_front_page_and_opens_on_everything():
    assert max(README.stat().st_size, (ROOT / "README.ko.md").stat().st_size) <= 12_288
    assert {f"guide/{door}/index.md" for door in ("learn", "research", "own")} <= set(LINK.findall(prose(README)))


def test_every_page_of_the_guide_is_linked_from_the_index_of_its_folder():
    for page in GUIDE.glob("*/*.md"):
        index = page.parent / (
            "python.md" if read(page).startswith(("# `rnnexp.", "# One page", "# Rec")) else "index.md"
        )
        assert page == index or page.stem in read(index), page


def code(page):
    """Kinds and contents of the blocks, without comments; of a drawing in words, its numbers and brackets."""
    found = []
    for kind, content in FENCED.findall(read(page)):
        if kind == "text" and "FINISHED" not in content:
            content = re.findall(r"\d+|\[-* ?\]", content)
        if not kind.startswith("{"):
            found.append((kind, COMMENT.sub("", content) if kind in ("bash", "python", "sh", "yaml") else content))
    return found


def formulas(page):
    """Formulas without words, spaces and the full stop of the sentence, with `$` around each."""
    every = re.findall(r"\$\$?[^$]+\$\$?", prose(page))
    return Counter(re.sub(r"\\text\{[^}]*\}|\s|[.,](?=\$)", "", formula) for formula in every)


@pytest.mark.parametrize(("page", "translation"), TRANSLATED, ids=[page.stem for page, _ in TRANSLATED])
def test_a_translated_page_has_the_same_code_sections_tables_and_pictures(page, translation):
    def shape(page):
        return re.findall(r"^(#+) |^(\|)|^(!)|^(</?details>)", prose(page), flags=re.MULTILINE)

    assert code(translation) == code(page)
    assert shape(translation)[: len(shape(page))] == shape(page)


@pytest.mark.parametrize(("page", "translation"), TRANSLATED, ids=[page.stem for page, _ in TRANSLATED])
def test_a_translated_page_has_the_same_formulas_names_and_numbers(page, translation):
    def names(page):
        return set(re.findall(r"`[^`]+`", prose(page)))

    def numbers(page):
        return Counter(re.findall(r"\d+(?:\.\d+)?", LINK.sub("", prose(page))))

    assert formulas(translation) == formulas(page)
    assert names(page) <= names(translation)
    assert not numbers(page) - numbers(translation)


def test_the_korean_pages_have_one_word_for_a_thing():
    for page in (ROOT / "README.ko.md", *(GUIDE / "ko").glob("*.md")):
        assert not re.findall(r"그라디언트|그레이디언트|경사|윈도우|절단|기본 RNN|테스트셋|하십시오", prose(page)), page


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_leads_somewhere(page):
    for link in LINK.findall(prose(page)):
        path, _, heading = link.partition("#")
        if not link.startswith("http"):
            there = (page.parent / path) if path else page
            assert there.exists(), link
            assert not heading or heading in slugs(there), link


def test_the_pictures_are_small():
    pictures = [page.parent / link for page in PAGES for link in re.findall(r"!\[[^]]+\]\(([^)]+\.png)\)", read(page))]
    assert len(pictures) >= 4
    for picture in pictures:
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.stat().st_size < 200_000, picture


CHOICES = read(GUIDE / "reference" / "choices.md")
GROUPS = sorted(path.name for path in (ROOT / "conf").iterdir() if path.is_dir() and path.name != "experiment")


@pytest.mark.parametrize("group", GROUPS)
def test_every_choice_of_a_group_is_in_the_tables(group):
    choices = {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}
    rows = [row for row in CHOICES.splitlines() if row.startswith("|")]
    if group != "task":
        rows = [row for row in rows if row.startswith(("| `init", f"| `{group}"))]
    assert choices <= set(re.findall(r"`([^`]+)`", " ".join(rows)))


@pytest.mark.parametrize("group", ["task", "cell", "algorithm", "optimizer"])
def test_the_short_tables_of_the_readme_have_every_choice(group):
    choices = {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}
    rows = [row for row in read(README).splitlines() if row.startswith("|")]
    assert choices <= set(re.findall(r"`([^`]+)`", " ".join(rows)))


def test_every_root_key_is_in_the_tables():
    from rnnexp.settings import GROUPS as GROUP_KEYS
    from rnnexp.settings import ROOT_KEYS

    rows = set(re.findall(r"^\| `(\w+)` \|", CHOICES, flags=re.MULTILINE))
    assert set(ROOT_KEYS) - set(GROUP_KEYS) <= rows


def test_every_study_is_in_the_table():
    studies = {path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml")}
    studies |= {path.parent.name for path in (ROOT / "experiments").glob("*/README.md")} - {"speed", "growth"}
    listed = re.findall(
        r"^\| \[(\w+)\]\(../../experiments/\1/README.md\)", read(GUIDE / "research" / "studies.md"), re.M
    )
    assert studies <= set(listed)
