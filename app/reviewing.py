"""The command line: the review page, its people, its results."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from app.base import Model, end, usage

if TYPE_CHECKING:
    from app.review.accounts import Accounts
    from app.review.serve import Running
    from app.review.store import Store

commands = typer.Typer()
users = typer.Typer(no_args_is_help=True, help="The people who may use a review page on a network.")
commands.add_typer(users, name="review-user")
NETWORK, STUDY = "On a network", "Reader studies"

Run = Annotated[Path, typer.Argument(metavar="DIR", help="What measure --out wrote.")]
Database = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="ENDOMETER_REVIEW_DATABASE",
        show_envvar=True,
        help="postgresql://user@host/name, where several machines review; DIR/reviews.sqlite if "
        "left out. The environment is the place for an address with a password.",
    ),
]
Archive = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Where the clips lie now, if they were moved."),
]


@commands.command()
def review(  # noqa: PLR0913, PLR0917 - a command line's options are its interface
    folder: Run,
    archive: Archive = None,
    bundle: Model = None,
    reviewer: Annotated[
        str | None, typer.Option(help="Who reviews; the name of your login if left out.")
    ] = None,
    show_identity: Annotated[
        bool,
        typer.Option(
            "--show-identity",
            help="Show names of files and patients, and the picture with what is written around.",
        ),
    ] = False,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")
    ] = True,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    database: Database = None,
    idle: Annotated[
        float | None,
        typer.Option(
            min=1, max=960, help="Minutes without a click after which a session ends. [480 or 30]"
        ),
    ] = None,
    blind: Annotated[
        bool,
        typer.Option(
            "--blind",
            help="A reader study: the machine's numbers and other readers stay hidden until the "
            "study is opened by review-open.",
            rich_help_panel=STUDY,
        ),
    ] = False,
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=2**31 - 1, help="Decides every reader's order.", rich_help_panel=STUDY
        ),
    ] = 0,
    repeats: Annotated[
        int,
        typer.Option(
            min=1, max=9, help="How often each reader reads each clip.", rich_help_panel=STUDY
        ),
    ] = 1,
    host: Annotated[
        str,
        typer.Option(
            help="The address to listen on. Others than 127.0.0.1 demand accounts and TLS.",
            rich_help_panel=NETWORK,
        ),
    ] = "127.0.0.1",
    name: Annotated[
        list[str] | None,
        typer.Option(
            help="A name by which browsers reach this machine; may be given several times.",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option(metavar="PEM", help="Serve TLS with this.", rich_help_panel=NETWORK),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(metavar="PEM", help="The certificate's key.", rich_help_panel=NETWORK),
    ] = None,
    tls_in_front: Annotated[
        bool,
        typer.Option(
            "--tls-in-front",
            help="A proxy in front of this server does TLS.",
            rich_help_panel=NETWORK,
        ),
    ] = False,
) -> None:
    """Check the measurements of a run on a page in the browser: confirm, correct or reject.

    For instance:  [bold]endometer review results/[/bold]

    The page is for this machine alone; the address that is printed opens it, once.
    """
    require()
    from app.review.serve import serve
    from app.review.settings import ReviewError, Settings
    from data.dicomweb_address import is_here

    if (certificate is None) != (key is None):
        raise usage("--certificate and --key belong together.")
    if not is_here(host) and certificate is None and not tls_in_front:
        raise usage(
            f"--host {host} sends passwords and pictures over a network: name --certificate and "
            "--key, or put a proxy that does TLS in front and say so with --tls-in-front."
        )
    settings = Settings(
        folder=folder,
        database=database,
        archive=archive,
        bundle=bundle,
        reviewer=reviewer,
        show_identity=show_identity,
        blind=blind,
        seed=seed,
        repeats=repeats,
        host=host,
        port=port,
        names=tuple(name or ()),
        certificate=certificate,
        key=key,
        tls_in_front=tls_in_front,
        idle_minutes=idle,
    )

    def ready(running: "Running") -> None:
        address = running.entry()
        typer.echo("The review page is at")
        typer.echo(address)
        if not settings.accounts:
            typer.echo("It opens once, within ten minutes. Ctrl-C ends the page.")
            if sys.stdin is not None and sys.stdin.isatty():
                typer.echo("Press Enter for another address.")
                _offer_addresses(running)
        if browser and not settings.accounts:
            _open(address)

    try:
        # Where signals are ignored, as in the background of a shell, it ends without an exception.
        with suppress(KeyboardInterrupt):
            serve(settings, ready)
    except ReviewError as error:
        raise usage(str(error)) from None
    typer.echo("The page is closed. What was shown as saved is saved.")


def _offer_addresses(running: "Running") -> None:
    """Print a fresh address for every line that is entered."""
    import threading

    def wait() -> None:
        for _ in sys.stdin:
            typer.echo(running.entry())

    threading.Thread(target=wait, daemon=True, name="addresses").start()


def _open(address: str) -> None:
    """Open the page; on a machine without a desktop nothing happens.

    A browser that is started with the address shows it to whoever lists processes, so that the
    address is of use only once.
    """
    import webbrowser

    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return
    try:
        webbrowser.open(address)
    except webbrowser.Error:
        return


def require() -> None:
    """End where the packages of the review page are missing."""
    from app.review.settings import ReviewError, require_review

    try:
        require_review()
    except ReviewError as error:
        raise usage(str(error)) from None


def _fail(error: Exception) -> NoReturn:
    raise end(str(error)) from None


def _store(folder: Path, database: str | None) -> "Store":
    require()
    from app.review.database import open_database
    from app.review.rows import read_run
    from app.review.settings import ReviewError
    from app.review.store import Store

    try:
        read_run(folder)
        return Store(open_database(folder, database))
    except ReviewError as error:
        raise usage(str(error)) from None


def _accounts(folder: Path, database: str | None) -> "Accounts":
    store = _store(folder, database)
    from app.review.accounts import Accounts

    return Accounts(store.engine)


def _password(name: str) -> str:
    """Ask for a password, twice; from a pipe take the first line."""
    if sys.stdin is None or not sys.stdin.isatty():
        return (sys.stdin.readline() if sys.stdin else "").rstrip("\r\n")
    return str(typer.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=True))


@users.command("add")
def add_user(
    folder: Run,
    name: str,
    role: Annotated[
        str,
        typer.Option(
            metavar="reader|reviewer|admin",
            help="A reader looks (and reads, in a blind study), a reviewer saves, an admin "
            "manages people, too.",
        ),
    ] = "reviewer",
    database: Database = None,
) -> None:
    """Add a person; the password is asked for, or read from standard input."""
    accounts = _accounts(folder, database)
    from app.review.accounts import Role
    from app.review.settings import ReviewError

    if role not in list(Role):
        raise usage(f"--role {role!r} is none of {', '.join(Role)}.")
    try:
        accounts.add(name, _password(name), Role(role))
    except ReviewError as error:
        _fail(error)
    typer.echo(f"{name} may log in as {role}.")


@users.command("password")
def set_password(folder: Run, name: str, database: Database = None) -> None:
    """Give a person another password; it is asked for, or read from standard input."""
    accounts = _accounts(folder, database)
    from app.review.settings import ReviewError

    try:
        accounts.set_password(name, _password(name))
    except ReviewError as error:
        _fail(error)
    typer.echo(f"{name} has a new password, and open sessions have ended.")


@users.command("remove")
def remove_user(folder: Run, name: str, database: Database = None) -> None:
    """Close an account; what this person saved stays."""
    accounts = _accounts(folder, database)
    from app.review.settings import ReviewError

    try:
        accounts.remove(name)
    except ReviewError as error:
        _fail(error)
    typer.echo(f"{name} cannot log in any more.")


@users.command("list")
def list_users(folder: Run, database: Database = None) -> None:
    """Show who may log in."""
    for account in _accounts(folder, database).all():
        typer.echo(f"{account.role:<9} {account.name}")


@commands.command("review-export")
def export(
    folder: Run,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for what is exported.")],
    formats: Annotated[
        str, typer.Option("--format", metavar="csv,parquet", help="Of the tables.")
    ] = "csv,parquet",
    dicom: Annotated[
        str | None,
        typer.Option(metavar="sr", help="Also a DICOM report of the reviewer for every clip."),
    ] = None,
    archive: Archive = None,
    database: Database = None,
) -> None:
    """Write what was reviewed: tables, corrected outlines for training, DICOM reports.

    For instance:  [bold]endometer review-export results/ reviewed/ --dicom sr[/bold]
    """
    kinds = [kind.strip().lower() for kind in formats.split(",")]
    if not kinds or set(kinds) - {"csv", "parquet"}:
        raise usage(f"--format {formats!r} is no list of csv and parquet.")
    if dicom is not None:
        from inference.dicom.maker import MissingExtraError, require_highdicom

        if dicom.strip().lower() != "sr":
            raise usage(f"--dicom {dicom!r}: there is sr alone.")
        try:
            require_highdicom()
        except MissingExtraError as error:
            raise usage(f"--dicom: {error}") from None
    store = _store(folder, database)
    from app.review.export import Source
    from app.review.export import export as write
    from app.review.rows import read_run
    from inference.tables import OutputError

    source = Source(folder, read_run(folder), store, archive)
    try:
        done = write(source, out, kinds, dicom=dicom is not None)
    except OutputError as error:
        _fail(error)
    typer.echo("".join(f"endometer: {note}\n" for note in done.notes), err=True, nl=False)
    typer.echo(
        f"{done.reviews} reviewed clips, {done.corrections} corrected outlines, "
        f"{done.readings} readings, {done.reports} DICOM reports in {out}."
    )


@commands.command("review-open")
def open_study(
    folder: Run,
    database: Database = None,
    sure: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """End a blind study: from now on everybody sees all, and nobody reads blind any more."""
    store = _store(folder, database)
    from app.review.settings import ReviewError

    if store.study() is not None and not sure:
        typer.confirm("This cannot be undone. Open the study?", abort=True)
    try:
        store.open_study("command line")
    except ReviewError as error:
        _fail(error)
    typer.echo("The study is open.")
