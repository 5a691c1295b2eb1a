"""The pages of docs/ are up to date, and their links lead somewhere."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from ingest import errors
from ingest.core.model import Severity
from ingest.core.rules import catalogue
from ingest.edges.validator import load_documents
from ingest.errors import IngestError
from ingest.pipeline.summary import failure_summary
from tests.support.make_docs import PAGES
from tests.support.sessions import ROOT

TEXTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")
_TEST = re.compile(r"`(test_[a-z0-9_]+)`")
_MOST_WORDS = 520


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def links(path: Path) -> Iterator[tuple[str, str]]:
    """Text and target of each link of a page, those in code left out."""
    text = re.sub(
        r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    yield from _LINK.findall(text)


@cache
def functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


@cache
def anchors(path: Path) -> frozenset[str]:
    heads = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads)


@pytest.mark.parametrize("page", PAGES)
def test_a_generated_page_is_up_to_date(page: str) -> None:
    """What stands in schemas and options stands on the page (python -m tests.support.make_docs)."""
    assert (ROOT / page).read_text(encoding="utf-8") == PAGES[page]()


def test_every_code_has_its_line() -> None:
    """Each reason code of the catalogue is in the page, once, with its message and hint."""
    page = (ROOT / "docs/reject-codes.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z0-9_]+)` \| (.+?) \| (.+?) \|", page, flags=re.MULTILINE)
    codes = catalogue(load_documents())

    assert sorted(code for code, _, _ in rows) == sorted(codes)
    assert [c for c, said, _ in rows if not said.startswith(codes[c].message.split("|")[0])] == []


def test_every_code_has_its_section() -> None:
    """What the report names under a cause is there: meaning, mending, and what the API says."""
    page = (ROOT / "docs/reject-codes.md").read_text(encoding="utf-8")
    codes = catalogue(load_documents())
    sections = dict(re.findall(r"^### (\S+)\n(.*?)(?=^### |\Z)", page, re.DOTALL | re.MULTILINE))
    without_example = {"record_too_large", "schema_invalid", "event_too_large", "api_refused"}

    assert list(sections) == list(codes)
    for name, code in codes.items():
        assert code.message in sections[name]
        assert code.hint in sections[name]
        assert "**What the API says:**" in sections[name]
        if code.severity is Severity.ERROR:
            assert ("**Example:**" in sections[name]) == (name not in without_example), name


@pytest.mark.parametrize("path", TEXTS, ids=named)
def test_links_lead_somewhere(path: Path) -> None:
    """Each link to a file finds it, and each link to a part of a page finds its heading."""
    broken = []
    for _, target in links(path):
        if re.match(r"https?:", target):
            continue
        place, _, anchor = target.partition("#")
        file = (path.parent / place).resolve() if place else path
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)

    assert broken == []


@pytest.mark.parametrize("path", TEXTS, ids=named)
def test_a_test_that_is_named_is_there(path: Path) -> None:
    """A promise is linked to a test that exists, in the file that the link names."""
    missing = []
    for text, target in links(path):
        test = _TEST.fullmatch(text)
        if test and test[1] not in functions((path.parent / target).resolve()):
            missing.append(f"{target}: {test[1]}")

    assert missing == []


def test_promises_are_held_by_tests() -> None:
    """The README and the page on delivery name tests, not only words."""
    for page, least in (("README.md", 5), ("docs/delivery.md", 20)):
        assert sum(bool(_TEST.fullmatch(text)) for text, _ in links(ROOT / page)) >= least


def test_every_decision_is_one_page_and_listed() -> None:
    """docs/decisions/README.md lists each page; each has context, choice and cost, and is short."""
    folder = ROOT / "docs/decisions"
    pages = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    listed = [target for _, target in links(folder / "README.md")]

    assert listed == [path.name for path in pages]
    assert [int(path.name[:4]) for path in pages] == list(range(1, len(pages) + 1))
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"^\*\*(\w+)\.\*\*", text, flags=re.MULTILINE) == [
            "Context",
            "Choice",
            "Cost",
        ]
        assert len(text.split()) < _MOST_WORDS


def test_every_exit_code_is_documented() -> None:
    """Each error's exit code has a row of its own, and so have the signals, 0 and 3."""
    page = (ROOT / "docs/exit-codes.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| ([\d, ]+) \|", page, flags=re.MULTILINE)
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.exit_code for kind in kinds if issubclass(kind, IngestError)}

    documented = {int(code) for cell in cells for code in cell.split(",")}

    assert documented == codes | {0, 3, 129, 130, 143}


def test_every_field_of_the_summary_is_documented() -> None:
    """docs/json-summary.md names every field that a summary has."""
    page = (ROOT / "docs/json-summary.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+`) \|", page, flags=re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`([a-z0-9_]+)`", row)}
    run = {"run_id": None, "started_at": None, "duration_s": 0.0}

    summary = failure_summary(IngestError("x"), run=run)

    assert set(summary) <= documented
