"""What a review page may be told, and the errors that it ends with."""

from dataclasses import dataclass, field
from importlib import util
from pathlib import Path

from data.dicomweb_address import is_here

PACKAGES = ("fastapi", "uvicorn", "sqlalchemy", "argon2")
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
# People who look at pictures for hours pause; on a network the desk is not theirs alone.
IDLE_MINUTES = {"loopback": 8 * 60.0, "network": 30.0}


class ReviewError(Exception):
    """The page cannot be opened; the message says what was found and what to do."""


class RefusedError(Exception):
    """A request is refused: HTTP status and words for a person, without identity or path.

    `headers` go with the answer, `more` stands beside the words.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        headers: dict[str, str] | None = None,
        more: dict[str, object] | None = None,
    ) -> None:
        """Keep what is answered."""
        super().__init__(message)
        self.status, self.message = status, message
        self.headers, self.more = headers or {}, more or {}


def require_review() -> None:
    """Raise ReviewError if the packages of the extra are missing. Imports nothing."""
    missing = [name for name in PACKAGES if util.find_spec(name) is None]
    if missing:
        raise ReviewError(
            f"the review page needs the packages {', '.join(missing)}, which are not installed. "
            "Install them with: pip install 'endometer[review]'"
        )


@dataclass(frozen=True)
class Settings:
    """What decides how a run is reviewed.

    `folder` holds the run's tables. `database` is an SQLAlchemy address, None for
    `folder/reviews.sqlite`. `archive` is where the clips lie now if they were moved. `bundle` is
    the model that the run was measured with, None for the shipped one. `reviewer` is who reviews
    where there are no accounts.
    """

    folder: Path
    database: str | None = field(default=None, repr=False)
    archive: Path | None = None
    bundle: Path | None = None
    reviewer: str | None = None
    show_identity: bool = False
    blind: bool = False
    seed: int = 0
    repeats: int = 1
    host: str = "127.0.0.1"
    port: int = 0
    names: tuple[str, ...] = ()
    """Other names by which browsers reach this machine."""
    certificate: Path | None = None
    key: Path | None = None
    tls_in_front: bool = False
    idle_minutes: float | None = None
    frame_cache_bytes: int = 256 * 2**20
    prefetch: bool = True
    """Prepare the next clips in the background."""

    @property
    def accounts(self) -> bool:
        """Whether people log in; on loopback the one-time token of the address is the key."""
        return not is_here(self.host)

    @property
    def secure(self) -> bool:
        """Whether browsers reach the page by TLS."""
        return self.certificate is not None or self.tls_in_front

    @property
    def idle_seconds(self) -> float:
        """After how long without a request a session ends."""
        minutes = self.idle_minutes
        if minutes is None:
            minutes = IDLE_MINUTES["network" if self.accounts else "loopback"]
        return 60.0 * minutes
