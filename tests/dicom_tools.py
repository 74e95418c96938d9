"""The programs of others that judge our objects: DCMTK, dciodvfy."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom.dsutils import split_dataset

# storescu proposes a compressed transfer syntax only on request.
_PROPOSE = {
    "1.2.840.10008.1.2.4.50": ("-xy",),
    "1.2.840.10008.1.2.4.70": ("-xs",),
    "1.2.840.10008.1.2.4.90": ("-xv",),
    "1.2.840.10008.1.2.4.91": ("-xw",),
    "1.2.840.10008.1.2.5": ("-xr",),
}
_TOOL_S = 120.0
_PIXELMED = Path("/usr/share/java/pixelmed.jar")


# pynetdicom installs a storescu beside Python, which is not the one that modalities resemble.
_SYSTEM = "/usr/local/bin:/usr/bin:/usr/local/sbin:/usr/sbin"


def tool(name: str) -> str:
    """Find a program of the system, or one that pip installed; without it the test is skipped."""
    found = shutil.which(name, path=_SYSTEM)
    found = found or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"needs: {name}")
    return found


def storescu(port: int, called: str, path: Path) -> None:
    """Send an instance as a modality does; an answer other than success fails the test."""
    syntax = str(dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID)
    command = [tool("storescu"), "-R", *_PROPOSE.get(syntax, ()), "-aet", "MODALITY"]
    run = subprocess.run(
        [*command, "-aec", called, "127.0.0.1", str(port), str(path)],
        capture_output=True, text=True, check=False, timeout=_TOOL_S,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr


def dciodvfy_errors(path: Path) -> list[str]:
    """What dciodvfy calls wrong with an object."""
    run = subprocess.run(
        [tool("dciodvfy"), "-new", str(path)],
        capture_output=True, text=True, check=False, timeout=_TOOL_S,
    )  # fmt: skip
    lines = (run.stdout + run.stderr).splitlines()
    assert lines, "dciodvfy says at least which kind of object it saw"
    return [line for line in lines if line.startswith(("Error", "Abort"))]


def dsrdump(path: Path) -> str:
    """A report as DCMTK understands it."""
    run = subprocess.run(
        [tool("dsrdump"), "+Pl", "+Pc", str(path)],
        capture_output=True, text=True, check=False, timeout=_TOOL_S,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout


def pixelmed_lines(path: Path) -> list[str]:
    """What PixelMed's validator of reports and their templates says."""
    java = shutil.which("java")
    if java is None or not _PIXELMED.exists():
        pytest.skip("needs: java and libpixelmed-java")
    # later Java versions limit XPath expressions to fewer operators than the templates have
    limits = [f"-Djdk.xml.xpath{name}Limit=0" for name in ("TotalOp", "ExprOp", "ExprGrp")]
    validator = "com.pixelmed.validate.DicomSRValidator"
    run = subprocess.run(
        [
            *(java, "-Xmx5g", *limits, "-cp", str(_PIXELMED), validator),
            *("-checktemplateid", "-checkcontentitemorder", str(path)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return (run.stdout + run.stderr).splitlines()


def dataset_digest(path: Path) -> str:
    """SHA-256 of what both sides of a C-STORE agree on: the dataset without the file's head."""
    _, offset_bytes = split_dataset(path)
    return hashlib.sha256(path.read_bytes()[offset_bytes:]).hexdigest()
