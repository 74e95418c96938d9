"""``cardionode check-config``: names every problem of a settings file before a node starts."""

from __future__ import annotations

import tomllib
from pathlib import Path

from rich.console import Console

from node.commands.check_tls import tls_problems, tls_warnings
from node.commands.console import plain, stdout, table
from node.config import CStoreDestination, Destination, Settings, load_settings
from node.config_listen import ListenSettings
from node.config_problems import unknown_key
from node.errors import ConfigurationError


def read_settings(path: Path) -> Settings:
    """Read a settings file and check also what only the whole node knows.

    Raises
    ------
    ConfigurationError
        With every problem.
    """
    unknown = _finding_problems(path)
    try:
        settings = load_settings(path)
    except ConfigurationError as error:
        raise ConfigurationError([*error.problems, *unknown]) from error
    if unknown:
        raise ConfigurationError(unknown)
    return settings


def check_config(path: Path) -> int:
    """Say what is wrong with a settings file, or what a node would do with it.

    Returns
    -------
    The exit status: 0, or 2 when there is a problem.
    """
    console = stdout()
    try:
        settings = read_settings(path)
    except ConfigurationError as error:
        show_problems(console, path, error.problems)
        return 2
    if problems := tls_problems(settings):
        show_problems(console, path, problems)
        return 2
    _show_settings(console, path, settings)
    return 0


def show_problems(console: Console, path: Path | None, problems: list[str]) -> None:
    """Write the problems as a table, or one a line for another program to read."""
    if path is not None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        console.print(plain(f"{path}: {count}"))
    if console.is_terminal:
        rows = [problem.split(": ", 1) for problem in problems]
        console.print(table("", ("key", "what is wrong"), rows))
        return
    for problem in problems:
        console.print(plain(problem), soft_wrap=True)


def weights_problems(settings: Settings) -> list[str]:
    """Say of each finding that will be asked, but lacks its weights, what is wrong with them."""
    from node.findings import findings_for
    from node.installed import look_for_weights

    asked = findings_for(settings.findings.wants)
    installed = look_for_weights(asked)
    told = [(finding.name, installed.problem_of(finding)) for finding in asked]
    return [f"{name} will not be analysed: {problem}" for name, problem in told if problem]


def place(destination: Destination) -> str:
    """Where a destination is, for people."""
    if isinstance(destination, CStoreDestination):
        tls = " over TLS" if destination.tls.enabled else ""
        return f"{destination.ae_title} at {destination.host}:{destination.port}{tls}"
    return str(destination.path)


def _doors(listen: ListenSettings) -> str:
    return " and ".join(
        f"{listen.host}:{port}{' (TLS)' if key.endswith('tls.port') else ''}"
        for key, port in listen.ports.items()
    )


def _senders(listen: ListenSettings) -> list[str]:
    """Each title that may send, with what it must show."""
    named = [*listen.calling_ae_titles]
    for sender in listen.sender:
        where = f" from {', '.join(sender.addresses)}" if sender.addresses else ""
        named.append(
            f"{sender.ae_title}{where}{' with its certificate' * sender.names_certificate}"
        )
    return named


def _finding_problems(path: Path) -> list[str]:
    names = _enabled_findings(path)
    if not names:
        return []
    from node.findings import FINDINGS  # only here: it is of no use to most commands

    known = [finding.name for finding in FINDINGS]
    return [
        f"findings.enabled.{name}: {unknown_key(name, known)}"
        for name in names
        if name not in known
    ]


def _enabled_findings(path: Path) -> list[str]:
    """The names in a file that may have other problems; those are told by others."""
    try:
        section = tomllib.loads(path.read_text(encoding="utf-8")).get("findings")
    except (OSError, ValueError):
        return []
    names = section.get("enabled") if isinstance(section, dict) else None
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _show_settings(console: Console, path: Path, settings: Settings) -> None:
    listen, page = settings.listen, settings.status_page
    served = f"http://{page.host}:{page.port}" if page.enabled else "off"
    rows = [
        ("listens as", f"{settings.node.ae_title} on {_doors(listen)}"),
        ("listener processes", listen.door_count),
        ("takes from", ", ".join(_senders(listen)) or "anyone"),
        ("keeps data in", settings.node.data_dir),
        ("device", settings.node.device),
        ("study complete", f"after {settings.grouping.quiet_s:g} s without arrivals"),
        *((f"sends to {each.name}", place(each)) for each in settings.destination),
        ("status page", served),
    ]
    console.print(plain(f"{path} is valid."))
    console.print(table("", ("", ""), rows))
    for problem in (*tls_warnings(settings), *weights_problems(settings)):
        console.print(plain(problem), soft_wrap=True)
    if not settings.destination:
        console.print(
            plain("There is no [[destination]]: results will stay in the data directory.")
        )
