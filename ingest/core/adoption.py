"""What a receipt says of one source of a ledger that was lost, and what follows from it.

A receipt counts; it names no record. Where it says that all was read, nothing is left, and nothing
was refused, every record that passes the same rules was delivered: that is exact. Where it does
not, each record that passes may have been delivered, then or by a later run, and is in doubt.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Claim:
    """One source of a summary.

    Args:
        run_id: The run whose receipt it is.
        name: Given by `--as`.
        source_id: What event_uuids hang on.
        first_size: Bytes that the fingerprint is over.
        fingerprint: `sha256:...`.
        size: Bytes of the source then.
        content: Stands for all of these bytes.
        config_digest: Of mapping, rules and identity rules.
        complete: All was read, and nothing was left to send.
        records: Records by their end; `read` is their sum.
        in_doubt: Records that were in doubt.
        held: Records that were held.
    """

    run_id: str
    name: str
    source_id: UUID
    first_size: int
    fingerprint: str
    size: int
    content: str
    config_digest: str
    complete: bool
    records: Mapping[str, int]
    in_doubt: int
    held: int

    @property
    def exact(self) -> bool:
        """Whether it says of each record that passes the rules that it was delivered."""
        return self.complete and not (
            self.held or self.records["refused"] or self.records["unsent"]
        )


def claims_of(summary: Mapping[str, Any], *, origin: str, account: str) -> list[Claim]:
    """Give what a summary says of the sources that went to one destination.

    Raises:
        ValueError: It is no receipt of ours, or of another destination.
    """
    try:
        if summary["format"] != _FORMAT:
            raise ValueError(f"its format is {summary['format']}, not {_FORMAT}")
        went = (summary["destination"]["origin"], summary["destination"]["account"])
        if went != (origin, account):
            raise ValueError(
                f"it is of {went[0]} ({went[1]}), this run goes to {origin} ({account})"
            )
        return [_claim(str(summary["run_id"]), each) for each in summary["sources"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is not a summary with receipts ({error})") from error


def _claim(run_id: str, entry: Mapping[str, Any]) -> Claim:
    if not entry["ledger_digest"]:
        raise ValueError("it is of a check, which delivers nothing")
    return Claim(
        run_id=run_id,
        name=str(entry["name"]),
        source_id=UUID(entry["source_id"]),
        first_size=int(entry["first_size"]),
        fingerprint=str(entry["fingerprint"]),
        size=int(entry["bytes"]),
        content=str(entry["content"]),
        config_digest=str(entry["config_digest"]),
        complete=entry["complete"] is True,
        records={name: int(count) for name, count in entry["records"].items()},
        in_doubt=int(entry["of_which"]["in_doubt"]),
        held=int(entry["of_which"]["held"]),
    )
