"""Commands around the service: `migrate`, `rotate-keys`, `manifest`."""

from __future__ import annotations

import sys
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from bridge.cli import opening
from bridge.settings import Address, BridgeSettings, load_section
from bridge.store import schema, secrets

app = typer.Typer()

PLACEHOLDER = "https://bridge.example.com"


@app.command()
def migrate() -> None:
    """Bring the database's schema up to date. On SQLite, serve does that by itself."""
    settings = opening.own_settings()
    before = opening.run(_migrate(settings.database_url.get_secret_value()))
    print("The schema is up to date." if before.fits else f"The schema was brought to {before.needed}.")


async def _migrate(url: str) -> schema.Version:
    schema.require_file(url)
    return await schema.migrate(url)


@app.command("rotate-keys")
def rotate_keys(
    forget_unreadable: Annotated[
        bool,
        typer.Option(
            "--forget-unreadable",
            help="Delete what no key opens, where the right key is lost for good: accounts sign in anew, "
            "projects have to be linked again.",
        ),
    ] = False,
) -> None:
    """Encrypt every stored secret anew with the first key; where the keys are in a file, with a new one."""
    settings = opening.own_settings()
    forgotten, count, source = opening.run(_rotate(settings, forget=forget_unreadable))
    if forget_unreadable:
        print(f"Forgotten: {forgotten}.")
    print(f"Encrypted anew with the first key in {source}: {count}.")


async def _rotate(settings: BridgeSettings, *, forget: bool) -> tuple[int, int, str]:
    async with opening.open_store(settings) as store:
        keys = [key.get_secret_value() for key in settings.encryption_keys]
        ring = secrets.open_ring(keys, settings.sqlite_path)
        forgotten = await secrets.forget_unreadable(store, ring) if forget else 0
        return forgotten, await secrets.rotate(store, ring), ring.source


@app.command()
def manifest(
    url: Annotated[
        str | None, typer.Option(help="Where Slack reaches the bridge.", show_default="BRIDGE_PUBLIC_URL")
    ] = None,
    socket_mode: Annotated[
        bool, typer.Option("--socket-mode", help="For Socket Mode, which needs no address.")
    ] = False,
) -> None:
    """Print the Slack app manifest: paste it at api.slack.com/apps, Create New App, From a manifest."""
    if socket_mode:
        print(packaged_manifest("app-socket-mode.yaml"), end="")
        return
    address = load_section(BridgeSettings).public_url if url is None else _address(url)
    if address is None:
        print(
            f"{PLACEHOLDER} stands for your address: name it with --url or BRIDGE_PUBLIC_URL.",
            file=sys.stderr,
        )
    print(packaged_manifest("app.yaml").replace(PLACEHOLDER, address or PLACEHOLDER), end="")


def _address(url: str) -> str:
    try:
        return TypeAdapter(Address).validate_python(url)
    except ValidationError as error:
        raise typer.BadParameter(f"--url {error.errors()[0]['ctx']['error']}") from None


def packaged_manifest(name: str) -> str:
    """Return a manifest as it was installed, or as the checkout has it."""
    folder: Traversable
    try:
        folder = resources.files("jollor_slack_manifests")
    except ModuleNotFoundError:
        folder = Path(__file__).parents[2] / "manifests"
    return folder.joinpath(name).read_text(encoding="utf-8")
