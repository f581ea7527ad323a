"""``vipsgate bucket``: the buckets of a store and their documents, without a server.

A running server applies changes within a few seconds. An imported document is validated before
anything is written. Buckets that the configuration declares cannot be changed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from ..buckets import Acl, Bucket
from ..catalog import documents
from ..catalog.documents import DocumentError, Documents
from ..catalog.versions import Author
from ..errors import NoSuchBucket, OssError
from ..gate.target import check_bucket
from ..settings import Settings, SettingsError, load
from ..store.base import Store
from .shared import CONFIG, Usage, address

T = TypeVar("T")
ROOT = click.option("--root", help="The store's folder, or its URL.")


@click.group("bucket")
@CONFIG
@ROOT
@click.pass_context
def command(context: click.Context, config: Path | None, root: str | None) -> None:
    """Buckets and their documents: ACL, domains, styles, protection, hotlink rules."""
    context.obj = StoreOption(config, root)


class StoreOption:
    """The store that the configuration names, which is opened when a command needs it."""

    def __init__(self, config: Path | None, root: str | None) -> None:
        self._config, self._root = config, root

    def run(self, work: Callable[[Settings, Store, Documents], Coroutine[Any, Any, T]]) -> T:
        """Run some work with the store; errors end the command without a traceback."""
        from ..build import store_of

        rows = {"store": {"url": address(self._root)}}
        try:
            settings = load(self._config, rows)
            store = store_of(settings)
        except SettingsError as error:
            raise Usage(str(error)) from None

        async def opened() -> T:
            described = Documents(store, settings.limits)
            await described.look()
            return await work(settings, store, described)

        try:
            return asyncio.run(opened())
        except (OssError, DocumentError) as error:
            raise click.ClickException(str(error)) from None


@command.command("list")
@click.pass_obj
def list_buckets(there: StoreOption) -> None:
    """List all buckets, and where the document of each is."""

    async def work(settings: Settings, store: Store, described: Documents) -> None:
        names = {name for name, _ in await store.buckets()}
        for name in sorted(names | settings.buckets.keys() | described.known.keys()):
            document = settings.buckets.get(name) or described.known.get(name)
            origin = "configuration" if name in settings.buckets else "store" if document else "-"
            if name in described.faults and name not in settings.buckets:
                origin = "broken"
            click.echo(f"{name}\t{document.acl if document else settings.default_acl}\t{origin}")

    there.run(work)


@command.command()
@click.argument("name")
@click.pass_obj
def show(there: StoreOption, name: str) -> None:
    """Print the document that is in force, as JSON."""
    click.echo(there.run(lambda *there: _document(name, *there)), nl=False)


@command.command()
@click.argument("name")
@click.option("--acl", type=click.Choice(Acl.__args__), default="private", show_default=True)  # type: ignore[attr-defined]
@click.pass_obj
def create(there: StoreOption, name: str, acl: Acl) -> None:
    """Create a bucket."""

    async def work(settings: Settings, store: Store, described: Documents) -> None:
        check_bucket(name)
        _check_undeclared(name, settings)
        if store.has(name) or name in described.known:
            raise click.ClickException(f"there is a bucket {name} already")
        await store.create(name)
        await described.change(name, lambda _: Bucket(acl=acl), _author("create"))

    there.run(work)


@command.command("export")
@click.argument("name")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.pass_obj
def export(there: StoreOption, name: str, file: Path | None) -> None:
    """Write the document that is in force to FILE, or to standard output."""
    document = there.run(lambda *there: _document(name, *there))
    if file:
        file.write_text(document)
    else:
        click.echo(document, nl=False)


@command.command("import")
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.pass_obj
def import_(there: StoreOption, name: str, file: str) -> None:
    """Use FILE as the bucket's document, - for standard input; create the bucket if needed."""
    data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()

    async def work(settings: Settings, store: Store, described: Documents) -> None:
        check_bucket(name)
        _check_undeclared(name, settings)
        result = documents.read(data, settings.limits)
        await store.create(name)
        await described.replace(name, result, _author("import"))

    there.run(work)


async def _document(name: str, settings: Settings, store: Store, described: Documents) -> str:
    document = settings.buckets.get(name) or described.known.get(name)
    if document is None and not store.has(name):
        raise NoSuchBucket(f"there is no bucket {name}")
    return documents.write(document or Bucket(acl=settings.default_acl)).decode()


def _author(command: str) -> Author:
    return Author("", f"vipsgate bucket {command}", time.time())


def _check_undeclared(name: str, settings: Settings) -> None:
    if name in settings.buckets:
        raise click.ClickException(f"{name} is declared in the configuration file; change it there")
