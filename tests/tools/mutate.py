"""Small faults put into the source one at a time, each tried with the tests that cover its line.

    python tests/tools/mutate.py list --count 60 --seed 0 --out faults.json
    python tests/tools/mutate.py run faults.json --coverage .coverage --out results.json
    python tests/tools/mutate.py compare before.json after.json

The coverage data must name the tests of every line: `pytest --cov=rnnexp --cov-branch --cov-context=test`, with the
package pytest-cov.
"""

import argparse
import ast
import copy
import itertools
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMPARISONS = {ast.Lt: ast.LtE, ast.Gt: ast.GtE, ast.Eq: ast.NotEq, ast.Is: ast.IsNot, ast.In: ast.NotIn}
COMPARISONS |= {new: old for old, new in COMPARISONS.items()}
ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
ARITHMETIC |= dict.fromkeys((ast.FloorDiv, ast.Mod, ast.Pow), ast.Mult)
BOOLEANS = {ast.And: ast.Or, ast.Or: ast.And}
#: Without coverage data: the tests of a room.
FOLDERS = {room: [f"tests/{room}"] for room in ("layers", "tasks", "gradients", "training", "tracking")}
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".hypothesis", ".*_cache", "mlruns", "outputs")


def replacement(node):
    """(kind, node that is replaced, what comes in its place), or None where no fault is put."""
    other = copy.deepcopy(node)
    match node:
        case ast.Compare(ops=[op, *_]) if type(op) in COMPARISONS:
            other.ops[0] = COMPARISONS[type(op)]()
            return "comparison", node, other
        case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
            other.op = ARITHMETIC[type(op)]()
            texts = (isinstance(getattr(part, "value", None), str) for part in (left, right))
            lists = (isinstance(part, ast.JoinedStr | ast.List) for part in (left, right))
            return None if any((*texts, *lists)) else ("arithmetic", node, other)
        case ast.BoolOp(op=op):
            other.op = BOOLEANS[type(op)]()
            return "boolean", node, other
        case ast.Constant(value=value) if type(value) is int:
            return "constant", node, ast.Constant(value + 1)
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            return "condition", test, ast.UnaryOp(ast.Not(), test)
        case ast.Return(value=ast.AST()) if ast.unparse(node.value) != "None":
            return "return", node, ast.Return(ast.Constant(None))
        case ast.Raise() | ast.AugAssign() | ast.Expr(ast.Call()) | ast.Assign([ast.Attribute() | ast.Subscript(), *_]):
            return "dropped", node, ast.Pass()
    return None


def places(node, function=""):
    """(node, qualified name around it), without type hints, messages, decorators, `__main__` and TYPE_CHECKING."""
    if isinstance(node, ast.If) and re.search("__name__|TYPE_CHECKING", ast.dump(node.test)):
        return
    yield node, function
    if isinstance(node, ast.JoinedStr | ast.Raise):
        return
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        function = f"{function}.{node.name}".removeprefix(".")
    for field, value in ast.iter_fields(node):
        if field not in ("annotation", "returns", "decorator_list"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from places(child, function)


def faults_of(path, text):
    """All faults that can be put into one file."""
    lines = text.splitlines()
    for node, function in places(ast.parse(text)):
        if found := replacement(node):
            kind, target, other = found
            source = lines[target.lineno - 1 : target.end_lineno]
            head, tail = source[0].encode()[: target.col_offset], source[-1].encode()[target.end_col_offset :]
            new = ast.unparse(other)
            new = f"({new})" if isinstance(other, ast.expr) and not isinstance(other, ast.Constant) else new
            fault = {"path": path, "function": function, "kind": kind, "line": target.lineno}
            yield fault | {"source": "\n".join(source), "mutated": head.decode() + new + tail.decode()}


def draw(tree, count, seed):
    """Faults at random, from every room in proportion to the square root of what there is."""
    rooms, rng = {}, random.Random(seed)
    for path in sorted((tree / "rnnexp").rglob("*.py")):
        name = path.relative_to(tree).as_posix()
        room = rooms.setdefault(name.split("/")[1] if name.count("/") > 1 else "", [])
        room.extend(faults_of(name, path.read_text(encoding="utf-8")))
    used = dict.fromkeys((room for room in rooms if rooms[room]), 0)
    for found in rooms.values():
        rng.shuffle(found)
    for number in range(1, 1 + min(count, sum(map(len, rooms.values())))):
        left = [room for room in used if used[room] < len(rooms[room])]
        room = max(left, key=lambda room: math.sqrt(len(rooms[room])) / (used[room] + 1))
        yield {"id": str(number), "room": room} | rooms[room][used[room]]
        used[room] += 1


def located(tree, fault):
    """(file, text with the fault, first and last line) in a tree in which the lines may have moved, or None."""
    wanted, name, found = [line.strip() for line in fault["source"].split("\n")], fault["function"], []
    for path in sorted((tree / "rnnexp").rglob("*.py")):
        lines, around, where = path.read_text(encoding="utf-8").splitlines(), {}, path.relative_to(tree).as_posix()
        stripped = [line.strip() for line in lines]
        at = [start for start in range(len(lines)) if stripped[start : start + len(wanted)] == wanted]
        for node, function in places(ast.parse("\n".join(lines))) if at else ():
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                inner = f"{function}.{node.name}".removeprefix(".")
                around |= dict.fromkeys(range(node.lineno - 1, node.end_lineno), inner)
        for start in at:
            inner = around.get(start, "")
            if inner.rpartition(".")[2] == name.rpartition(".")[2]:
                far = (where != fault["path"], inner != name, abs(start + 1 - fault["line"]))
                found.append((far, path, lines, start))
    if not found:
        return None
    _, path, lines, start = min(found, key=lambda each: each[0])
    pad, end = lines[start][: -len(lines[start].lstrip())], start + len(wanted)
    mutated = pad + fault["mutated"].lstrip()
    return path, "\n".join([*lines[:start], mutated, *lines[end:], ""]), (start + 1, end)


def covering(data, name, lines, room):
    """The tests that run some lines: one case of each function first, then the rest."""
    if data is None:
        return [FOLDERS.get(room, ["tests"])]
    by_line = {}
    for file in data.measured_files():
        for line, contexts in data.contexts_by_lineno(file).items() if file.endswith(f"/{name}") else ():
            by_line.setdefault(line, set()).update(context for context in contexts if "::" in context)
    hit = set().union(*(by_line.get(line, set()) for line in range(lines[0], lines[1] + 1)))
    hit = hit or set().union(*by_line.values())  # it runs when the module is loaded
    # What a fixture ran belongs to every test of its file.
    fixtures = [re.fullmatch(r"(.*?)::.*(\|| \()setup\)?", context, re.S) for context in hit]
    tests, first = {re.sub(r"(\|\w+| \(\w+\))$", "", context) for context in hit}, {}
    for test in sorted(tests, key=lambda test: (f"/{room}/" not in test, "/program/" in test, test)):
        first.setdefault(test.split("[")[0], test)
    return [list(first.values()), sorted(tests - set(first.values())) + sorted({f[1] for f in fixtures if f})]


class Copy:
    """A copy of the tree in which tests are run."""

    def __init__(self, tree, folder, options):
        self.root, self.options, self.stamp = folder / "tree", options, itertools.count(int(time.time()))
        shutil.copytree(tree, self.root, ignore=LEFT_OUT)

    def write(self, path, text):
        path.write_text(text, encoding="utf-8")
        os.utime(path, (stamp := next(self.stamp), stamp))  # bytecode is compared by whole seconds

    def run(self, tests, limit):
        """("passed" | "failed" | "out of time", the first that failed or the last that began)."""
        (self.root.parent / "tests.txt").write_text("\n".join(tests))
        command = [self.options.python, "-m", "pytest", "-xv", "-p", "no:cacheprovider", "--tb=no", "@../tests.txt"]
        command += ["-m", self.options.m] if self.options.m else []
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
        environment = os.environ | {"PYTHONPATH": str(self.root), "PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(command, cwd=self.root, env=environment, **pipes) as process:
            try:
                out = process.communicate(timeout=limit)[0]
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                began = re.findall(r"^(tests/.*?::.*?) *(?:[A-Z]{4,} .*)?$", process.communicate()[0], re.M)
                return "out of time", began[-1] if began else tests[0]
        missing = [name.rpartition("/tests/")[2] for name in re.findall(r"ERROR: not found: (.*)", out)]
        # pytest names a missing case by its function
        gone = {name.partition("[")[0] for name in missing}
        left = [test for test in tests if test.removeprefix("tests/").partition("[")[0] not in gone]
        if missing and left and len(left) < len(tests):
            return self.run(left, limit)
        failed = re.findall(r"^(?:FAILED|ERROR) (tests/.*?)(?: - .*)?$", out, re.M)
        if failed or process.returncode in (0, 5):
            return ("failed", failed[0]) if failed else ("passed", "")
        return "failed", f"pytest ended with {process.returncode}"

    def outcome(self, path, clean, mutated, batches):
        """Whether a fault is caught; a test that fails without it too does not count."""
        dropped = set()
        for batch in batches:
            while tests := [test for test in batch if test not in dropped]:
                self.write(path, mutated)
                how, test = self.run(tests, self.options.timeout)
                if how == "passed":
                    break
                alone = [test] if "::" in test else tests[:1]
                slow = how == "out of time" and self.run(alone, 120)[0] == "passed"
                self.write(path, clean)
                if not slow and self.run(alone, 120)[0] == "passed":
                    return {"status": "caught", "test": test}
                if slow or test not in batch:
                    return {"status": "undecided", "test": test}
                dropped.add(test)
        return {"status": "escaped"}


def run(options, faults, out):
    """Try every fault that has no result yet, and write each result at once."""
    data = None
    if options.coverage:
        import coverage

        data = coverage.CoverageData(options.coverage)
        data.read()
    results = json.loads(out.read_text()) if out.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        trial = Copy(options.tree, Path(folder), options)
        for fault in json.loads(faults.read_text()):
            if fault["id"] in results:
                continue
            result, began = {"status": "not applicable"}, time.monotonic()
            if found := located(trial.root, fault):
                path, mutated, lines = found
                clean, name = path.read_text(encoding="utf-8"), path.relative_to(trial.root).as_posix()
                batches = covering(data, name, lines, fault["room"])
                result = trial.outcome(path, clean, mutated, batches)
                trial.write(path, clean)
                result |= {"at": f"{name}:{lines[0]}", "tests": sum(map(len, batches))}
            results[fault["id"]] = result | {"seconds": round(time.monotonic() - began)}
            out.write_text(json.dumps(results, indent=1))
            print(fault["id"], fault["path"], fault["line"], fault["kind"], results[fault["id"]], flush=True)


def compare(before, after):
    """Print both; fail if something that was caught escapes."""
    for name, results in (("before", before), ("after", after)):
        statuses = [result["status"] for result in results.values()]
        print(name, {status: statuses.count(status) for status in sorted(set(statuses))})
    lost = [key for key in before if before[key]["status"] == "caught" != after.get(key, {}).get("status")]
    for key in lost:
        print(key, before[key], "->", after.get(key))
    return int(any(after.get(key, {}).get("status") == "escaped" for key in lost))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["list", "run", "compare"])
    parser.add_argument("files", nargs="*", type=Path, help="run: the faults; compare: the results before and after")
    parser.add_argument("--tree", type=Path, default=Path())
    parser.add_argument("--out", type=Path)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--python", default=sys.executable, help="whose environment the tests run in")
    parser.add_argument("-m", help="a marker expression for pytest")
    parser.add_argument("--coverage", help="coverage data in which every line has the names of its tests")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds that one run of pytest may take")
    options = parser.parse_args()
    if options.command == "compare":
        return compare(*(json.loads(path.read_text()) for path in options.files))
    if options.command == "run":
        return run(options, options.files[0], options.out or Path("results.json"))
    text = json.dumps(list(draw(options.tree, options.count, options.seed)), indent=1)
    return print(text) if options.out is None else print(options.out.write_text(text + "\n"), "bytes")


if __name__ == "__main__":
    sys.exit(main())
