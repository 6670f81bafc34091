"""The command line: the DICOM node."""

import logging
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.base import Device, Model, check_device, read_kinds, usage

if TYPE_CHECKING:
    from app.node.settings import Destination, Settings

commands = typer.Typer()
WHO, HOW_MUCH, BACK = "Who may send", "Limits", "Results that go back"
MIB = 2**20


@commands.command()
def node(  # noqa: PLR0913, PLR0917 - a command line's options are its interface
    out: Annotated[Path, typer.Option(help="Folder for clips, results and the queue.")],
    aet: Annotated[str, typer.Option(metavar="AET", help="The node's own AE title.")] = "ENDOMETER",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 11112,
    host: Annotated[
        str,
        typer.Option(
            help="The address to listen on. Others than 127.0.0.1 demand --allow-from, or "
            "certificates of clients.",
            rich_help_panel=WHO,
        ),
    ] = "127.0.0.1",
    allow_aet: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AET", help="A title that may call; again for more.", rich_help_panel=WHO
        ),
    ] = None,
    allow_from: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NETWORK",
            help="Addresses that may call, such as 192.0.2.0/24; again for more.",
            rich_help_panel=WHO,
        ),
    ] = None,
    require_called_aet: Annotated[
        bool,
        typer.Option(
            "--require-called-aet",
            help="Refuse who calls the node by another title.",
            rich_help_panel=WHO,
        ),
    ] = False,
    certificate: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Speak TLS.", rich_help_panel=WHO)
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(metavar="PEM", help="The certificate's key.", rich_help_panel=WHO),
    ] = None,
    client_ca: Annotated[
        Path | None,
        typer.Option(
            metavar="PEM",
            help="Who signs the certificates that clients then need.",
            rich_help_panel=WHO,
        ),
    ] = None,
    max_object_mb: Annotated[
        int,
        typer.Option(min=1, max=2**20, help="MiB of one object.", rich_help_panel=HOW_MUCH),
    ] = 2048,
    max_associations: Annotated[
        int, typer.Option(min=1, max=1000, help="Open at a time.", rich_help_panel=HOW_MUCH)
    ] = 10,
    associations_per_minute: Annotated[
        int,
        typer.Option(min=1, max=100_000, help="From one address.", rich_help_panel=HOW_MUCH),
    ] = 600,
    min_free_mb: Annotated[
        int,
        typer.Option(min=0, help="MiB that stay free on the disk.", rich_help_panel=HOW_MUCH),
    ] = 1024,
    quiet_seconds: Annotated[
        float,
        typer.Option(min=0.1, max=86_400, help="A study without news for so long is measured."),
    ] = 60.0,
    measures: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Or only keep what comes.")
    ] = True,
    threshold: Annotated[
        float, typer.Option(help="Thinner than this many mm is called thin.")
    ] = 6.0,
    bundle: Model = None,
    device: Device = "auto",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that measure; one for each core.")
    ] = None,
    results: Annotated[
        str,
        typer.Option(
            metavar="sr,seg,sc", help="Which DICOM results are made.", rich_help_panel=BACK
        ),
    ] = "sr,sc",
    send_to: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AET@HOST:PORT",
            help="Send results there by C-STORE; again for more.",
            rich_help_panel=BACK,
        ),
    ] = None,
    stow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="dicomweb://HOST/PATH",
            help="Send results there by STOW-RS. A token or a login comes from the environment: "
            "ENDOMETER_DICOMWEB_TOKEN, or ..._USER and ..._PASSWORD.",
            rich_help_panel=BACK,
        ),
    ] = None,
    plain_http: Annotated[
        bool,
        typer.Option(
            "--plain-http",
            help="Allow dicomweb+http:// to another machine, without encryption.",
            rich_help_panel=BACK,
        ),
    ] = False,
    retry_seconds: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=900,
            help="The pause after a failed delivery; it doubles each time, up to 15 minutes.",
            rich_help_panel=BACK,
        ),
    ] = 5.0,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Serve /metrics and /health there, on 127.0.0.1 alone."
        ),
    ] = None,
) -> None:
    """Receive clips from scanners or an archive, measure quiet studies, send the results back.

    For instance:  [bold]endometer node --out node/ --send-to PACS@127.0.0.1:4242[/bold]

    Ctrl-C or SIGTERM end it: open associations come to their end, and nothing is lost. Exit status
    0 then, 2 wrong usage, or a port or folder that is taken.
    """
    from app.node.settings import NodeError, Settings, require_node
    from data.dicomweb_address import is_here

    check_device(device)
    if not 0 < threshold < 100:
        raise usage(f"--threshold {threshold:g} is not a thickness in mm.")
    if (certificate is None) != (key is None) or (client_ca and certificate is None):
        raise usage("--certificate and --key belong together, and --client-ca needs them.")
    if not is_here(host) and not allow_from and client_ca is None:
        raise usage(
            f"--host {host} lets everybody send who reaches this machine, and an AE title is no "
            "password: name networks with --allow-from, or --client-ca."
        )
    try:
        require_node()
    except NodeError as error:
        raise usage(str(error)) from None
    from app.node.settings import Limits, Tls, read_network, read_title

    try:
        settings = Settings(
            folder=out,
            title=read_title(aet),
            host=host,
            port=port,
            callers=tuple(map(read_title, allow_aet or ())),
            networks=tuple(map(read_network, allow_from or ())),
            require_called=require_called_aet,
            tls=Tls(certificate, key, client_ca) if certificate and key else None,
            limits=Limits(
                object_bytes=max_object_mb * MIB,
                associations=max_associations,
                associations_per_minute=associations_per_minute,
                free_bytes=min_free_mb * MIB,
            ),
            measure=measures,
            quiet_seconds=quiet_seconds,
            kinds=read_kinds(results, "--results"),
            destinations=_destinations(
                send_to or [], stow or [], plain_http, read_title(aet), port
            ),
            retry_seconds=retry_seconds,
            metrics_port=metrics_port,
            threshold_mm=threshold,
            bundle=bundle,
            device=device,
            workers=workers,
        )
        run(settings)
    except NodeError as error:
        raise usage(str(error)) from None


def run(settings: "Settings") -> None:
    """Run a node until SIGTERM or SIGINT. Raises NodeError."""
    from app.node.node import Node

    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("endometer.node").setLevel(logging.INFO)
    told = threading.Event()
    # Before anything starts: a service manager may stop what it has just started.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    started = Node(settings)
    typer.echo(f"{settings.title} listens on {settings.host}:{started.receiver.port}.")
    if started.page is not None:
        typer.echo(f"Health and metrics: http://127.0.0.1:{started.page.port}")
    sys.stdout.flush()
    told.wait()
    started.stop()


def _destinations(
    peers: list[str], servers: list[str], plain_http: bool, title: str, port: int
) -> "tuple[Destination, ...]":
    """Return where results go, each once. Raises NodeError."""
    from app.node.settings import NodeError, read_peer
    from data.dicomweb_address import address_of, is_here
    from data.dicomweb_answers import DicomwebError

    called = list(map(read_peer, peers))
    if any(peer.title == title and peer.port == port and is_here(peer.host) for peer in called):
        raise NodeError("--send-to names the node itself.")
    found: list[Destination] = [*called]
    try:
        found += [address_of(server, plain_http=plain_http) for server in servers]
    except DicomwebError as error:
        raise NodeError(f"--stow: {error}") from None
    return tuple(dict.fromkeys(found))
