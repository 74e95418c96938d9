"""``cardionode serve``: runs the node until it is asked to end."""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from node.arrival.c_store import Listener
from node.arrival.door_clerk import DoorServices
from node.arrival.door_orders import DoorPlan
from node.arrival.doors import Doors
from node.commands.check_config import read_settings
from node.commands.check_tls import tls_problems, tls_warnings
from node.commands.console import stderr
from node.commands.operator import request_box
from node.config import CStoreDestination, Destination, Settings
from node.config_values import MIB
from node.data_dir import DataDir
from node.errors import CardionodeError, ConfigurationError
from node.logs import logging_to, uid_hash
from node.metrics import Metrics
from node.results.uids import DERIVED_ROOT
from node.runtime import Runtime
from node.status_page.app import build_app
from node.status_page.server import StatusServer
from node.status_page.snapshot import Check, DestinationLabel, StatusSource
from node.version import node_version

_log = logging.getLogger(__name__)

#: For how long a thread that computes may keep the others waiting. Python's default of 5 ms is what
#: each step of an arriving instance would take while a report is being made.
_SWITCH_S = 0.0005
#: How often the TLS files are looked at.
_TLS_LOOK_S = 2.0


def serve(config: Path) -> int:
    """Run until SIGTERM or SIGINT.

    SIGHUP loads the TLS files of the listener again.

    Returns
    -------
    The exit status: 0 after a drained end, 1 when the node can't start.
    """
    settings = read_settings(config)
    problems = tls_problems(settings)
    if problems:
        raise ConfigurationError(problems)
    sys.setswitchinterval(_SWITCH_S)
    # A queue and not an event: this one may be used inside a signal handler.
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda signum, _: signals.put(signum))
    with (
        DataDir(settings.node.data_dir) as data_dir,
        logging_to(data_dir.site_key(), settings.node.log_level),
    ):
        return _run(settings, data_dir, signals)


def _run(settings: Settings, data_dir: DataDir, signals: queue.SimpleQueue[int]) -> int:
    metrics = Metrics()
    for warning in tls_warnings(settings):
        _log.warning("a TLS file needs care", extra={"action": "tls_check", "reason": warning})
    runtime = Runtime(settings, data_dir, metrics)
    box = request_box(data_dir)
    box.sweep()
    runtime.timers.every("requests", 0.5, lambda: box.answer_all(runtime.ledger))
    listener = _listener(settings, runtime, metrics)
    metrics.set_function("associations_active", lambda: listener.association_count)
    page: StatusServer | None = None
    runtime.start()
    try:
        listener.start()
        page = _status_page(settings, runtime, metrics, listener)
        stderr().print("ready")
        _wait_for_end(signals, listener)
    finally:
        listener.stop()
        if page is not None:
            page.stop()
        runtime.stop()
    return 0


def _listener(settings: Settings, runtime: Runtime, metrics: Metrics) -> Listener | Doors:
    """What takes instances: this process itself, or several others."""
    if settings.listen.door_count == 1:
        return Listener(
            settings.listen,
            settings.node.ae_title,
            runtime.spool,
            runtime.record,
            runtime.is_own,
            runtime.patient_key,
            meter=metrics,
            birth_key=runtime.birth_key,
            desk=runtime.commitment_desk,
        )
    plan = DoorPlan(
        listen=settings.listen,
        ae_title=settings.node.ae_title,
        data_dir=runtime.data_dir.path,
        reserve_bytes=settings.node.disk_reserve_mb * MIB,
        site_key=runtime.data_dir.site_key(),
        derived_root=DERIVED_ROOT,
        log_level=settings.node.log_level,
        switch_interval_s=_SWITCH_S,
    )
    services = DoorServices(
        runtime.record_all, runtime.ledger.find_own_object, runtime.take_answer, metrics
    )
    return Doors(plan, runtime.spool, services)


def _wait_for_end(signals: queue.SimpleQueue[int], listener: Listener | Doors) -> None:
    """Wait for SIGTERM or SIGINT; meanwhile look for new TLS files now and then, and on SIGHUP."""
    number = None
    while number not in (signal.SIGTERM, signal.SIGINT):
        try:
            number = signals.get(timeout=_TLS_LOOK_S)
        except queue.Empty:
            number = None
        listener.refresh_tls(force=number == signal.SIGHUP)


def _status_page(
    settings: Settings, runtime: Runtime, metrics: Metrics, listener: Listener | Doors
) -> StatusServer | None:
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
        checks=_checks(runtime, listener),
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


def _checks(runtime: Runtime, listener: Listener | Doors) -> dict[str, Check]:
    """What must work for the node to be ready; each says what is wrong, or nothing."""

    def failing(check: Callable[[], object]) -> Check:
        def ask() -> str | None:
            try:
                check()
            except CardionodeError as error:
                return str(error)
            return None

        return ask

    doors: dict[str, Check] = {"doors": listener.problem} if isinstance(listener, Doors) else {}
    return doors | {
        "ledger": failing(runtime.ledger.check_writable),
        "spool": failing(runtime.spool.check_writable),
        "networks": runtime.inference_problem,
        "weights": runtime.weights_problem,
    }
