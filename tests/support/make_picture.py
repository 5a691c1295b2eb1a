"""Makes docs/images/report.png: the report of the sample data, as Chromium shows it.

python -m tests.support.make_picture
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.browser import chromium, shown
from tests.support.sessions import ROOT

PLACE = "docs/images/report.png"
_WIDTH = 960
_HEIGHT = 1_180


def report(directory: Path) -> Path:
    """Send the sample data to the sandbox; give the page of that run."""
    command = [sys.executable, "-m", "ingest", "run", "events.csv", "--sandbox", "--json", "-q"]
    (directory / "events.csv").write_bytes((ROOT / "sample_data/events.csv").read_bytes())
    environ = {**os.environ, "XDG_STATE_HOME": str(directory / "state"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=directory, env=environ, capture_output=True, check=False)
    return directory / json.loads(done.stdout)["reports"]["html"]


def main() -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as directory, chromium() as browser:
        page = report(Path(directory).resolve())
        page.write_text(page.read_text().replace(str(Path(directory).resolve()), "/home/you"))
        with shown(browser, page, width=_WIDTH, scheme="light") as view:
            clip = {"x": 0, "y": 0, "width": _WIDTH, "height": _HEIGHT}
            view.screenshot(path=str(ROOT / PLACE), clip=clip, full_page=True)


if __name__ == "__main__":
    main()
