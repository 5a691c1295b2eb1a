"""The table of faults is whole and true, and so is the page that is made from it."""

import subprocess
import sys

from tests.support.make_faults import (
    KINDS,
    PAGE,
    ROOT,
    TABLE,
    as_page,
    as_toml,
    carriers,
    numbers,
    read_table,
    with_tests,
)

CASES = read_table(TABLE.read_text(encoding="utf-8"))


def test_every_case_is_there() -> None:
    """Each of the 120 cases has its place, in order, and says what must come of it."""
    assert [case.number for case in CASES] == numbers()
    assert len(CASES) == sum(count for _, count in KINDS.values()) == 120
    assert all(case.fault and case.rule for case in CASES)


def test_a_case_is_held_or_says_why_not() -> None:
    """A case has a test, or a reason why it cannot occur, or says what is not held yet."""
    silent = [case.number for case in CASES if not (case.held or case.never or case.todo)]
    both = [case.number for case in CASES if case.never and case.todo]

    assert (silent, both) == ([], [])


def test_the_table_names_the_tests_that_there_are() -> None:
    """Every test that carries a number is in the table, and every test in the table is there."""
    assert with_tests(CASES) == CASES, "run: python -m tests.support.make_faults"


def test_numbers_carried_by_tests_are_cases() -> None:
    """No test carries a number that is no case."""
    assert set(carriers()) == set(numbers())


def test_files_are_as_written() -> None:
    """The table and its page are what the script makes of them."""
    assert TABLE.read_text(encoding="utf-8") == as_toml(CASES)
    assert PAGE.read_text(encoding="utf-8") == as_page(CASES)


def test_a_number_finds_its_tests() -> None:
    """`pytest -k I13` finds all tests of the case, though only some have it in their id."""
    (case,) = (case for case in CASES if case.number == "I13")
    files = sorted({name.partition("::")[0] for name in case.held})

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider",
         "-k", "I13", *files],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    found = {line.partition("[")[0] for line in done.stdout.splitlines() if "::" in line}
    assert found == set(case.held), done.stdout + done.stderr
