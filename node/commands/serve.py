"""``cardionode serve``: runs the node until it is asked to end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from node.arrival.c_store import Listener
from node.commands.check_config import read_settings
from node.commands.console import stderr
from node.commands.operator import request_box
from node.config import CStoreDestination, Destination, Settings
from node.data_dir import DataDir
from node.errors import CardionodeError, ConfigurationError
from node.logs import logging_to, uid_hash
from node.metrics import Metrics
from node.runtime import Runtime
from node.status_page.app import build_app
from node.status_page.server import StatusServer
from node.status_page.snapshot import Check, DestinationLabel, StatusSource
from node.version import node_version


def serve(config: Path) -> int:
    """Run until SIGTERM or SIGINT.

    Returns
    -------
    The exit status: 0 after a drained end, 1 when the node can't start.
    """
    settings = read_settings(config)
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    with (
        DataDir(settings.node.data_dir) as data_dir,
        logging_to(data_dir.site_key(), settings.node.log_level),
    ):
        return _run(settings, data_dir, ending)


def _run(settings: Settings, data_dir: DataDir, ending: threading.Event) -> int:
    metrics = Metrics()
    runtime = Runtime(settings, data_dir, metrics)
    box = request_box(data_dir)
    box.sweep()
    runtime.timers.every("requests", 0.5, lambda: box.answer_all(runtime.ledger))
    listener = Listener(
        settings.listen,
        settings.node.ae_title,
        runtime.spool,
        runtime.record,
        runtime.is_own,
        runtime.patient_key,
        meter=metrics,
        desk=runtime.commitment_desk,
    )
    page: StatusServer | None = None
    runtime.start()
    try:
        listener.start()
        page = _status_page(settings, runtime, metrics)
        stderr().print("ready")
        ending.wait()
    finally:
        listener.stop()
        if page is not None:
            page.stop()
        runtime.stop()
    return 0


def _status_page(settings: Settings, runtime: Runtime, metrics: Metrics) -> StatusServer | None:
    if not settings.status_page.enabled:
        return None
    ledger = runtime.ledger
    metrics.add_ledger(ledger.counts, ledger.oldest_unfinished, runtime.clock)
    key = runtime.data_dir.site_key()
    source = StatusSource(
        ae_title=settings.node.ae_title,
        version=node_version(),
        ledger=ledger,
        study_name=lambda uid: uid_hash(key, uid),
        destinations=[_label(destination) for destination in settings.destination],
        checks=_checks(runtime),
        clock=runtime.clock,
    )
    page = StatusServer(
        build_app(source, metrics), settings.status_page.host, settings.status_page.port
    )
    try:
        page.start()
    except OSError as error:
        place = f"{settings.status_page.host}:{settings.status_page.port}"
        reason = os.strerror(error.errno or 0)
        raise ConfigurationError([f"status_page: can't listen on {place}: {reason}"]) from error
    return page


def _label(destination: Destination) -> DestinationLabel:
    if isinstance(destination, CStoreDestination):
        place = f"{destination.ae_title} at {destination.host}:{destination.port}"
    else:
        place = str(destination.path)
    return DestinationLabel(destination.name, destination.kind, place)


def _checks(runtime: Runtime) -> dict[str, Check]:
    """What must work for the node to be ready; each says what is wrong, or nothing."""

    def failing(check: Callable[[], object]) -> Check:
        def ask() -> str | None:
            try:
                check()
            except CardionodeError as error:
                return str(error)
            return None

        return ask

    def networks() -> str | None:
        return None if runtime.executor.info is not None else "the inference host is not running"

    return {
        "ledger": failing(runtime.ledger.check_writable),
        "spool": failing(runtime.spool.check_reserve),
        "networks": networks,
        "weights": runtime.weights_problem,
    }
