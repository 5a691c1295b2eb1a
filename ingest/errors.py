"""The errors that stop a run, with their exit codes.

IngestError
 +-- BugError            1  a bug here: a count that does not add up
 +-- UsageError          2  flags, configuration, schema, a wrong address
 +-- StoppedError        4  stopped early; run again to resume
 +-- MismatchError       5  source or ledger does not match, or is damaged
 +-- CredentialsError    6  the API refused the key
 +-- GateError           7  a gate stopped the run
 +-- LockedError         8  another run holds the source
 +-- InterruptedRun    129, 130, 143  a signal; run again to resume

Data that is wrong is a reject, never an exception; what the API says is a `Decision`.
"""

from typing import ClassVar


class IngestError(Exception):
    """A run cannot go on.

    Args:
        message: What, where and which value, in one line.
        hint: What to type or do next; may be empty.
        code: A stable word for machines, in snake_case.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or "error"


class BugError(IngestError):
    """Something that cannot be, is: the counts of a run do not add up."""

    exit_code = 1


class UsageError(IngestError):
    """Flags, configuration, a schema, a source or an address cannot be used."""

    exit_code = 2


class StoppedError(IngestError):
    """The run stopped early and can be resumed by the same command."""

    exit_code = 4


class MismatchError(IngestError):
    """A source or the ledger is not what was recorded, or is damaged."""

    exit_code = 5


class CredentialsError(IngestError):
    """The API refused the key, or the key is not the one of this account."""

    exit_code = 6


class GateError(IngestError):
    """Too much was rejected or refused: a gate stopped the run."""

    exit_code = 7


class LockedError(IngestError):
    """Another run holds the source."""

    exit_code = 8


class InterruptedRun(IngestError):  # noqa: N818 - an interruption is not an error of ours
    """A signal ended the run; it can be resumed by the same command.

    Args:
        signal_number: 1 (HUP), 2 (INT) or 15 (TERM); the exit code is 128 more.
    """

    def __init__(self, message: str, *, signal_number: int, hint: str = "") -> None:
        super().__init__(message, hint=hint, code="interrupted")
        self.exit_code = 128 + signal_number  # type: ignore[misc] # differs per instance
