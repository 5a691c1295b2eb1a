"""What a sandbox is started with."""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from ingest.sandbox.errors import SandboxError
from ingest.sandbox.faults import Faults

IDENTITIES = ("strict", "page")
# Advised for the bulk endpoint by its reference page: at most 5 calls a second.
ADVISED_RATE = 5.0
# A run in the background has no account to spare: twenty times as fast, and still paced.
RUN_RATE = 100.0
RUN_SLACK_S = 0.02


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """What a sandbox is started with.

    Args:
        store: The SQLite file that keeps what was received; made if missing, added to if it is
            there. None: a temporary one that goes with the process.
        port: On 127.0.0.1; 0: the system chooses.
        key: The only API key that is let in; None: any that is not empty.
        denial: What another key than `key` is answered: 401 or 403. No key is always 401.
        rate: Calls a second in any sliding second, above it 429; 0: no limit.
        slack_s: Calls that come this much too early for the rate are let through, in seconds.
        retry_after: Value of the Retry-After header of a 429; None: no such header.
        faults: Faults on request, see `ingest.sandbox.faults`.
        seed: Of the faults that are drawn.
        identity: `strict`: an event name and an identity; `page`: an event name is enough.
        identity_keys: Further names that count as an identity.
        partial: A bulk with invalid events: False: refused as a whole; True: the valid ones are
            stored, and the 200 has an `errors` array.
        invalid_status: What invalid events are answered: 400 or 422.
        schemas: The directory of the rules; None: those that come with the package.

    Raises:
        SandboxError: A value is out of its range, or a fault is malformed.
    """

    store: Path | None = None
    port: int = 0
    key: str | None = field(default=None, repr=False)
    denial: int = 401
    rate: float = ADVISED_RATE
    slack_s: float = 0.0
    retry_after: str | None = None
    faults: tuple[str, ...] = ()
    seed: int = 0
    identity: str = "strict"
    identity_keys: tuple[str, ...] = ()
    partial: bool = False
    invalid_status: int = 400
    schemas: Path | None = None

    def __post_init__(self) -> None:
        Faults(self.faults, seed=self.seed)
        for is_right, message in (
            (0 <= self.port <= 65535, f"--port {self.port}: a port is 0 to 65535"),  # noqa: PLR2004 - 16 bits
            (self.key is None or self.key, "--key: the key is empty"),
            (":" not in (self.key or ""), "--key: a key has no colon (HTTP Basic)"),
            (self.denial in {401, 403}, f"denial {self.denial}: 401 or 403"),
            (math.isfinite(self.rate) and self.rate >= 0, f"--rate {self.rate}: 0 or more"),
            (0 <= self.slack_s < 1, f"slack {self.slack_s} s: 0 or more, below 1"),
            (self.identity in IDENTITIES, f"--identity {self.identity}: strict or page"),
            (all(self.identity_keys), "--identity-key: the name is empty"),
            (self.invalid_status in {400, 422}, f"status {self.invalid_status}: 400 or 422"),
        ):
            if not is_right:
                raise SandboxError(message)

    @classmethod
    def for_one_run(
        cls, store: Path, *, identity: str = "strict", identity_keys: tuple[str, ...] = ()
    ) -> Self:
        """Give the options of a sandbox in the background of one run: any key, 100 calls/s."""
        return cls(
            store=store,
            rate=RUN_RATE,
            slack_s=RUN_SLACK_S,
            identity=identity,
            identity_keys=identity_keys,
        )

    def to_json(self) -> str:
        """Write them as one line, for `from_json` in another process."""
        return json.dumps(dataclasses.asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        for name in ("store", "schemas"):
            values[name] = None if values[name] is None else Path(values[name])
        for name in ("faults", "identity_keys"):
            values[name] = tuple(values[name])
        return cls(**values)
