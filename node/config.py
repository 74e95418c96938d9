"""The node's settings: read from TOML, checked as a whole, then frozen.

Every key, with its default and its meaning, stands in ``deploy/node.toml``.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from node.config_listen import ListenSettings, ListenTlsSettings, check_senders
from node.config_problems import describe, unknown_key
from node.config_values import (
    MIB,
    AETitle,
    Days,
    Host,
    OptionalPath,
    Port,
    Seconds,
    Section,
    TomlPath,
)
from node.errors import ConfigurationError

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0", "::", ""})


def _device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise ValueError("auto, cpu, cuda or cuda:N")
    return value


def _destination_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", value):
        raise ValueError("1 to 64 letters, digits, dots, dashes and underscores")
    return value


def _finding_names(value: object) -> object:
    if value == "all":
        return value
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return tuple(value)
    raise ValueError('"all" or a list of names of findings')


class NodeSettings(Section):
    """Who the node is and what it may use."""

    ae_title: AETitle = "CARDIONODE"
    data_dir: TomlPath = Path("var")
    device: Annotated[str, AfterValidator(_device)] = "auto"
    workers: int = Field(default=2, ge=1, le=64)
    disk_reserve_mb: int = Field(default=1024, ge=0, le=100_000_000)
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def reserve_bytes(self) -> int:
        """Free space that is never used; below it new instances are refused."""
        return self.disk_reserve_mb * MIB


class DecodeSettings(Section):
    """What the decoder children may use."""

    children: int = Field(default=2, ge=1, le=64)
    memory_mb: int = Field(default=3072, ge=256, le=1_000_000)
    timeout_s: Seconds = 120.0
    max_decoded_mb: int = Field(default=2048, ge=1, le=1_000_000)


class GroupingSettings(Section):
    """When a study is complete."""

    quiet_s: Seconds = 10.0


class DeliverySettings(Section):
    """How often results are tried at a destination."""

    first_retry_s: Seconds = 5.0
    max_retry_s: Seconds = 900.0
    give_up_after_s: Seconds = 259_200.0
    permanent_refusals: int = Field(default=3, ge=1, le=100)


class FindingsSettings(Section):
    """What is looked for."""

    enabled: Annotated[Literal["all"] | tuple[str, ...], BeforeValidator(_finding_names)] = "all"
    captures: Literal["all", "none"] = "all"

    def wants(self, finding: str) -> bool:
        """Whether a finding is enabled."""
        return self.enabled == "all" or finding in self.enabled


class PairingSettings(Section):
    """How an ECG and a chest X-ray of two studies find each other."""

    window_days: Days = 7.0
    expire_after_days: Days = 14.0
    single_modality: bool = False


class StatusPageSettings(Section):
    """Where the status page is served."""

    enabled: bool = True
    host: Host = "127.0.0.1"
    port: Port = 8042


class _AnyDestination(Section):
    name: Annotated[str, AfterValidator(_destination_name)]
    sr_sop_class: Literal["comprehensive_3d", "comprehensive"] = "comprehensive_3d"
    capture_transfer_syntax: Literal["jpeg", "rle", "explicit_le"] = "jpeg"


class DestinationTlsSettings(Section):
    """How a PACS is reached over TLS."""

    enabled: bool = False
    ca: TomlPath = Path("tls/pacs-ca.crt")
    certificate: OptionalPath = None
    key: OptionalPath = None
    check_server_name: bool = True
    server_name: str = ""


class CStoreDestination(_AnyDestination):
    """A PACS that takes results by C-STORE."""

    kind: Literal["c_store"]
    host: Host
    port: Port
    ae_title: AETitle
    timeout_s: Seconds = 30.0
    tls: DestinationTlsSettings = DestinationTlsSettings()
    commitment: bool = False
    commitment_wait_s: float = Field(default=10.0, ge=0, le=3600)
    commitment_linger_s: float = Field(default=10.0, ge=0, le=600)
    commitment_timeout_s: Seconds = 21_600.0
    commitment_attempts: int = Field(default=3, ge=1, le=100)


class FolderDestination(_AnyDestination):
    """A folder that results are written to."""

    kind: Literal["folder"]
    path: TomlPath


Destination = CStoreDestination | FolderDestination
_DESTINATIONS: dict[str, type[Destination]] = {
    "c_store": CStoreDestination,
    "folder": FolderDestination,
}


AnyTls = TypeVar("AnyTls", ListenTlsSettings, DestinationTlsSettings)


class Settings(Section):
    """All settings of a node."""

    node: NodeSettings = NodeSettings()
    listen: ListenSettings = ListenSettings()
    decode: DecodeSettings = DecodeSettings()
    grouping: GroupingSettings = GroupingSettings()
    delivery: DeliverySettings = DeliverySettings()
    findings: FindingsSettings = FindingsSettings()
    pairing: PairingSettings = PairingSettings()
    status_page: StatusPageSettings = StatusPageSettings()
    destination: tuple[Destination, ...] = ()


_SECTIONS: dict[str, type[Section]] = {
    "node": NodeSettings,
    "listen": ListenSettings,
    "decode": DecodeSettings,
    "grouping": GroupingSettings,
    "delivery": DeliverySettings,
    "findings": FindingsSettings,
    "pairing": PairingSettings,
    "status_page": StatusPageSettings,
}


def load_settings(path: Path) -> Settings:
    """Read and check a settings file; relative paths in it start at its folder.

    Raises
    ------
    ConfigurationError
        With every problem, one sentence each, the key first.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError([f"{path}: can't be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError([f"{path}: is not UTF-8 text"]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([f"{path}: is not valid TOML: {error}"]) from error
    return parse_settings(raw, path.resolve().parent)


def parse_settings(raw: dict[str, Any], folder: Path) -> Settings:
    """Check settings that were read already.

    Parameters
    ----------
    folder
        Where relative paths start.

    Raises
    ------
    ConfigurationError
        With every problem.
    """
    problems: list[str] = []
    for name in raw:
        if name not in Settings.model_fields:
            problems.append(f"{name}: {unknown_key(name, Settings.model_fields)}")
    sections: dict[str, Any] = {}
    for name, model in _SECTIONS.items():
        section = _parse_section(raw.get(name, {}), model, name, problems)
        if section is not None:
            sections[name] = section
    destinations = _parse_destinations(raw.get("destination", []), problems)
    if (node := sections.get("node")) is not None:
        node = node.model_copy(update={"data_dir": folder / node.data_dir})
        sections["node"] = node
        _check_folder(node.data_dir, "node.data_dir", problems)
    if (listen := sections.get("listen")) is not None:
        sections["listen"] = listen.model_copy(update={"tls": _placed_tls(listen.tls, folder)})
        check_senders(sections["listen"], problems)
    destinations = [_placed(destination, folder, problems) for destination in destinations]
    _check_ports(sections, destinations, problems)
    _check_names(destinations, problems)
    _check_retries(sections.get("delivery"), problems)
    _check_pairing(sections.get("pairing"), problems)
    if problems:
        raise ConfigurationError(problems)
    return Settings(**sections, destination=tuple(destinations))


def _parse_section(
    raw: object, model: type[Section], name: str, problems: list[str]
) -> Section | None:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        problems += describe(error, model, name)
        return None


def _parse_destinations(raw: object, problems: list[str]) -> list[Destination]:
    if not isinstance(raw, list):
        problems.append("destination: write each one under its own [[destination]]")
        return []
    found: list[Destination] = []
    for number, item in enumerate(raw, 1):
        name = item.get("name") if isinstance(item, dict) else None
        section = f"destination[{name if isinstance(name, str) and name else number}]"
        kind = item.get("kind") if isinstance(item, dict) else None
        model = _DESTINATIONS.get(kind) if isinstance(kind, str) else None
        if model is None:
            what = "this key is needed" if kind is None else f'"{kind}" is not allowed'
            problems.append(f"{section}.kind: {what}: c_store or folder")
            continue
        parsed = _parse_section(item, model, section, problems)
        if isinstance(parsed, CStoreDestination | FolderDestination):
            found.append(parsed)
    return found


def _placed(destination: Destination, folder: Path, problems: list[str]) -> Destination:
    if isinstance(destination, CStoreDestination):
        tls = destination.tls
        if (tls.certificate is None) != (tls.key is None):
            problems.append(
                f"destination[{destination.name}].tls: certificate and key belong together; "
                "give both or none"
            )
        return destination.model_copy(update={"tls": _placed_tls(tls, folder)})
    path = folder / destination.path
    _check_folder(path, f"destination[{destination.name}].path", problems)
    return destination.model_copy(update={"path": path})


def _placed_tls(tls: AnyTls, folder: Path) -> AnyTls:
    if not tls.enabled:
        return tls
    paths = {"ca": tls.ca, "certificate": tls.certificate, "key": tls.key}
    return tls.model_copy(update={key: folder / path for key, path in paths.items() if path})


def _check_folder(path: Path, key: str, problems: list[str]) -> None:
    """A folder must be writable, or creatable in the nearest folder that exists."""
    nearest = path
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        problems.append(f"{key}: {path} can't be a folder: {nearest} is not one")
    elif not os.access(nearest, os.W_OK | os.X_OK):
        problems.append(f"{key}: {path} is not writable by this user")


def _check_ports(
    sections: dict[str, Any], destinations: list[Destination], problems: list[str]
) -> None:
    listen, page = sections.get("listen"), sections.get("status_page")
    if listen is None:
        return
    if listen.plain and listen.tls.enabled and listen.port == listen.tls.port:
        problems.append(f"listen.tls.port: {listen.tls.port} is listen.port already")
    for key, port in listen.ports.items():
        if page is not None and page.enabled and _same_place(listen.host, port, page):
            problems.append(f"status_page.port: {page.port} is {key} already")
        for destination in destinations:
            if isinstance(destination, CStoreDestination) and _same_place(
                listen.host, port, destination
            ):
                problems.append(
                    f"destination[{destination.name}].port: this is the node's own address; "
                    "results would come back for ever"
                )


def _same_place(host: str, port: int, other: StatusPageSettings | CStoreDestination) -> bool:
    if port != other.port:
        return False
    here, there = host.lower(), other.host.lower()
    # A node that listens everywhere or on loopback is reached by every name of loopback.
    return here == there or (_is_local(here) and _is_local(there))


def _is_local(host: str) -> bool:
    return host in _LOOPBACK or host.startswith("127.")


def _check_names(destinations: list[Destination], problems: list[str]) -> None:
    names = [destination.name for destination in destinations]
    problems += [
        f"destination[{name}].name: {names.count(name)} destinations have this name; "
        "each needs its own"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]


def _check_retries(delivery: DeliverySettings | None, problems: list[str]) -> None:
    if delivery is not None and delivery.first_retry_s > delivery.max_retry_s:
        problems.append(
            f"delivery.first_retry_s: {delivery.first_retry_s:g} is not allowed: at most "
            f"delivery.max_retry_s ({delivery.max_retry_s:g})"
        )


def _check_pairing(pairing: PairingSettings | None, problems: list[str]) -> None:
    if pairing is not None and pairing.expire_after_days < pairing.window_days:
        problems.append(
            f"pairing.expire_after_days: {pairing.expire_after_days:g} is not allowed: at least "
            f"pairing.window_days ({pairing.window_days:g})"
        )
