"""Opens the ledger's SQLite file: connections, durability settings, check and migration."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, QueuePool

from node.errors import LedgerError
from node.ledger.tables import SCHEMA_REVISION

BUSY_TIMEOUT_S = 5.0
READERS = 8

_MIGRATIONS = Path(__file__).parent / "migrations"

#: Values of SQLite's application_id, in the file itself: a ledger that is in use, or was when its
#: node died, has changes in its write-ahead log only.
_AT_REST, _IN_USE = 0x63617264, 0x6E6F6465
#: Where the file's header has it, big-endian (SQLite's "Database File Format", section 1.3).
_APPLICATION_ID = slice(68, 72)

# FULL: a commit returns when the WAL is on stable storage.
_WRITER_PRAGMAS = (
    "synchronous=FULL",
    "foreign_keys=ON",
    "wal_autocheckpoint=1000",
    f"journal_size_limit={64 * 1024 * 1024}",
    "trusted_schema=OFF",
)
_READER_PRAGMAS = ("query_only=ON", "trusted_schema=OFF")


def open_writer(path: Path) -> Connection:
    """Open the one connection that may write, with the file checked and its schema up to date.

    Raises
    ------
    LedgerError
        The file is damaged, locked, on a file system without WAL, or of a newer node, or its
        write-ahead log is gone.
    """
    _require_log(path)
    engine = _engine(path, mode="rwc", begin="BEGIN IMMEDIATE", pool=NullPool)
    try:
        connection = engine.connect()
        _prepare(connection)
        _migrate(connection)
        _mark(connection, _IN_USE)
        # Into the file itself, where it is found when the log is gone.
        _driver(connection).execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except (DBAPIError, sqlite3.Error, CommandError) as error:
        engine.dispose()
        raise LedgerError(f"The ledger can't be opened: {_plain(error)}") from error
    except LedgerError:
        engine.dispose()
        raise
    return connection


def put_to_rest(connection: Connection) -> None:
    """Note that the log may go: the last change of a ledger that is about to be closed.

    Raises
    ------
    sqlite3.Error
        The disk fails.
    """
    _mark(connection, _AT_REST)


def log_of(path: Path) -> Path:
    """The write-ahead log of a ledger, where its latest changes are."""
    return path.with_name(f"{path.name}-wal")


def open_readers(path: Path) -> Engine:
    """Open a pool of connections that only read, beside a running node or without one.

    Raises
    ------
    LedgerError
        There is no ledger, it is damaged, its schema is not this version's, or its write-ahead log
        is gone.
    """
    if not path.exists():
        raise LedgerError("There is no ledger yet: the node has not run on this data directory.")
    _require_log(path)
    engine = _engine(path, mode="ro", begin="BEGIN", pool=QueuePool)
    try:
        with engine.connect() as connection:
            revision = _schema_revision(connection)
    except (DBAPIError, sqlite3.Error) as error:
        engine.dispose()
        raise LedgerError(f"The ledger can't be read: {_plain(error)}") from error
    if revision != SCHEMA_REVISION:
        engine.dispose()
        raise LedgerError(
            f"The ledger has schema {revision or 'none'}, this version reads {SCHEMA_REVISION}; "
            "start the node of the right version on it first."
        )
    return engine


def _engine(path: Path, mode: str, begin: str, pool: type[NullPool] | type[QueuePool]) -> Engine:
    uri = f"file:{quote(str(path.absolute()))}?mode={mode}"
    pragmas = _READER_PRAGMAS if mode == "ro" else _WRITER_PRAGMAS

    def connect() -> sqlite3.Connection:
        if mode == "ro":
            _refuse_without_log(path)
        # isolation_level=None: the driver starts no transactions of its own; `begin` does.
        connection = sqlite3.connect(
            uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        return connection

    if pool is QueuePool:
        engine = create_engine("sqlite://", creator=connect, poolclass=pool, pool_size=READERS)
    else:
        engine = create_engine("sqlite://", creator=connect, poolclass=pool)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # Not through SQLAlchemy, whose way to the driver costs more than the statement.
        driver = connection.connection.driver_connection
        if isinstance(driver, sqlite3.Connection):
            driver.execute(begin)

    return engine


def _driver(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        raise LedgerError("The ledger needs SQLite.")
    return driver


def _mark(connection: Connection, state: int) -> None:
    _driver(connection).execute(f"PRAGMA application_id = {state}")


def _refuse_without_log(path: Path) -> None:
    """Raise what the driver would, for whoever tries again after a disk error."""
    try:
        lacks_log = _lacks_log(path)
    except OSError as error:
        raise sqlite3.OperationalError(error.strerror) from error
    if lacks_log:
        raise sqlite3.OperationalError("its write-ahead log is gone")


def _require_log(path: Path) -> None:
    try:
        lacks_log = _lacks_log(path)
    except OSError as error:
        raise LedgerError(f"The ledger can't be read: {error.strerror}") from error
    if lacks_log:
        raise LedgerError(
            "The ledger was not closed, and its latest changes are gone with "
            f"{log_of(path).name}: put that file back. Where it can't be had, or the ledger is a "
            "copy of one that was in use, make an empty file of that name to go on without them."
        )


def _lacks_log(path: Path) -> bool:
    """Whether the ledger is in use, or was when its node died, and has no log.

    Found out without SQLite: whoever opens the file with it, even for reading, makes an empty log,
    and the next start would find nothing missing.
    """
    # Twice: between two looks at a sound ledger a node may end, which removes the log.
    return _is_in_use(path) and not log_of(path).exists() and _is_in_use(path)


def _is_in_use(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            header = file.read(_APPLICATION_ID.stop)
    except FileNotFoundError:
        return False
    return header[_APPLICATION_ID] == _IN_USE.to_bytes(4, "big")


def _prepare(connection: Connection) -> None:
    driver = _driver(connection)
    (mode,) = driver.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise LedgerError(f"The ledger's disk does not support WAL (journal mode {mode}).")
    (verdict,) = driver.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise LedgerError(
            "The ledger is damaged; restore it from a backup, or move it away and send again."
        )


def _migrate(connection: Connection) -> None:
    with connection.begin():
        revision = _schema_revision(connection)
        if revision == SCHEMA_REVISION:
            return
        if revision is not None and revision > SCHEMA_REVISION:
            raise LedgerError(
                f"The ledger has schema {revision}, this version knows {SCHEMA_REVISION}: "
                "it was written by a newer cardionode and is left as it is."
            )
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, SCHEMA_REVISION)


def _schema_revision(connection: Connection) -> str | None:
    known = connection.exec_driver_sql(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"
    ).first()
    if known is None:
        return None
    revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if revision is None else str(revision)


def _plain(error: DBAPIError | sqlite3.Error | CommandError) -> str:
    return str(error.orig if isinstance(error, DBAPIError) else error)
