"""An Orthanc with DICOMweb for tests: its own folder, ports that were free, closed to the network.

`RemoteAccessAllowed` is false, because Orthanc listens on every address whatever its settings say:
it answers this machine alone. With users, it asks every caller for a password.
"""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_PLUGINS = ("/usr/share/orthanc/plugins", "/usr/lib/orthanc", "/usr/local/share/orthanc/plugins")


@dataclass(frozen=True)
class Orthanc:
    """A running server: ports of HTTP and DICOM, its title, and a user of it if it has users."""

    http: int
    dicom: int
    title: str
    user: tuple[str, str] | None = field(default=None, repr=False)

    @property
    def dicomweb(self) -> str:
        """The address of its DICOMweb, without a scheme."""
        return f"127.0.0.1:{self.http}/dicom-web"

    def ask(self, path: str, data: bytes | None = None) -> Any:
        """Ask its own REST interface, POST where there are data; return the JSON."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", data)
        if self.user:
            token = b64encode(":".join(self.user).encode()).decode()
            request.add_header("Authorization", f"Basic {token}")
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            request, timeout=20
        ) as answer:
            return json.loads(answer.read())

    def store(self, path: Path) -> str:
        """Put a DICOM file into it; return Orthanc's name for the instance."""
        return str(self.ask("/instances", path.read_bytes())["ID"])


def _program() -> tuple[str, str]:
    """Return the program and its plugin; skip the test where they are not installed."""
    program = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
    plugins = [
        found for folder in _PLUGINS for found in Path(folder).glob("libOrthancDicomWeb.so*")
    ]
    if not Path(program).is_file() or not plugins:
        pytest.skip("Orthanc with DICOMweb is not installed: apt install orthanc orthanc-dicomweb")
    return program, str(sorted(plugins)[0])


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def orthanc(
    folder: Path,
    *,
    user: tuple[str, str] | None = None,
    modalities: dict[str, tuple[str, str, int]] | None = None,
    **settings: Any,
) -> Iterator[Orthanc]:
    """Run a server whose files lie in `folder`.

    `modalities` are DICOM nodes that it knows, by name: (title, host, port). `settings` are added
    to its configuration. Skips the test where Orthanc is not installed.
    """
    program, plugin = _program()
    folder.mkdir(parents=True, exist_ok=True)
    server = Orthanc(free_port(), free_port(), "ORTHANC", user)
    said = {
        "Name": "endometer-test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": server.http,
        "DicomPort": server.dicom,
        "DicomAet": server.title,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": user is not None,
        "RegisteredUsers": dict([user]) if user else {},
        "DicomModalities": {name: list(node) for name, node in (modalities or {}).items()},
        "DicomCheckCalledAet": False,
        "Plugins": [plugin],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        **settings,
    }
    (folder / "orthanc.json").write_text(json.dumps(said), encoding="utf-8")
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(
            [program, str(folder / "orthanc.json")], stdout=log, stderr=log, cwd=folder
        )
        try:
            _wait(server, process, folder / "orthanc.log")
            yield server
        finally:
            process.kill()
            process.wait()


def _wait(server: Orthanc, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            server.ask("/system")
        except (OSError, urllib.error.URLError):
            time.sleep(0.05)
            continue
        return
    raise RuntimeError(f"Orthanc did not start: {log.read_text('utf-8', 'replace')[-2000:]}")
