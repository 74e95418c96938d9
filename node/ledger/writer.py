"""The one writer of the ledger: changes that wait at the same time share a commit."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ClauseElement, Connection, insert
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.sql.compiler import SQLCompiler

from node.errors import CardionodeError, LedgerError, LedgerWriteError, StorageFullError
from node.ledger.engine import put_to_rest
from node.ledger.tables import events

Result = TypeVar("Result")

MAX_BATCH = 128
#: How often a ledger whose disk failed is opened anew.
MEND_EVERY_S = 1.0

_log = logging.getLogger(__name__)

_LOG_LOST = "The ledger's write-ahead log was deleted; stop the node, which saves what was in it."

# After these the pages on disk can't be trusted until the file is opened and checked again.
_FATAL_CODES = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Statement:
    """A statement for the path of arrivals, made ready once for the driver.

    SQLAlchemy's own way from a statement to the driver costs some ten times what SQLite does, and
    each instance that arrives needs half a dozen of them before its sender gets an answer.

    Parameters
    ----------
    columns
        That an insert or update gets with each run.
    """

    def __init__(self, clause: ClauseElement, columns: Sequence[str] | None = None) -> None:
        dialect = sqlite.dialect(paramstyle="named")
        compiled = clause.compile(dialect=dialect, column_keys=columns)
        if not isinstance(compiled, SQLCompiler):
            raise TypeError("only statements that select or change rows can be made ready")
        self.sql = str(compiled)
        self.fixed = {
            name: bind.value for bind, name in compiled.bind_names.items() if not bind.required
        }


_EVENT_COLUMNS = ("at", "study_uid", "subject", "what", "detail")
_ADD_EVENTS = Statement(insert(events), _EVENT_COLUMNS)


class Transaction:
    """One caller's part of a write transaction.

    Attributes
    ----------
    now
        The time of every change in it, epoch seconds.
    """

    __slots__ = ("_events", "connection", "now")

    def __init__(self, connection: Connection, now: float) -> None:
        self.connection = connection
        self.now = now
        self._events: list[dict[str, Any]] = []

    def run(self, statement: Statement, values: Mapping[str, object]) -> sqlite3.Cursor:
        """Run a prepared statement."""
        try:
            return driver_of(self.connection).execute(statement.sql, statement.fixed | dict(values))
        except sqlite3.Error as error:
            raise DBAPIError(None, None, error) from error

    def event(self, study_uid: str, subject: str, what: str, detail: str = "") -> None:
        """Tell what happened; it is written with the change or not at all."""
        self._events.append(
            {
                "at": self.now,
                "study_uid": study_uid,
                "subject": subject,
                "what": what,
                "detail": detail,
            }
        )

    def flush(self) -> None:
        """Write the events."""
        if not self._events:
            return
        try:
            driver_of(self.connection).executemany(_ADD_EVENTS.sql, self._events)
        except sqlite3.Error as error:
            raise DBAPIError(None, None, error) from error


class _Answer(NamedTuple):
    value: Any
    error: Exception | None


class _Request:
    """A change that somebody waits for."""

    __slots__ = ("answer", "change", "error", "is_done")

    def __init__(self, change: Callable[[Transaction], Any]) -> None:
        self.change = change
        self.is_done = False
        self.answer: Any = None
        self.error: Exception | None = None

    def end(self, answer: Any, error: Exception | None) -> None:
        self.answer, self.error = answer, error
        self.is_done = True


class Writer:
    """Runs changes one after another and answers them when they are on stable storage.

    There is no thread: whoever gets the turn writes what everybody waits for, in one commit, and
    finds the own change among it. A lone sender's change costs no switch of threads, each of which
    takes as long as a sync on a busy machine.

    Parameters
    ----------
    connection
        The only connection that writes; the writer closes it.
    clock
        Epoch seconds.
    reopen
        Opens and checks the file anew: after a disk error what this connection believes of the
        file can't be trusted. Until that succeeds every change is refused.
    log
        The write-ahead log. When somebody deletes it, changes are refused from then on: they would
        go into a file that is gone when the node ends.
    """

    def __init__(
        self,
        connection: Connection,
        clock: Callable[[], float],
        reopen: Callable[[], Connection],
        log: Path,
    ) -> None:
        self._log = log
        self._connection = connection
        self._clock = clock
        self._reopen = reopen
        self._next_mend_at = 0.0
        self._waiting: deque[_Request] = deque()
        self._turn = threading.Lock()
        self._closed = False
        self._broken = self._log_lost = ""
        self._log_id: tuple[int, int] | None = None

    @property
    def healthy(self) -> bool:
        """Whether changes are accepted."""
        return not (self._closed or self._broken)

    def call(self, change: Callable[[Transaction], Result]) -> Result:
        """Make a change and wait until it is durable.

        Whatever `change` raises is raised here; then nothing of it was written.

        Raises
        ------
        StorageFullError
            The disk is full.
        LedgerWriteError
            The commit failed, or the ledger is closed.
        """
        request = _Request(change)
        self._waiting.append(request)
        with self._turn:
            while not request.is_done:
                self._write(self._next_batch())
        if request.error is not None:
            raise request.error
        answer: Result = request.answer
        return answer

    def call_all(self, changes: Sequence[Callable[[Transaction], Result]]) -> list[Any]:
        """Make changes in as few commits as can be, and wait until they are durable.

        Returns
        -------
        For each what it returned, or the exception that :meth:`call` would raise; one that fails
        spoils no other.
        """
        requests = [_Request(change) for change in changes]
        self._waiting.extend(requests)
        with self._turn:
            while not all(request.is_done for request in requests):
                self._write(self._next_batch())
        return [each.answer if each.error is None else each.error for each in requests]

    def rest(self) -> bool:
        """Finish what waits, take nothing more, and note that the ledger is at rest.

        Returns
        -------
        Whether it is; else its log has to stay for the next start.
        """
        with self._turn:
            if self._closed:
                return True
            while self._waiting:
                self._write(self._next_batch())
            self._closed = True
            try:
                put_to_rest(self._connection)
            except (LedgerError, SQLAlchemyError, sqlite3.Error) as error:
                _log.error("the ledger can't be put to rest: %s", type(error).__name__)
                return False
        return True

    def close(self) -> None:
        """Close the connection; call it after :meth:`rest`."""
        self._connection.close()
        self._connection.engine.dispose()

    def _next_batch(self) -> list[_Request]:
        """Take what waits; only who has the turn may."""
        batch: list[_Request] = []
        while self._waiting and len(batch) < MAX_BATCH:
            batch.append(self._waiting.popleft())
        return batch

    def _write(self, batch: list[_Request]) -> None:
        try:
            self._commit(batch)
        finally:
            # However it ended, nobody may wait for ever: a change that runs for several must not
            # leave the others without an answer.
            unanswered = [request for request in batch if not request.is_done]
            if unanswered:
                self._broken = self._broken or "The ledger's writer was broken off."
                _refuse(unanswered, LedgerWriteError, self._broken)

    def _commit(self, batch: list[_Request]) -> None:
        if self._closed:
            _refuse(batch, LedgerWriteError, "The ledger is closed.")
            return
        if self._broken and not self._mend():
            _refuse(batch, LedgerWriteError, self._broken)
            return
        try:
            with self._connection.begin():
                answers = [self._run(request.change) for request in batch]
            has_log = self._has_log()
        except (DBAPIError, sqlite3.Error) as error:
            _refuse(batch, *self._judge(error))
        except Exception as error:  # noqa: BLE001  the others' edge: no caller may wait for ever
            self._broken = f"The ledger's writer failed ({type(error).__name__})."
            _refuse(batch, LedgerWriteError, self._broken)
        else:
            if not has_log:
                self._broken = self._log_lost = _LOG_LOST
                _log.critical("the ledger's write-ahead log was deleted; changes are refused")
                _refuse(batch, LedgerWriteError, self._broken)
            for request, answer in zip(batch, answers, strict=True):
                if not request.is_done:
                    request.end(*answer)

    def _has_log(self) -> bool:
        """Whether the log is the file that this connection writes to, not another of its name."""
        try:
            stat = self._log.stat()
        except FileNotFoundError:
            return False
        own = (stat.st_dev, stat.st_ino)
        self._log_id = self._log_id or own
        return own == self._log_id

    def _mend(self) -> bool:
        """Open the file anew, now and then; return whether it is sound.

        What was not synced is not synced again: a commit that failed is not in the file's index
        of commits, so that the next one writes its pages over.
        """
        if self._log_lost or time.monotonic() < self._next_mend_at:
            return False
        self._next_mend_at = time.monotonic() + MEND_EVERY_S
        with contextlib.suppress(SQLAlchemyError, sqlite3.Error):
            self._connection.invalidate()
        try:
            self._connection.close()
            self._connection = self._reopen()
            self._log_id = None
        except (LedgerError, SQLAlchemyError, sqlite3.Error) as error:
            _log.error("the ledger can't be opened again: %s", type(error).__name__)
            return False
        self._broken = ""
        _log.warning("the ledger works again")
        return True

    def _run(self, change: Callable[[Transaction], Any]) -> _Answer:
        driver = driver_of(self._connection)
        # SQLAlchemy's own savepoints would cost more than the change.
        driver.execute("SAVEPOINT change")
        try:
            transaction = Transaction(self._connection, self._clock())
            value = change(transaction)
            transaction.flush()
        except Exception as error:
            if not driver.in_transaction:
                raise  # SQLite has undone the whole batch, not only this change.
            driver.execute("ROLLBACK TO change")
            driver.execute("RELEASE change")
            if isinstance(error, DBAPIError):
                return _Answer(None, LedgerWriteError(f"The change was refused: {error.orig}"))
            return _Answer(None, error)
        driver.execute("RELEASE change")
        return _Answer(value, None)

    def _judge(self, error: DBAPIError | sqlite3.Error) -> tuple[type[CardionodeError], str]:
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the primary result code
        if code == sqlite3.SQLITE_FULL:
            return StorageFullError, "The disk of the ledger is full."
        message = f"The ledger could not be written: {cause}."
        if code in _FATAL_CODES:
            self._broken = message
        return LedgerWriteError, message


def driver_of(connection: Connection) -> sqlite3.Connection:
    """The driver's connection under one of SQLAlchemy's."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        raise TypeError("the ledger needs SQLite")
    return driver


def _refuse(batch: list[_Request], kind: type[CardionodeError], message: str) -> None:
    # One exception for each caller: a shared one would collect their tracebacks.
    for request in batch:
        request.end(None, kind(message))
