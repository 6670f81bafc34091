"""Where a DICOMweb server is."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from data.dicomweb_answers import DicomwebError

SCHEME, PLAIN_SCHEME = "dicomweb", "dicomweb+http"


@dataclass(frozen=True)
class Address:
    """Where a server is: the URL that is asked, and what it is called in the tables."""

    url: str
    name: str


def address_of(text: str, *, plain_http: bool = False) -> Address:
    """Return where `dicomweb://HOST/PATH` is: by https, or by http as `dicomweb+http://`.

    Plain http leaves this machine only with `plain_http`. Raises DicomwebError, which never quotes
    the text: it may hold a password.
    """
    said = re.fullmatch(rf"({re.escape(PLAIN_SCHEME)}|{SCHEME}):/+(.+)", text)
    try:
        parts = urlsplit(f"//{said[2]}" if said else "")
        host, port = parts.hostname, parts.port
    except ValueError:
        said, host, port = None, None, None
    if not said or not host or parts.query or parts.fragment:
        raise DicomwebError(
            "a DICOMweb server is named as dicomweb://HOST/PATH or dicomweb://HOST:PORT/PATH."
        )
    if "@" in parts.netloc:
        raise DicomwebError(
            "a login does not belong into the address, where others can read it: set "
            "ENDOMETER_DICOMWEB_USER and ENDOMETER_DICOMWEB_PASSWORD."
        )
    scheme = "http" if said[1] == PLAIN_SCHEME else "https"
    if scheme == "http" and not plain_http and not is_here(host):
        raise DicomwebError(
            f"{PLAIN_SCHEME}:// to another machine shows pictures and passwords to everybody on "
            f"the way. Use {SCHEME}://, or say --plain-http if that is wanted."
        )
    shown = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    path = parts.path.rstrip("/")
    return Address(f"{scheme}://{shown}{path}", f"{said[1]}://{shown}{path}")


def is_here(host: str) -> bool:
    """Tell whether a host is this machine, which no other can reach there."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
