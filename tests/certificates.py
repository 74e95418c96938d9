"""A certification authority for tests, with OpenSSL's command line; every key is new."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.dicom_tools import tool

_CONFIG = """
[ca]
default_ca = here
[here]
dir = {folder}
database = $dir/index.txt
new_certs_dir = $dir
rand_serial = yes
default_md = sha256
unique_subject = no
policy = anything
[anything]
commonName = supplied
[req]
distinguished_name = name
prompt = no
[name]
CN = unused
"""
_CA = "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign"


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, in PEM files."""

    certificate: Path
    key: Path

    @property
    def sha256(self) -> str:
        """Its fingerprint as the node has it."""
        der = ssl.PEM_cert_to_DER_cert(self.certificate.read_text())
        return hashlib.sha256(der).hexdigest()


class Authority:
    """Signs certificates in a folder of its own."""

    def __init__(self, folder: Path, name: str = "Test CA") -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._config = folder / "ca.cnf"
        self._config.write_text(_CONFIG.format(folder=folder))
        (folder / "index.txt").touch()
        self.certificate = folder / "ca.crt"
        self._key = folder / "ca.key"
        extensions = folder / "ca.ext"
        extensions.write_text(_CA)
        request = self._request(folder / "ca.csr", self._key, name)
        _openssl(
            *("x509", "-req", "-in", str(request), "-signkey", str(self._key), "-days", "30"),
            *("-extfile", str(extensions), "-out", str(self.certificate)),
        )

    def issue(
        self,
        name: str,
        *,
        days: tuple[float, float] = (-1, 365),
        extensions: str = "subjectAltName=IP:127.0.0.1,DNS:localhost",
    ) -> Certificate:
        """Issue a certificate whose common name is ``name``, valid from and to days from now."""
        stem = f"{name}-{len(list(self._folder.iterdir()))}".replace(" ", "-")
        key, certificate = self._folder / f"{stem}.key", self._folder / f"{stem}.crt"
        request = self._request(self._folder / f"{stem}.csr", key, name)
        more = self._folder / f"{stem}.ext"
        more.write_text(f"basicConstraints=CA:false\n{extensions}")
        begin, end = (datetime.now(UTC) + timedelta(days=each) for each in days)
        _openssl(
            *("ca", "-batch", "-config", str(self._config), "-notext", "-in", str(request)),
            *("-cert", str(self.certificate), "-keyfile", str(self._key)),
            *("-startdate", f"{begin:%Y%m%d%H%M%SZ}", "-enddate", f"{end:%Y%m%d%H%M%SZ}"),
            *("-extfile", str(more), "-out", str(certificate)),
        )
        return Certificate(certificate, key)

    def _request(self, path: Path, key: Path, name: str) -> Path:
        _openssl(
            *("req", "-new", "-config", str(self._config), "-subj", f"/CN={name}"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", str(key), "-out", str(path)),
        )
        return path


def _openssl(*arguments: str) -> None:
    run = subprocess.run(
        [tool("openssl"), *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 0, run.stderr
