import base64
import re
from html.parser import HTMLParser

import pytest
from jinja2 import UndefinedError

from rnnexp.pages import browser_file, data_uri, render

HOSTILE = ["<script>alert('x')</script> & \"q\"", "{{ 7 * 7 }}", "{% raw %}", "{# gone #}", '" onerror="x']
EMPTY = {"title": "t", "sentences": [], "figures": []}
GRADIENT = {"step": 0, "sequences": 2, "numbers": [], "undefined": []}
SWEEP = {
    **{"influence": None, "scale": "", "count": 1, "metric": "", "means": ([], []), "told_means": ""},
    **{
        "runs": ([], [["a"]]),
        "told_runs": "",
        "included": [True],
        "of": "",
        "average": "",
        "names": [("a run", "its id", "")],
    },
}
PAGES = [("gradient_report.html", GRADIENT), ("sweep.html", SWEEP)]


class Reader(HTMLParser):
    """What a browser finds in a page: tags with their attributes, and the texts."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(bytes(range(256)))
    return path


def test_a_picture_is_embedded_whole(picture):
    kind, _, data = data_uri(picture).partition(",")
    assert kind == "data:image/png;base64" and base64.b64decode(data) == picture.read_bytes()


def test_of_a_figures_files_the_page_shows_one_that_browsers_know_or_names_the_first(tmp_path):
    pdf, svg, png = (tmp_path / f"loss.{end}" for end in ("pdf", "svg", "png"))
    assert browser_file([pdf, svg, png]) == png and browser_file([pdf, svg]) == svg and browser_file([pdf]) == pdf
    page = Reader(render("gradient_report.html", **{**EMPTY, "figures": [(pdf, "the loss")]}, **GRADIENT))
    assert "img" not in dict(page.tags) and {"loss.pdf", "the loss"} <= set(page.texts)


@pytest.mark.parametrize(("template", "values"), PAGES)
def test_a_page_has_its_title_its_sentences_and_its_figures(template, values, picture):
    page = Reader(render(template, title="a title", sentences=["one", "two"], figures=[(picture, "it")], **values))
    assert page.texts.count("a title") == 2 and {"one", "two", "it"} <= set(page.texts)
    assert [attributes for tag, attributes in page.tags if tag == "img"] == [{"alt": "it", "src": data_uri(picture)}]
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.tags


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize(("template", "values"), PAGES)
def test_whatever_a_value_holds_is_text(template, values, hostile, picture):
    filled = {
        "numbers": [(hostile, 1.0)],
        "undefined": [hostile],
        "scale": hostile,
        "metric": hostile,
        "influence": ([hostile], [[hostile]]),
        "means": ([hostile], [[hostile]]),
        "runs": ([hostile], [[hostile]]),
        "included": [True],
        "of": hostile,
        "average": hostile,
        "names": [(hostile, hostile, hostile)],
    }
    common = {"title": hostile, "sentences": [hostile], "figures": [(picture, hostile)]}
    page = Reader(render(template, **common, **values | {name: filled[name] for name in filled if name in values}))
    plain = Reader(render(template, **{**common, "title": "", "sentences": [""], "figures": [(picture, "")]}, **values))
    assert "".join(page.texts).count(hostile) == (6 if template == "gradient_report.html" else 15)
    assert {tag for tag, _ in page.tags} - {tag for tag, _ in plain.tags} <= {"h2", "p", "tr", "td", "th", "a"}
    assert [attributes["alt"] for tag, attributes in page.tags if tag == "img"] == [hostile]
    assert not any("onerror" in attributes for _, attributes in page.tags)


@pytest.mark.parametrize(("template", "values"), PAGES)
def test_a_value_that_was_forgotten_is_an_error(template, values):
    render(template, **EMPTY, **values)
    for missing in (*EMPTY, *values):
        if missing in ("scale", "count"):  # named only where there is an influence
            continue
        with pytest.raises(UndefinedError, match=missing):
            render(template, **{name: value for name, value in (EMPTY | values).items() if name != missing})


def test_rows_that_are_not_included_are_marked():
    names = [(name, f"the id of {name}", f"http://{name}" if name != "c" else "") for name in "abc"]
    runs = {"runs": (["run", "loss"], [["1"], ["2"], ["3"]]), "names": names, "included": [True, False, True]}
    page = render("sweep.html", **EMPTY, **(SWEEP | runs))
    assert re.findall(r'<tr class="out"><td title="the id of b"><a href="http://b">b</a></td><td>(.*?)</td>', page) == [
        "2"
    ]
    assert re.findall(r'<tr><td title="the id of .">(?:<a href="http://a">)?(.)(?:</a>)?</td>', page) == ["a", "c"]


def test_a_wide_table_scrolls_in_its_box():
    for template, values in PAGES:
        page = render(template, **EMPTY, **values)
        assert page.count("<table") == page.count('<div class="wide"><table') > 0
        assert ".wide { overflow-x: auto; }" in page
