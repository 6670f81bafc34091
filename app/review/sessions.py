"""Who is asking: one-time tokens, sessions and the tokens against forged requests.

All of it lives in memory: a restart ends every session, and no disk holds a key to one.
"""

import hmac
import secrets
import threading
import time
from dataclasses import dataclass, field
from hashlib import sha256

from app.review.accounts import Role

TOKEN_LIFE = 600.0  # seconds in which the address that the terminal shows can be opened
LONGEST_SESSION = 16 * 3600.0
MOST_SESSIONS = 10_000


@dataclass
class Session:
    """Somebody who may use the page. `changed` is the account's when it began."""

    name: str
    role: Role
    changed: str
    began: float
    seen: float
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)


class Sessions:
    """Sessions by the hash of their secret: 256 random bits that only the browser keeps."""

    def __init__(self, idle_seconds: float) -> None:
        """Make sessions that end after so long without a request."""
        self._idle = idle_seconds
        self._lock = threading.Lock()
        self._sessions: dict[bytes, Session] = {}
        self._tokens: dict[bytes, float] = {}
        self._key = secrets.token_bytes(32)

    @staticmethod
    def new_secret() -> str:
        """Return 256 random bits as text."""
        return secrets.token_urlsafe(32)

    def new_token(self) -> str:
        """Return a token that opens one session, once, within TOKEN_LIFE."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._tokens[_hash(token)] = time.monotonic() + TOKEN_LIFE
        return token

    def take_token(self, token: str) -> bool:
        """Tell whether a token is good, and make it bad."""
        wanted, at, good = _hash(token), time.monotonic(), False
        with self._lock:
            for known, until in list(self._tokens.items()):
                # Hashes are compared in constant time, and every one of them.
                if hmac.compare_digest(known, wanted):
                    good = until >= at
                    del self._tokens[known]
                elif until < at:
                    del self._tokens[known]
        return good

    def begin(self, name: str, role: Role, changed: str = "") -> str:
        """Begin a session; return its secret."""
        secret, at = secrets.token_urlsafe(32), time.monotonic()
        with self._lock:
            if len(self._sessions) >= MOST_SESSIONS:
                self._drop_old(at)
            self._sessions[_hash(secret)] = Session(name, role, changed, at, at)
        return secret

    def _drop_old(self, at: float) -> None:
        for key, session in list(self._sessions.items()):
            if self._is_over(session, at):
                del self._sessions[key]
        while len(self._sessions) >= MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]

    def _is_over(self, session: Session, at: float) -> bool:
        return at - session.seen > self._idle or at - session.began > LONGEST_SESSION

    def find(self, secret: str | None) -> Session | None:
        """Return the session of a secret, which thereby is in use; None if it is over."""
        if not secret:
            return None
        key, at = _hash(secret), time.monotonic()
        with self._lock:
            session = self._sessions.get(key)
            if session is None:
                return None
            if self._is_over(session, at):
                del self._sessions[key]
                return None
            session.seen = at
            return session

    def end(self, secret: str | None) -> None:
        """End a session."""
        if secret:
            with self._lock:
                self._sessions.pop(_hash(secret), None)

    def csrf(self, secret: str) -> str:
        """Return what a page sends along with a change: nobody who cannot read it knows it."""
        return hmac.new(self._key, secret.encode(), sha256).hexdigest()

    def csrf_is_good(self, secret: str | None, sent: str | None) -> bool:
        """Compare what was sent with what the page was given, in constant time."""
        if not secret or not sent:
            return False
        return hmac.compare_digest(self.csrf(secret).encode(), sent.encode("utf-8", "replace"))


def _hash(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()
