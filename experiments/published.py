"""From the committed tables to all published results beside those measured here: ``python experiments/published.py``.

It reads ``claims.yaml`` and the tables of the studies, and writes ``README.md`` beside this file and the short tables
in the README and its translation. A claim holds for a run or not; the verdict follows from how many it holds for.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

HERE = Path(__file__).parent
VERDICTS = {"reproduced": "재현", "partly": "일부 재현", "not": "재현 안 됨"}
SHORT = {  # the tables in the README and its translation: heads, and the sentence above
    "README.md": (
        "| claim | published | measured here | holds for | verdict |",
        "Of {all} published results, {reproduced} are reproduced, {partly} partly and {not} not. All of them,\n"
        "with sources, costs and reasons: [experiments](experiments/README.md). A selection:",
    ),
    "README.ko.md": (
        "| 발표된 내용 | 발표된 값 | 우리 값 | 성립한 실행 | 판정 |",
        "발표된 수치 {all}개 중 {reproduced}개를 재현했고, {partly}개는 일부만 재현했으며,\n"
        "{not}개는 재현하지 못했습니다. 출처와 비용, 차이의 원인까지 담은 전체 표는\n"
        "[experiments](experiments/README.md)에 있습니다. 몇 가지만 옮깁니다.",
    ),
}
#: Keys of a claim: those that each must have, and those that it may have (`claims.yaml` explains them).
NEEDED = {"study", "claim", "source", "known", "published", "holds"}
ALLOWED = {"file", "rows", "shows", "form", "share", "limit", "why", "front", "front_published"}
BEGIN, END = "<!-- made by experiments/published.py -->", "<!-- end of what it made -->"


@dataclass
class Row:
    """A claim beside what the study's rows show."""

    claim: dict[str, Any]
    ours: str
    holds: int
    runs: int
    verdict: str

    @property
    def share(self) -> str:
        """For how many runs the claim holds."""
        return f"{self.holds} of {self.runs}"


def interval(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Bounds of a share, at 95 % (Wilson 1927)."""
    share, scale = successes / trials, 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return middle - half, middle + half


def verdict(claim: dict[str, Any], holds: int, runs: int) -> str:
    """Reproduced if it holds for all runs (a share: if the published one is within ours), not if for none.

    With ``limit``, what keeps the comparison from being a fair one, at most partly.
    """
    if "share" in claim:
        low, high = interval(holds, runs)
        found = "reproduced" if low <= claim["share"] <= high else "not"
    else:
        found = "reproduced" if holds == runs else "partly" if holds else "not"
    return "partly" if "limit" in claim and found == "reproduced" else found


def spread(values: "pd.Series[float]", form: str) -> str:
    """Median, smallest and largest of those that are numbers, and how many are not."""
    runs, values = len(values), values.dropna()
    if values.empty:
        return "never"
    low, middle, high = (form.format(value) for value in (values.min(), values.median(), values.max()))
    never = f"; {runs - len(values)} of {runs} never" * (len(values) < runs)
    return (middle if low == high else f"{middle} ({low} to {high})") + never


class BadClaim(Exception):
    """A claim that does not fit its study's rows."""


def judged(claim: dict[str, Any], folder: Path = HERE) -> Row:
    """A claim beside its study's rows; `BadClaim` if these can't judge it, or its reason does not fit the verdict."""
    if wrong := NEEDED - claim.keys() or claim.keys() - NEEDED - ALLOWED:
        raise BadClaim(f"keys that are missing or unknown: {', '.join(sorted(wrong))}")
    table = folder / claim["study"] / claim.get("file", "runs.csv")
    if not table.is_file():
        raise BadClaim(f"there is no table {table.relative_to(folder)}")
    rows = pd.read_csv(table)
    columns = f"the columns are {', '.join(rows)}"
    if "rows" in claim:
        rows = calculated(rows.query, claim, "rows", columns)
    if rows.empty:
        raise BadClaim(f"no row of {table.relative_to(folder)} meets {claim['rows']}")
    each = calculated(rows.eval, claim, "holds", columns)
    if not pd.api.types.is_bool_dtype(each):
        raise BadClaim(f"holds must be true or false for each row: {claim['holds']}")
    holds = int(each.sum())
    found = verdict(claim, holds, len(rows))
    if (found == "reproduced") == ("limit" in claim or "why" in claim):
        said = "but a reason why not" if found == "reproduced" else "and no reason"
        raise BadClaim(f"{found} by {holds} of {len(rows)} rows, {said} is given")
    if "shows" in claim:
        ours = spread(calculated(rows.eval, claim, "shows", columns), claim.get("form", "{:.3g}"))
    else:
        ours = f"{100 * holds / len(rows):.0f} %"
    return Row(claim, ours, holds, len(rows), found)


def calculated(method: Callable[..., Any], claim: dict[str, Any], key: str, columns: str) -> Any:
    """What an expression of a claim gives; `BadClaim` if it can't be evaluated."""
    try:
        return method(claim[key], engine="python")
    except Exception as error:
        raise BadClaim(f"{key}: {claim[key]}: {error}; {columns}") from None


def cost(study: str, folder: Path = HERE) -> str:
    """Runs and minutes, as the study's README says."""
    text = (folder / study / "README.md").read_text(encoding="utf-8")
    said = re.search(r"^(\d+) runs, about ([\w ]+? minutes)", text, flags=re.MULTILINE)
    if said is None:
        raise BadClaim(f"the README of {study} does not say what it costs: 12 runs, about 3 minutes")
    return f"{said[1]} runs, {said[2]}"


def cells(*texts: object) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(str(text).replace("|", "\\|") for text in texts) + " |"


def page(data: dict[str, Any], rows: list[Row]) -> str:
    """The text of ``experiments/README.md``."""
    counts = ", ".join(f"{sum(row.verdict == name for row in rows)} {name}" for name in VERDICTS)
    lines = [
        "# Published results, and what was measured here",
        "",
        "Made by `python experiments/published.py` from `claims.yaml` and the tables of the studies; don't edit.",
        "",
        data["reading"].strip(),
        "",
        f"{len(rows)} results: {counts}.",
        "",
        "| study | claim | source, and how it is known | published | measured here | holds for | cost of the study "
        "| verdict | why |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        claim = row.claim
        if claim["source"] not in data["sources"]:
            raise BadClaim(
                f"{claim['study']}: {claim['claim']}\n  the source {claim['source']} is not among the sources"
            )
        source = f"{data['sources'][claim['source']]}, {claim['known']}"
        why = " ".join(claim[key] for key in ("limit", "why") if key in claim)
        name = claim["study"]
        told = (f"[{name}]({name}/README.md)", claim["claim"], source, claim["published"], row.ours, row.share)
        lines.append(cells(*told, cost(name), f"**{row.verdict}**", why))
    return "\n".join([*lines, "", "## Still open", "", *(f"- {text}" for text in data["open"]), ""])


def short(rows: list[Row], readme: str) -> str:
    """The part of the README, or of its translation, that is cut from the table."""
    head, sentence = SHORT[readme]
    numbers: dict[str, int] = {name: sum(row.verdict == name for row in rows) for name in VERDICTS}
    lines = [BEGIN, sentence.format(all=len(rows), **numbers), "", head, "|---|---|---|---|---|"]
    for row in rows:
        if "front" not in row.claim:
            continue
        korean = readme != "README.md"
        link = f"[{row.claim['study']}](experiments/{row.claim['study']})"
        claim = row.claim["front"] if korean else row.claim["claim"]
        lines.append(
            cells(
                f"{link}: {claim}",
                row.claim.get("front_published", row.claim["published"]) if korean else row.claim["published"],
                row.ours.replace(" to ", "~") if korean else row.ours,
                f"{row.holds}/{row.runs}" if korean else row.share,
                VERDICTS[row.verdict] if korean else row.verdict,
            )
        )
    return "\n".join([*lines, "", END])


def judged_all(claims: list[dict[str, Any]], folder: Path = HERE) -> list[Row]:
    """Every claim beside its study's rows; `BadClaim` with all that can't be judged."""
    rows, wrong = [], []
    for claim in claims:
        try:
            rows.append(judged(claim, folder))
        except BadClaim as error:
            wrong.append(f"{claim.get('study')}: {claim.get('claim')}\n  {error}")
    if wrong:
        raise BadClaim("\n".join(["claims.yaml does not fit the tables:", *wrong]))
    return rows


def texts() -> dict[Path, str]:
    """Every file that is written, and its text."""
    data = yaml.safe_load((HERE / "claims.yaml").read_text(encoding="utf-8"))
    rows = judged_all(data["claims"])
    made = {HERE / "README.md": page(data, rows)}
    for readme in SHORT:
        path = HERE.parent / readme
        before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
        _, end, after = rest.partition(END)
        if not (begin and end):
            raise BadClaim(f"{readme} has no place for the table: a line {BEGIN}, and a line {END}")
        made[path] = before + short(rows, readme) + after
    return made


def main() -> None:
    """Write them; SystemExit with the claims that don't fit."""
    try:
        made = texts()
    except BadClaim as error:
        raise SystemExit(f"published.py: {error}") from None
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
