"""What stands for an identity: values that follow from the old one and a key, and from nothing
else, so that they are the same in every file and every run with that key.

HMAC-SHA256 (RFC 2104): without the key nobody finds the old value, nor tests a guess of it.
"""

import base64
import hmac
import uuid
from dataclasses import dataclass, field

KEY_BYTES = 32
"""Bytes of a key that is made here and thrown away."""
SHIFT_DAYS = (30, 3652)
"""A patient's dates move back by at least and at most so many days."""


@dataclass(frozen=True)
class Pseudonyms:
    """Pseudonyms by one key, which nothing prints."""

    key: bytes = field(repr=False)

    def uid(self, old: str) -> str:
        """Return the new UID of an old one: `2.25.` and a UUID as a number (PS3.5 B.2)."""
        made = uuid.UUID(bytes=self._digest("uid", old)[:16], version=5)
        return f"2.25.{made.int}"

    def patient(self, subject: str) -> str:
        """Return the patient id, 18 letters and digits, of a subject (see `subject_of`)."""
        return "EN" + base64.b32encode(self._digest("patient", subject)[:10]).decode("ascii")

    def days(self, subject: str) -> int:
        """Return by how many days all dates of a subject move: always back, never by none."""
        least, most = SHIFT_DAYS
        drawn = int.from_bytes(self._digest("days", subject)[:8], "big")
        return -(least + drawn % (most - least + 1))

    def _digest(self, what: str, old: str) -> bytes:
        return hmac.digest(self.key, f"{what}\0{old}".encode("utf-8", "surrogatepass"), "sha256")
