"""Write conf/schema.json, the JSON schema of the configuration's YAML files: make schema.

Types are those of `Config` and of the constructors that the YAML files of conf name, descriptions their comments. It is
made for editors: the command itself checks more.
"""

import importlib
import inspect
import json
import re
import types
import typing
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields
from typing import Any

import yaml

from rnnexp.settings import DTYPES, GROUPS, Config, conf_dir

CONF = conf_dir()
FILE = CONF / "schema.json"
NAMES = {int: "integer", float: "number", bool: "boolean", str: "string", types.NoneType: "null"}
#: In a string that is a value of another type: resolved later.
INTERPOLATION = r"\$\{"
#: No class and no default says what these can be.
EVAL_LIMIT = {"type": ["integer", "null", "string"], "minimum": 1, "pattern": rf"^auto$|{INTERPOLATION}"}
WEIGHTS = ("embedding", "input", "recurrent", "output", "state")


def typed(annotation: Any) -> set[str]:
    """JSON's types for one of Python's; none if it can be anything."""
    parts = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    names = set()
    for part in parts:
        origin = typing.get_origin(part) or part
        if origin in NAMES:
            names.add(NAMES[origin])
        elif inspect.isclass(origin) and issubclass(origin, Mapping):
            names.add("object")
        elif inspect.isclass(origin) and issubclass(origin, Collection):
            names.add("array")
        else:
            return set()
    return names


def schema_of(names: Collection[str], description: str, **rules: Any) -> dict[str, Any]:
    """The schema of one key."""
    found: dict[str, Any] = {"description": description} if description else {}
    if names and "string" not in names:
        found |= {"type": sorted({*names, "string"}), "pattern": INTERPOLATION}
        found["patternErrorMessage"] = f"must be: {' or '.join(sorted(names))}"  # as editors show it
    elif names:
        found["type"] = sorted(names)
    return found | rules


def comment(text: str, key: str) -> str:
    """What a YAML file says of a key."""
    found = re.search(rf"^[ #]*{re.escape(key)}\b:?.*? # *(.+)$", text, re.MULTILINE)
    return found[1] if found else ""


def choices(group: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Text and own part of each YAML file of a group."""
    for path in sorted((CONF / group).glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text) or {}
        yield text, content[group] if group in content and "@package _global_" in text else content


def group_schema(group: str) -> dict[str, Any]:
    """What a group holds: the keys of all its choices; with a class of the user's own, any."""
    keys: dict[str, tuple[set[str], list[str]]] = {}
    classes = set()
    for text, content in choices(group):
        hints = {}
        if target := content.get("_target_"):
            module, _, name = target.rpartition(".")
            classes.add(target)
            hints = typing.get_type_hints(getattr(importlib.import_module(module), name).__init__)
        for key, value in content.items():
            if key not in ("_target_", "defaults"):
                names, said = keys.setdefault(key, (set(), []))
                names |= typed(hints[key]) if key in hints else {NAMES.get(type(value), "array")}
                if key not in hints and value is None:
                    names |= set(NAMES.values()) | {"object", "array"}
                if (words := comment(text, key)) and words not in said:
                    said.append(words)
    properties = {key: schema_of(names, " / ".join(said)) for key, (names, said) in sorted(keys.items())}
    if group == "init":
        properties = {kind: {"$ref": "#/definitions/initializer"} for kind in WEIGHTS}
    if group == "task":
        properties["eval_limit"] = EVAL_LIMIT | {"description": comment(root_text(), "eval_limit")}
    properties |= {"_target_": {"description": "the class", "type": ["string", "null"]}, "defaults": {"type": "array"}}
    own = {"required": ["_target_"], "properties": {"_target_": {"not": {"enum": [None, *sorted(classes)]}}}}
    return {
        "title": group,
        "description": f"the choices of {group}, one a file",
        "type": "object",
        "properties": properties,
        "additionalProperties": True,
        "if": own,
        "else": {"propertyNames": {"enum": sorted(properties)}},
    }


def root_text() -> str:
    """The YAML file of the root keys."""
    return (CONF / "config.yaml").read_text(encoding="utf-8")


def schema() -> dict[str, Any]:
    """The whole: root keys and groups, and each group as a definition."""
    root = {}
    for item in fields(Config):
        rules = {"minimum": item.metadata["at_least"]} if "at_least" in item.metadata else {}
        if item.name in GROUPS:
            root[item.name] = {"$ref": f"#/definitions/{item.name}"}
        elif item.name == "dtype":
            root[item.name] = {"description": "of all numbers", "enum": list(DTYPES)}
        else:
            root[item.name] = schema_of(typed(item.type), comment(root_text(), item.name), **rules)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "rnnexp",
        "description": "the configuration, a recipe of conf/experiment, or a task or an algorithm with its root keys",
        "type": "object",
        "properties": root | {"defaults": {"type": "array"}, "hydra": {"type": "object"}},
        "additionalProperties": False,
        "definitions": {group: group_schema(group) for group in (*GROUPS, "initializer")},
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(schema(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
