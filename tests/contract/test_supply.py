"""What the program is made of, and what it never does with what it reads."""

import ast
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

from tests.support.make_sbom import ROOT, SBOM, as_text

EXECUTES = {
    "eval", "exec", "compile", "__import__", "pickle", "marshal", "shelve", "dill", "yaml", "popen",
    "system", "subprocess", "expandvars", "execv", "execve", "Popen", "import_module", "getoutput",
}  # fmt: skip


def test_the_list_of_parts_is_true() -> None:
    """X22: the SBOM names what the project asks for, and nothing else."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [re.split("[<>=!~]", each)[0] for each in project["dependencies"]]

    assert SBOM.read_text(encoding="utf-8") == as_text(), "run: python -m tests.support.make_sbom"
    parts = json.loads(SBOM.read_text(encoding="utf-8"))
    assert [part["name"] for part in parts["components"]] == named
    assert parts["bomFormat"] == "CycloneDX"


def test_the_list_of_parts_goes_with_the_wheel(tmp_path: Path) -> None:
    """X22: the wheel has the SBOM where tools look for it."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    command = [*pip, "wheel", "-q", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("ingest-*.whl")

    with zipfile.ZipFile(wheel) as files:
        (name,) = (
            name for name in files.namelist() if name.endswith(".dist-info/sboms/sbom.cdx.json")
        )
        assert files.read(name).decode() == SBOM.read_text(encoding="utf-8")


def test_nothing_that_is_read_is_executed() -> None:
    """X18, X20: no part of the program can run what stands in a ledger, a report or a setting."""
    found = [
        f"{path.name}: {name}"
        for path in (ROOT / "ingest").rglob("*.py")
        if path.name != "background.py"  # starts the sandbox of a run: this program, no text
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in _names(node) & EXECUTES
    ]

    assert found == []


def _names(node: ast.AST) -> set[str]:
    """What an import brings, or what a call calls."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        of = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        return {name.partition(".")[0] for name in (*of, *(alias.name for alias in node.names))}
    if not isinstance(node, ast.Call):
        return set()
    if isinstance(node.func, ast.Name):
        return {node.func.id}
    if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        return {node.func.attr} if node.func.value.id in {"os", "builtins", "importlib"} else set()
    return set()
