"""The files for Docker, GitHub and pre-commit name what is there."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_image_is_built_from_all_that_the_wheel_is_made_of():
    let_in = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), flags=re.MULTILINE)
    assert all((ROOT / name).exists() for name in let_in)
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"]}
    shown = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["fragments"]
    needed |= {part["path"] for part in shown if "path" in part}
    assert needed | {*PROJECT["project"]["license-files"], "pyproject.toml", "constraints.txt"} <= {*let_in}
    assert re.findall(r"\['optional-dependencies'\]\['(\w+)'\]", (ROOT / "Dockerfile").read_text()) == [
        "digits",
        "parallel",
    ]


def test_the_workflow_runs_every_python_that_is_promised():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    promised = [name.rpartition(" ")[2] for name in PROJECT["project"]["classifiers"] if ":: Python :: 3." in name]
    assert jobs["linux"]["strategy"]["matrix"]["python"] == promised
    assert jobs["linux"]["steps"][-1]["run"] == ".ci/run" and (ROOT / ".ci" / "run").is_file()


def test_the_hooks_are_commands_of_the_environment_that_make_lint_makes():
    (ours,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    tools = {hook["entry"].split()[0] for hook in ours["hooks"]}
    assert ours["repo"] == "local" and tools == {".venv/bin/ruff", ".venv/bin/python", ".venv/bin/mypy"}
    named = re.findall(r"tests/\w+\.py", " ".join(hook["entry"] for hook in ours["hooks"]))
    assert named and all((ROOT / name).is_file() for name in named)


def test_the_headings_at_which_the_package_cuts_the_readme_are_in_it():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    fragments = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["fragments"]
    cuts = [text for fragment in fragments for key, text in fragment.items() if key in ("start-at", "end-before")]
    assert len(cuts) >= 4
    assert [cut for cut in cuts if f"\n{cut}\n" not in readme] == []
