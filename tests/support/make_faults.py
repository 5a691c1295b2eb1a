"""Keeps the table of faults true: which test holds which case.

    python -m tests.support.make_faults

`tests/faults.toml` says of each case what is done wrong and what must come of it, by hand, and
which tests hold it, by this script: a test carries the numbers of its cases in its name
(`test_a_bomb_I24`), in an id (`id="I24-zip"`) or at the start of its docstring (`I24: ...`). The
page `docs/faults.md` is made from the table. `tests/conftest.py` makes `pytest -k I24` find them.
"""

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "tests" / "faults.toml"
PAGE = ROOT / "docs" / "faults.md"
KINDS: Mapping[str, tuple[str, int]] = {
    "I": ("Input", 28),
    "P": ("Process", 16),
    "N": ("Network and server", 28),
    "S": ("Storage", 16),
    "C": ("Concurrency", 8),
    "X": ("Security", 24),
}
"""What each letter stands for, and how many cases it has."""

_NUMBER = r"[IPNSCX](?:1[0-9]|2[0-8]|[1-9])"
_IN_NAME = re.compile(r"_([IPNSCX])0?([1-9]|1[0-9]|2[0-8])(?=_|$)", re.IGNORECASE)
_IN_ID = re.compile(rf"({_NUMBER})(?=-|$)")
_IN_TEXT = re.compile(rf"({_NUMBER}(?:, {_NUMBER})*):")
_NOTE = "<!-- Written by `python -m tests.support.make_faults`; edit tests/faults.toml instead. -->"


@dataclass(frozen=True, slots=True)
class Case:
    """One case of the table.

    Args:
        number: Such as `I13`.
        fault: What is done wrong.
        rule: What must come of it.
        held: The tests that hold it, by node id without parameters.
        todo: What of it is not held yet; empty where all is.
        never: Why it cannot occur; empty where it can.
    """

    number: str
    fault: str
    rule: str
    held: tuple[str, ...] = ()
    todo: str = ""
    never: str = ""


def numbers() -> list[str]:
    """All numbers, in their order."""
    return [f"{letter}{n}" for letter, (_, count) in KINDS.items() for n in range(1, count + 1)]


def read_table(text: str) -> list[Case]:
    """The cases of a table, in its order."""
    found = []
    for number, facts in tomllib.loads(text).items():
        held = tuple(facts.pop("held", ()))
        found.append(Case(number, held=held, **facts))
    return found


# -- tests -----------------------------------------------------------------------------------


def carriers(root: Path = ROOT) -> dict[str, tuple[str, ...]]:
    """Of each number, the tests that carry it: those of whole commands first."""
    found: dict[str, list[str]] = {number: [] for number in numbers()}
    for path in sorted((root / "tests").rglob("test_*.py"), key=_order):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for name, function in _functions(tree):
            for number in _carried(function, tree):
                found.setdefault(number, []).append(f"{path.relative_to(root)}::{name}")
    return {number: tuple(names) for number, names in found.items()}


def _order(path: Path) -> tuple[int, str]:
    places = ["e2e", "crash"]
    place = path.parent.name
    return places.index(place) if place in places else len(places), str(path)


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in tree.body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        before = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        for one in inside:
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name.startswith(
                "test_"
            ):
                yield before + one.name, one


def _carried(function: ast.FunctionDef | ast.AsyncFunctionDef, tree: ast.Module) -> list[str]:
    found = [letter.upper() + n for letter, n in _IN_NAME.findall(function.name)]
    text = _IN_TEXT.match(ast.get_docstring(function) or "")
    if text:
        found += re.findall(_NUMBER, text[1])
    for decorator in function.decorator_list:
        found += _in_ids(decorator, tree)
    return list(dict.fromkeys(found))


def _in_ids(node: ast.AST, tree: ast.Module) -> Iterator[str]:
    """Numbers of the ids in an expression, and in the module's lists that it names."""
    for one in ast.walk(node):
        if isinstance(one, ast.Constant) and isinstance(one.value, str):
            match = _IN_ID.match(one.value)
            if match:
                yield match[1]
        elif isinstance(one, ast.Name):
            for value in _assigned(one.id, tree):
                yield from _in_ids(value, ast.Module([], []))


def _assigned(name: str, tree: ast.Module) -> Iterator[ast.AST]:
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            yield node.value


# -- the table and the page ------------------------------------------------------------------


def with_tests(cases: list[Case]) -> list[Case]:
    """The cases with the tests that hold them today."""
    found = carriers()
    return [replace(case, held=found[case.number]) for case in cases]


def as_toml(cases: list[Case]) -> str:
    """The table as it stands in its file."""
    lines = [
        "# Each case of what may go wrong: `fault`, `rule` and `todo` or `never` by hand, `held` by",
        "# python -m tests.support.make_faults",
    ]
    for case in cases:
        lines += [
            "",
            f"[{case.number}]",
            f"fault = {_text(case.fault)}",
            f"rule = {_text(case.rule)}",
        ]
        lines += [f"never = {_text(case.never)}"] if case.never else []
        lines += [f"todo = {_text(case.todo)}"] if case.todo else []
        lines += (
            ["held = [", *(f"  {_text(name)}," for name in case.held), "]"] if case.held else []
        )
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def as_page(cases: list[Case]) -> str:
    """The page for people."""
    missing = sum(bool(case.todo) for case in cases)
    what = (
        f"{len(cases)} cases that files, processes, networks, servers, disks and attackers make."
        " Each is put before the program by the tests that are named with it, those of the whole"
        " command first. Each ends with one invariant: every record is delivered, rejected,"
        " refused or unsent, in exactly one of these; the server holds the expected events and no"
        " other; the summary is a recount of the files."
    )
    how = "`pytest -k I13` runs the tests of one case."
    how += f" Of {missing} cases something is not held yet; it is said there." if missing else ""
    parts = [_NOTE, "# What may go wrong, and what holds", what, how]
    for letter, (kind, _) in KINDS.items():
        rows = [case for case in cases if case.number.startswith(letter)]
        parts += [f"## {kind}", _rows(rows)]
    return "\n\n".join(parts) + "\n"


def _rows(cases: list[Case]) -> str:
    lines = ["| | fault | what must come of it | held by |", "| --- | --- | --- | --- |"]
    for case in cases:
        held = ", ".join(_link(name) for name in case.held)
        more = f"cannot occur: {case.never}" if case.never else ""
        more = more or (f"not yet: {case.todo}" if case.todo else "")
        cells = (case.number, case.fault, case.rule, "; ".join(filter(None, (held, more))))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _link(name: str) -> str:
    path, _, test = name.partition("::")
    return f"[`{test.rpartition('::')[2]}`](../{path})"


def main() -> None:
    """Write both."""
    cases = with_tests(read_table(TABLE.read_text(encoding="utf-8")))
    TABLE.write_text(as_toml(cases), encoding="utf-8")
    PAGE.write_text(as_page(cases), encoding="utf-8")


if __name__ == "__main__":
    main()
