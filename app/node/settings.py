"""What a node may be told, and the error that it ends with."""

import ipaddress
import re
from dataclasses import dataclass
from importlib import util
from pathlib import Path

from data.dicomweb_address import Address
from inference.dicom.maker import Kind

PACKAGES = {"pynetdicom": "node", "prometheus_client": "node", "highdicom": "dicom"}
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# PS3.5 table 6.2-1, AE: at most 16 characters without control characters and backslash. Only
# those that need no escape anywhere are taken here.
_AE_TITLE = re.compile(r"[A-Za-z0-9_.-]([A-Za-z0-9_. -]{0,14}[A-Za-z0-9_.-])?")
_PEER = re.compile(r"(?P<title>[^@]+)@(?P<host>\[[^\]]+\]|[^:@\s]+):(?P<port>\d{1,5})")
MIB = 2**20


class NodeError(Exception):
    """The node cannot start or go on; the message says what was found and what to do."""


@dataclass(frozen=True)
class Peer:
    """A destination that takes results by C-STORE."""

    title: str
    host: str
    port: int

    @property
    def name(self) -> str:
        """How the outbox calls it."""
        return f"{self.title}@{self.host}:{self.port}"


Destination = Peer | Address
"""An archive that takes results by C-STORE, or a server that takes them by STOW-RS."""


@dataclass(frozen=True)
class Limits:
    """What a node refuses when there is more of it, or less. Bytes, and numbers per minute."""

    object_bytes: int = 2048 * MIB
    associations: int = 10
    """Open at one time."""
    associations_per_minute: int = 600
    """Begun by one address."""
    free_bytes: int = 1024 * MIB
    """That stay free on the disk."""


@dataclass(frozen=True)
class Tls:
    """A certificate and its key, and the authority that signs those of clients, if they need one.

    PS3.15 B.12 asks for TLS 1.2 or 1.3.
    """

    certificate: Path
    key: Path
    clients: Path | None = None


@dataclass(frozen=True)
class Settings:
    """What decides how a node works; `folder` holds all that it keeps.

    Empty `callers` and `networks` allow everybody. `quiet_seconds` without a new object end a
    study. `retry_seconds` is the first pause after a failed delivery; it doubles each time.
    """

    folder: Path
    title: str = "ENDOMETER"
    host: str = "127.0.0.1"
    port: int = 11112
    callers: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    require_called: bool = False
    tls: Tls | None = None
    limits: Limits = Limits()
    measure: bool = True
    quiet_seconds: float = 60.0
    kinds: frozenset[Kind] = frozenset({Kind.SR, Kind.SC})
    destinations: tuple[Destination, ...] = ()
    retry_seconds: float = 5.0
    metrics_port: int | None = None
    grace_seconds: float = 30.0
    """How long open associations may go on after the node was told to stop."""
    threshold_mm: float = 6.0
    bundle: Path | None = None
    device: str = "auto"
    workers: int | None = None


def require_node() -> None:
    """Raise NodeError if packages of the extras are missing. Imports nothing."""
    missing = [name for name in PACKAGES if util.find_spec(name) is None]
    if missing:
        extras = ",".join(sorted({PACKAGES[name] for name in missing}))
        raise NodeError(
            f"the node needs the packages {', '.join(missing)}, which are not installed. "
            f"Install them with: pip install 'endometer[{extras}]'"
        )


def read_title(text: str) -> str:
    """Return an AE title. Raises NodeError for one that is none."""
    title = text.strip()
    if not _AE_TITLE.fullmatch(title):
        raise NodeError(
            f"{text!r} is no AE title: 1 to 16 letters, digits, spaces, points, hyphens, "
            "underscores."
        )
    return title


def read_network(text: str) -> Network:
    """Return the network of `192.0.2.0/24` or of one address. Raises NodeError."""
    try:
        return ipaddress.ip_network(text.strip(), strict=False)  # of one of its addresses, too
    except ValueError as error:
        raise NodeError(
            f"{text!r} is no network such as 192.0.2.0/24 or 192.0.2.7: {error}."
        ) from (None)


def read_peer(text: str) -> Peer:
    """Return the destination of `AET@HOST:PORT`. Raises NodeError."""
    found = _PEER.fullmatch(text.strip())
    if found is None or not 0 < int(found["port"]) < 2**16:
        raise NodeError(
            f"{text!r} is not AET@HOST:PORT, such as PACS@192.0.2.7:104; ports end at 65535."
        )
    return Peer(read_title(found["title"]), found["host"].strip("[]"), int(found["port"]))
