"""Gathers what the benchmarks wrote into RESULTS.md: `python benchmarks/results.py`.

With `--measure` it runs first those that compare `ingest` with others, which takes half an hour.
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
_FIRST = ("check", "run", "memory", "profile", "dirty", "wire", "pacing", "concurrency")
_MEASURED = ("check.py", "run.py", "memory.py", "dirty.py")
_HEAD = """# What was measured

Written by `python benchmarks/results.py`; each part names its command, its day and its machine.
"Ours is 0.50 x" means: half as many records a second as that side, in the same run. Sides take
turns, so that all see the same disturbance; on a busy machine the ratios and the processor time
say more than the rates. [README.md](README.md) says what each program asks.
"""


def main() -> None:
    """Measure where that is asked for, and gather."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="run the comparisons first")
    if parser.parse_args().measure:
        for program in _MEASURED:
            subprocess.run([sys.executable, HERE / program], check=True)
    parts = [HERE / "results" / f"{name}.md" for name in _FIRST]
    texts = [
        path.read_text().strip().replace("](", "](results/") for path in parts if path.exists()
    ]
    lower = [text.replace("\n## ", "\n### ").replace("# ", "## ", 1) for text in texts]
    (HERE / "RESULTS.md").write_text("\n\n".join([_HEAD.strip(), *lower]) + "\n")


if __name__ == "__main__":
    main()
