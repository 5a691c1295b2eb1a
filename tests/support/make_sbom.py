"""Writes `sbom.cdx.json`, the list of what the wheel asks for: `python -m tests.support.make_sbom`.

CycloneDX 1.6. It names what `pyproject.toml` names, with the versions that may be installed; which
ones are installed in a given place, `pip inspect` says there.
"""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SBOM = ROOT / "sbom.cdx.json"


def document() -> dict[str, Any]:
    """The document as it is to be."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = re.search('__version__ = "(.+)"', (ROOT / "ingest" / "__init__.py").read_text())
    assert found
    name, version = project["name"], found[1]
    needed = [_component(each) for each in project["dependencies"]]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": name,
                "name": name,
                "version": version,
                "description": project["description"],
                "licenses": [{"license": {"id": project["license"]}}],
            }
        },
        "components": needed,
        "dependencies": [
            {"ref": name, "dependsOn": [each["bom-ref"] for each in needed]},
            *({"ref": each["bom-ref"]} for each in needed),
        ],
    }


def _component(requirement: str) -> dict[str, Any]:
    found = re.fullmatch(r"([A-Za-z0-9._-]+)([<>=!~].*)?", requirement)
    assert found, requirement
    return {
        "type": "library",
        "bom-ref": found[1],
        "name": found[1],
        "purl": f"pkg:pypi/{found[1].lower()}",
        "properties": [{"name": "ingest:versions", "value": found[2] or "any"}],
    }


def as_text() -> str:
    """The file as it is to be."""
    return json.dumps(document(), indent=2) + "\n"


if __name__ == "__main__":
    SBOM.write_text(as_text(), encoding="utf-8")
