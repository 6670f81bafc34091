"""The database of reviews: its tables, and that nothing in the audit table is ever changed.

SQLite beside the run's tables, or PostgreSQL. Both refuse an UPDATE or a DELETE of a review by
triggers, whoever asks. What is committed is on the disk: SQLite writes ahead and waits for the disk
(WAL, synchronous FULL), PostgreSQL is asked for synchronous_commit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from app.review.settings import ReviewError

DATABASE = "reviews.sqlite"
# Raised whenever the tables below change their meaning.
FORMAT = 1
LOCK_WAIT_MS = 10_000

METADATA = MetaData()

ABOUT = Table(
    "about",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)
# Everything that was ever saved. `slot` is what is reviewed: a clip, or in a blind study a clip by
# a reader and replicate; `number` counts the reviews of a slot from 1, so that two people who saw
# the same newest one cannot both save the next.
REVIEWS = Table(
    "reviews",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("slot", String(200), nullable=False),
    Column("number", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("clip", String(32), nullable=False, index=True),
    Column("sha256", String(64)),
    Column("sop_uid_hash", String(64)),
    Column("reviewer", String(80), nullable=False),
    Column("at", String(40), nullable=False),
    Column("action", String(16), nullable=False),
    Column("replicate", Integer),
    Column("frame", Integer),
    Column("calipers", Text),
    Column("layers", Text),
    Column("contours", Text),
    Column("fluid", Text),
    Column("row_mm", Float(53)),
    Column("column_mm", Float(53)),
    Column("before_mm", Float(53)),
    Column("after_mm", Float(53)),
    Column("before_call", String(16)),
    Column("after_call", String(16)),
    Column("threshold_mm", Float(53), nullable=False),
    Column("reason", String(32)),
    Column("note", Text),
    Column("over", Boolean, nullable=False),
    Column("software", String(40), nullable=False),
    Column("bundle", String(200), nullable=False),
    Column("bundle_sha256", String(64), nullable=False),
    UniqueConstraint("slot", "number", name="reviews_one_each"),
    sqlite_autoincrement=True,
)
USERS = Table(
    "users",
    METADATA,
    Column("name", String(80), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("password", String(200), nullable=False),
    Column("changed", String(40), nullable=False),
    Column("active", Boolean, nullable=False),
)
# Blind studies: begun, then opened. Never changed either.
STUDY = Table(
    "study",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("event", String(16), nullable=False, unique=True),
    Column("at", String(40), nullable=False),
    Column("who", String(80), nullable=False),
    Column("seed", Integer),
    Column("repeats", Integer),
    sqlite_autoincrement=True,
)
KEPT = ("reviews", "study")
_WORDS = "what was saved is never changed or deleted"

_SQLITE_TRIGGERS = """
CREATE TRIGGER IF NOT EXISTS {table}_no_update BEFORE UPDATE ON {table}
BEGIN SELECT RAISE(ABORT, '{words}'); END;
CREATE TRIGGER IF NOT EXISTS {table}_no_delete BEFORE DELETE ON {table}
BEGIN SELECT RAISE(ABORT, '{words}'); END;
CREATE TRIGGER IF NOT EXISTS {table}_no_replace BEFORE INSERT ON {table}
WHEN EXISTS (SELECT 1 FROM {table} WHERE {same})
BEGIN SELECT RAISE(ABORT, 'UNIQUE: {words}'); END
"""
# INSERT OR REPLACE deletes without a trigger, so that what would be replaced is refused first.
_SAME = {
    "reviews": "id = NEW.id OR (slot = NEW.slot AND number = NEW.number)",
    "study": "id = NEW.id OR event = NEW.event",
}
_POSTGRES_FUNCTION = f"""
CREATE OR REPLACE FUNCTION endometer_kept() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '{_WORDS}'; END $$
"""
_POSTGRES_TRIGGERS = """
CREATE OR REPLACE TRIGGER {table}_kept BEFORE UPDATE OR DELETE ON {table}
FOR EACH ROW EXECUTE FUNCTION endometer_kept();
CREATE OR REPLACE TRIGGER {table}_not_emptied BEFORE TRUNCATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION endometer_kept()
"""


def open_database(folder: Path, address: str | None) -> Engine:
    """Open or make the database of a run. Raises ReviewError.

    `address` is an SQLAlchemy address of PostgreSQL or SQLite; None is DATABASE in `folder`.
    """
    engine = _engine(folder, address)
    try:
        with writing(engine) as base:
            if engine.dialect.name == "postgresql":
                base.execute(text("SELECT pg_advisory_xact_lock(7201964)"))  # one makes the tables
            METADATA.create_all(base)
            _make_triggers(base)
            _check_format(base)
    except SQLAlchemyError as error:
        engine.dispose()
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise ReviewError(
            f"the database of reviews cannot be used: {cause}. Check that {where(engine)} can be "
            "reached and written."
        ) from None
    return engine


def where(engine: Engine) -> str:
    """Return where a database is, without a password."""
    return engine.url.render_as_string(hide_password=True)


def _engine(folder: Path, address: str | None) -> Engine:
    try:
        url = make_url(address or f"sqlite:///{folder / DATABASE}")
        if url.drivername in ("postgresql", "postgres"):
            url = url.set(drivername="postgresql+psycopg")
        if url.get_backend_name() not in ("sqlite", "postgresql"):
            raise ReviewError(
                "--database takes postgresql://... or sqlite:///... and nothing else."
            )
        if url.get_backend_name() == "sqlite":
            engine = create_engine(url, connect_args={"timeout": LOCK_WAIT_MS / 1000})
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
        else:
            engine = create_engine(url, pool_pre_ping=True, pool_size=10)
            event.listen(engine, "connect", _prepare_postgres)
    except ArgumentError:
        raise ReviewError(
            "--database is no address such as postgresql://user@host/name or sqlite:///file."
        ) from None
    except ModuleNotFoundError as error:
        raise ReviewError(
            f"--database needs the package {error.name}, which is not installed. Install it with: "
            "pip install 'endometer[postgres]'"
        ) from None
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where _begin_sqlite says
    for setting in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "fullfsync = ON",  # macOS has a second, deeper flush; elsewhere nothing
        "foreign_keys = ON",
        f"busy_timeout = {LOCK_WAIT_MS}",
    ):
        connection.execute(f"PRAGMA {setting}")


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("endometer_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _prepare_postgres(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = on")
    connection.commit()


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Do all or nothing; when this ends without an error, it is on the disk."""
    with engine.connect().execution_options(endometer_write=True) as base, base.begin():
        yield base


def _make_triggers(base: Connection) -> None:
    if base.dialect.name == "postgresql":
        base.exec_driver_sql(_POSTGRES_FUNCTION)
        for table in KEPT:
            for statement in _POSTGRES_TRIGGERS.format(table=table).split(";"):
                base.exec_driver_sql(statement)
        return
    for table in KEPT:
        script = _SQLITE_TRIGGERS.format(table=table, words=_WORDS, same=_SAME[table])
        for statement in script.strip().replace("END;", "END;\0").split("\0"):
            base.exec_driver_sql(statement.strip().removesuffix(";"))


def _check_format(base: Connection) -> None:
    found = base.execute(ABOUT.select().where(ABOUT.c.name == "format")).first()
    if found is None:
        base.execute(ABOUT.insert().values(name="format", value=str(FORMAT)))
    elif found.value != str(FORMAT):
        raise ReviewError(
            f"the database of reviews has format {found.value}, this version knows {FORMAT}. "
            "Update endometer."
        )
