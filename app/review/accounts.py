"""People with a password: argon2 hashes in the database, roles, and a brake on guessing."""

import re
import secrets
import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, func, select

from app.review.database import USERS, writing
from app.review.settings import RefusedError, ReviewError
from app.review.store import now

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 1000  # more is work for argon2 and no more secret
_NAME = re.compile(r"[^\W_][\w.@ '-]{0,62}[\w.]|[^\W_]")
# Failures that cost nothing, and how long the next ones wait: doubled each time up to the most.
FREE_FAILURES, FIRST_WAIT, MOST_WAIT = 4, 1.0, 900.0
# From one address people of a whole ward may log in.
FREE_FAILURES_OF_ADDRESS = 40
FORGET_AFTER = 3600.0
MOST_REMEMBERED = 10_000


class Role(StrEnum):
    """What a person may do: look (and read, in a blind study), save, or manage people, too."""

    READER = "reader"
    REVIEWER = "reviewer"
    ADMIN = "admin"


@dataclass(frozen=True)
class Account:
    """A person. `changed` is when password or role last changed."""

    name: str
    role: Role
    changed: str
    active: bool


class Accounts:
    """The accounts of a database."""

    def __init__(self, engine: Engine) -> None:
        """Use the table of an open database."""
        from argon2 import PasswordHasher

        self._engine = engine
        self._hasher = PasswordHasher()
        self._nobody = ""

    def add(self, name: str, password: str, role: Role) -> None:
        """Add a person. Raises ReviewError for a name that is taken or a weak password."""
        if not _NAME.fullmatch(name):
            raise ReviewError(
                "a name has 1 to 64 letters, digits, spaces and . @ ' - _, beginning with a letter "
                "or digit."
            )
        _check_password(name, password)
        if self.get(name) is not None:
            raise ReviewError(f"there is or was an account {name!r}; names are not used again.")
        with writing(self._engine) as base:
            base.execute(
                USERS.insert().values(
                    name=name,
                    role=role,
                    password=self._hasher.hash(password),
                    changed=now(),
                    active=True,
                )
            )

    def set_password(self, name: str, password: str) -> None:
        """Give a person another password; sessions end. Raises ReviewError."""
        _check_password(name, password)
        self._update(name, password=self._hasher.hash(password), active=True)

    def remove(self, name: str) -> None:
        """Close an account for good; its name stays, because reviews bear it."""
        account = self.get(name)
        if account is not None and account.role is Role.ADMIN and self._admins() == 1:
            raise ReviewError(f"{name!r} is the last admin; add another first.")
        self._update(name, active=False)

    def _update(self, name: str, **values: object) -> None:
        with writing(self._engine) as base:
            done = base.execute(
                USERS.update().where(USERS.c.name == name).values(changed=now(), **values)
            )
        if done.rowcount != 1:
            raise ReviewError(f"there is no account {name!r}.")

    def _admins(self) -> int:
        with self._engine.connect() as base:
            return int(
                base.execute(
                    select(func.count()).where(USERS.c.role == Role.ADMIN, USERS.c.active)
                ).scalar_one()
            )

    def get(self, name: str) -> Account | None:
        """Return an account, also one that was removed."""
        with self._engine.connect() as base:
            row = base.execute(USERS.select().where(USERS.c.name == name)).first()
        return None if row is None else _account(row)

    def all(self) -> list[Account]:
        """Return all accounts that can be used, by name."""
        with self._engine.connect() as base:
            rows = base.execute(USERS.select().where(USERS.c.active).order_by(USERS.c.name)).all()
        return [_account(row) for row in rows]

    def check(self, name: str, password: str) -> Account | None:
        """Return the account of a name and its password; takes as long for a name nobody has."""
        from argon2.exceptions import Argon2Error, InvalidHashError

        with self._engine.connect() as base:
            row = base.execute(USERS.select().where(USERS.c.name == name, USERS.c.active)).first()
        if not self._nobody:
            self._nobody = self._hasher.hash(secrets.token_urlsafe(32))
        try:
            self._hasher.verify(row.password if row else self._nobody, password[:LONGEST_PASSWORD])
        except (Argon2Error, InvalidHashError):
            return None
        return None if row is None else _account(row)


def _account(row: Any) -> Account:
    return Account(row.name, Role(row.role), row.changed, row.active)


def _check_password(name: str, password: str) -> None:
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise ReviewError(
            f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD:,} characters; four words "
            "are easy to remember."
        )
    if len(set(password)) < 5 or name.casefold() in password.casefold():
        raise ReviewError("this password is easily guessed: it holds the name, or few characters.")


class Brake:
    """Makes guessing slow: after some failures of a name or an address each next one must wait.

    Waiting is counted by the caller's clock, so that nobody holds a thread of the server.
    """

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._lock = threading.Lock()
        self._failures: dict[str, tuple[int, float]] = {}

    def check(self, name: str, address: str) -> None:
        """Raise RefusedError (429) while a name or an address has to wait."""
        at = time.monotonic()
        with self._lock:
            wait = max(self._wait(key, free, at) for key, free in _keys(name, address))
        if wait > 0:
            seconds = int(wait) + 1
            raise RefusedError(
                429,
                f"Too many wrong passwords. Wait {seconds} seconds, then try again.",
                headers={"Retry-After": str(seconds)},
            )

    def _wait(self, key: str, free: int, at: float) -> float:
        count, last = self._failures.get(key, (0, 0.0))
        if count <= free:
            return 0.0
        wait = min(MOST_WAIT, FIRST_WAIT * 2.0 ** min(count - free - 1, 20))
        return last + wait - at

    def failed(self, name: str, address: str) -> None:
        """Count a failure."""
        at = time.monotonic()
        with self._lock:
            if len(self._failures) > MOST_REMEMBERED:
                kept = {k: v for k, v in self._failures.items() if at - v[1] < FORGET_AFTER}
                newest = sorted(kept.items(), key=lambda item: item[1][1])[-MOST_REMEMBERED // 2 :]
                self._failures = dict(newest)
            for key, _ in _keys(name, address):
                count, last = self._failures.get(key, (0, 0.0))
                count = 0 if at - last > FORGET_AFTER else count
                self._failures[key] = (count + 1, at)

    def succeeded(self, name: str) -> None:
        """Forget the failures of a name; those of the address stay."""
        with self._lock:
            self._failures.pop(f"name {name.casefold()}", None)


def _keys(name: str, address: str) -> tuple[tuple[str, int], tuple[str, int]]:
    return (
        (f"name {name.casefold()}", FREE_FAILURES),
        (f"address {address}", FREE_FAILURES_OF_ADDRESS),
    )
