"""The receivers: how each is started at its best, and where it leaves what it took."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.dicom_tools import tool

ROOT = Path(__file__).parents[3]
CORPORA = frozenset({"echo", "xray", "ecg"})
_NODELAY = {"TCP_NODELAY": "1"}
ROUTER = "dicom-ai-router==0.3.0"


@dataclass(frozen=True)
class Launch:
    """A command line, and what it needs around it."""

    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = ROOT


@dataclass(frozen=True)
class Receiver:
    """One that is measured.

    Attributes
    ----------
    durable
        Whether what it acknowledges is on stable storage.
    prepare
        From an empty folder of its own and a port to how it is started.
    takes
        The corpora that it accepts.
    keeps
        Whether it keeps anything; the sink does not.
    """

    name: str
    durable: bool
    prepare: Callable[[Path, int], Launch]
    ae_title: str = "ANY"
    takes: frozenset[str] = CORPORA
    keeps: bool = True


def receivers(checkout: Path, router_python: Path | None) -> list[Receiver]:
    """All of them; the node first, the sink last.

    Parameters
    ----------
    checkout
        Of the node to measure.
    router_python
        Interpreter that has dicom-ai-router, if there is one.
    """
    found = [
        Receiver("node", True, lambda folder, port: _node(checkout, folder, port)),
        Receiver("storescp", False, _storescp),
        Receiver("orthanc", True, _orthanc),
        Receiver("pynetdicom-save_as", False, lambda folder, port: _stock(folder, port)),
        Receiver("pynetdicom-raw", True, lambda folder, port: _stock(folder, port, "--raw")),
    ]
    if router_python is not None:
        python = router_python
        found.append(
            Receiver(
                "dicom-ai-router", False, lambda folder, port: _router(python, folder, port),
                "AIROUTER", CORPORA - {"echo"},
            )
        )  # fmt: skip
    return [*found, Receiver("sink", False, _sink, keeps=False)]


def install_router(folder: Path) -> Path | None:
    """Install dicom-ai-router into an environment of its own.

    Returns
    -------
    Its interpreter, None when it can't be had.
    """
    python = folder / "bin" / "python"
    if not (folder / "bin" / "dicom-ai-router").exists():
        base = Path(sysconfig.get_config_var("BINDIR")) / f"python{sysconfig.get_python_version()}"
        for command in (
            [str(base), "-m", "venv", str(folder)],
            [str(python), "-m", "pip", "install", "--quiet", ROUTER],
        ):
            if subprocess.run(command, capture_output=True, check=False).returncode:
                return None
    return python


def _node(checkout: Path, folder: Path, port: int) -> Launch:
    """``cardionode serve`` without findings: instances are stored, recorded and decoded.

    Decoding goes on beside receiving, in the fewest processes; nothing of the way to the answer
    is left out.
    """
    settings: dict[str, dict[str, Any]] = {
        "node": {"data_dir": str(folder / "var"), "device": "cpu", "workers": 1},
        "listen": {"port": port},
        "decode": {"children": 1},
        "findings": {"enabled": []},
        "status_page": {"enabled": False},
    }
    lines = []
    for section, keys in settings.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(each)}" for key, each in keys.items())]
    config = folder / "node.toml"
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "node", "serve", "--config", str(config)]
    # The package may be installed from another checkout than the one that is asked for.
    return Launch(command, {"PYTHONPATH": str(checkout)}, checkout)


def _storescp(folder: Path, port: int) -> Launch:
    options = ["--fork", "+B", "+xa", "-pdu", "131072", "-od", str(folder)]
    return Launch([tool("storescp"), *options, str(port)], _NODELAY, folder)


def _orthanc(folder: Path, port: int) -> Launch:
    settings = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "Plugins": [],
        "HttpServerEnabled": False,
        "DicomPort": port,
        "DicomAlwaysAllowStore": True,
        "UnknownSopClassAccepted": True,
        "MaximumPduLength": 131072,
        "DicomThreadsCount": max(4, os.cpu_count() or 1),
        "StorageCompression": False,
        "StoreMD5ForAttachments": False,
        "SaveJobs": False,
        "MetricsEnabled": False,
        "SyncStorageArea": True,
    }
    config = folder / "orthanc.json"
    config.write_text(json.dumps(settings), encoding="utf-8")
    return Launch(["Orthanc", str(config)], _NODELAY, folder)


def _stock(folder: Path, port: int, *options: str) -> Launch:
    module = "tests.benchmarks.receive.stock"
    return Launch([sys.executable, "-m", module, str(folder), str(port), *options], _path())


def _sink(folder: Path, port: int) -> Launch:
    module = "tests.benchmarks.receive.sink"
    return Launch([sys.executable, "-m", module, str(folder), str(port)], _path())


def _path() -> dict[str, str]:
    return {"PYTHONPATH": str(ROOT)}


def _router(python: Path, folder: Path, port: int) -> Launch:
    """Its receiving alone: studies are never quiet for long enough to be worked on."""
    settings = {
        "router": {
            "ae_title": "AIROUTER",
            "port": port,
            "study_quiet_seconds": 86400,
            "workdir": str(folder),
            "bind_address": "127.0.0.1",
        },
        "pacs": {"ae_title": "PACS", "host": "127.0.0.1", "port": 1},
        "ai_endpoints": {},
        "rules": [],
        "deid": {},
    }
    config = folder / "router.yaml"
    config.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    command = [str(python), "-m", "airouter", "serve", "--config", str(config)]
    return Launch(command, {"AIROUTER_DEID_SALT": secrets.token_hex(32), "PYTHONPATH": ""}, folder)
