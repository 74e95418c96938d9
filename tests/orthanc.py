"""Runs a real PACS beside the node: Orthanc."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from tests.dicom_tools import tool
from tests.node_process import free_port, wait_until

_START_S = 60.0


class Orthanc:
    """Debian's Orthanc with a storage, ports and a life of its own.

    Parameters
    ----------
    node_port
        Where it finds the node, to which it sends answers about storage commitment.
    """

    def __init__(self, folder: Path, node_port: int | None = None) -> None:
        self.program = tool("Orthanc")
        self.node_port = node_port
        self.dicom_port, self._http_port = free_port(), free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        settings: dict[str, Any] = {
            "Name": "acceptance", "StorageDirectory": str(folder / "db"),
            "IndexDirectory": str(folder / "db"), "Plugins": [], "HttpPort": self._http_port,
            "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "DicomAet": "PACS",
            "DicomPort": self.dicom_port, "DicomAlwaysAllowStore": True,
            # A second copy would replace the first, and show as a second change.
            "OverwriteInstances": True,
        }  # fmt: skip
        if node_port is not None:
            settings["DicomModalities"] = {"node": ["CARDIONODE", "127.0.0.1", node_port]}
        (folder / "db").mkdir(parents=True)
        (folder / "orthanc.json").write_text(json.dumps(settings), encoding="utf-8")

    def start(self) -> None:
        """Run it, and wait until it answers."""
        with (self._folder / "orthanc.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.program, str(self._folder / "orthanc.json")], stdout=log, stderr=log
            )
        wait_until(self._answers, _START_S, "Orthanc's start")

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_START_S)

    def get(self, path: str) -> Any:
        """The answer of its REST interface."""
        return json.loads(self.get_bytes(path))

    def get_bytes(self, path: str) -> bytes:
        """The same, as it came."""
        url = f"http://127.0.0.1:{self._http_port}{path}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return bytes(answer.read())

    def stored(self) -> Counter[str]:
        """How often each instance was stored, by SOP Instance UID."""
        changes = self.get("/changes?limit=10000")["Changes"]
        names = {
            each["ID"]: each["MainDicomTags"]["SOPInstanceUID"]
            for each in self.get("/instances?expand")
        }
        return Counter(names[c["ID"]] for c in changes if c["ChangeType"] == "NewInstance")

    def download(self, folder: Path) -> dict[str, Path]:
        """Every instance it holds, by SOP Instance UID."""
        folder.mkdir()
        paths = {}
        for each in self.get("/instances?expand"):
            uid = each["MainDicomTags"]["SOPInstanceUID"]
            paths[uid] = folder / f"{each['ID']}.dcm"
            paths[uid].write_bytes(self.get_bytes(f"/instances/{each['ID']}/file"))
        return paths

    def delete(self, sop_instance_uid: str) -> None:
        """Lose an instance."""
        for each in self.get("/instances?expand"):
            if each["MainDicomTags"]["SOPInstanceUID"] == sop_instance_uid:
                url = f"http://127.0.0.1:{self._http_port}/instances/{each['ID']}"
                request = urllib.request.Request(url, method="DELETE")
                urllib.request.urlopen(request, timeout=30).close()

    def _answers(self) -> bool:
        try:
            self.get("/system")
        except OSError:
            return False
        return True
