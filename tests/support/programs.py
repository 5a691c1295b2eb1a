"""Programs of Debian packages that some tests need."""

import os
import shutil

import pytest


def program(*names: str, package: str) -> str:
    """Give the path of the first of `names` that is there.

    Where none is, the test is skipped with the reason; it fails where CI should have installed it.
    """
    for name in names:
        if path := shutil.which(name):
            return path
    reason = f"{names[0]} is not installed: apt-get install {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
