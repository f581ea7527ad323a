"""``vipsgate diff``: sends the same requests to two endpoints, and compares the answers.

Pictures are decoded in this process, as by ``vipsgate render``: with the pipeline's readers, within
the limits, and with the rights of the user. The alternative, a renderer's sandbox, would need a
pool and its configuration for a tool that runs for seconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TextIO
from urllib.parse import unquote, urlsplit

import click

from ..settings import SettingsError, load
from .shared import CONFIG, Usage

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp
    from rich.text import Text

    from ..gate.sign import Credential
    from ..image.config import Limits
    from .differences import Answer, Comparison, Tolerance

MAX_BODY = 64 << 20  # most bytes of an answer; OSS processes pictures of up to 20 MB
# behind OSS_FROM_ and OSS_AGAINST_
ENVIRONMENT = ("ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "SESSION_TOKEN", "REGION")
SIGNATURE = frozenset(("ossaccesskeyid", "expires", "signature", "security-token"))  # V1
SIGNATURE_V4 = (  # prefixes of the parameters of V2 and V4
    *("x-oss-signature", "x-oss-credential", "x-oss-date", "x-oss-expires"),
    *("x-oss-additional-headers", "x-oss-security-token", "x-oss-access-key-id"),
)


class NoAnswerError(Exception):
    """A server gave no complete answer."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two servers.

    Attributes:
        prefix: The URL before the path of a request, without a slash at its end.
        credential: Key pair that signs each request; ``None`` sends requests unchanged.
        region: Region of its V4 signatures.
    """

    prefix: str
    credential: Credential | None
    region: str

    @property
    def bucket(self) -> str:
        """The bucket: the first part of the path, or else the first label of the host."""
        parts = urlsplit(self.prefix)
        return parts.path.strip("/") or (parts.hostname or "").partition(".")[0]


@click.command("diff")
@click.argument("urls", type=click.File(encoding="utf-8"))
@click.option("--against", required=True, metavar="URL", help="Bucket's URL of the other server.")
@click.option(
    "--from",
    "own",
    default="http://127.0.0.1:8080",
    show_default=True,
    metavar="URL",
    help="Bucket's URL of one's own server.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.option("--ignore", multiple=True, metavar="NAME", help="A header or element; repeatable.")
@click.option("--dhash", type=click.IntRange(0, 64), default=4, show_default=True, help="Bits.")
@click.option("--mean", type=click.FloatRange(0), default=2.0, show_default=True, help="CIEDE2000.")
@click.option("--concurrency", type=click.IntRange(1, 64), default=4, show_default=True)
@click.option("--timeout", type=click.FloatRange(0.1), default=30.0, show_default=True)
@CONFIG
def command(
    urls: TextIO,
    against: str,
    own: str,
    as_json: bool,
    ignore: tuple[str, ...],
    dhash: int,
    mean: float,
    concurrency: int,
    timeout: float,
    config: Path | None,
) -> None:
    """Send the requests in the file URLS (or -) to two servers and compare their answers.

    A line is a path below both buckets' URLs, or a whole URL of your own server. A signature in a
    URL is valid for one server only; with OSS_FROM_ACCESS_KEY_ID and OSS_FROM_ACCESS_KEY_SECRET,
    and OSS_AGAINST_... for the other server, each request is signed again. The exit status is 1 if
    something differs.
    """
    from .differences import Tolerance

    try:
        sides = (_side(own, "FROM", "--from"), _side(against, "AGAINST", "--against"))
        requests = list(_requests(urls, sides[0].prefix))
        limits = load(config, {}).limits
    except (SettingsError, UnicodeDecodeError) as error:
        raise Usage(str(error)) from None
    work = _all(requests, sides, concurrency, timeout, limits, Tolerance(dhash, mean), ignore)
    rows = dict(zip(requests, asyncio.run(work), strict=True))
    print_json(rows) if as_json else print_table(rows)
    if any(row.differences for row in rows.values()):
        raise SystemExit(1)


def _side(prefix: str, name: str, option: str) -> Side:
    """Return one server, with its key pair from the environment.

    Raises:
        Usage: The text is not the URL of a bucket, or only half of a key pair is set.
    """
    from ..gate.sign import Credential

    parts = urlsplit(prefix)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise Usage(f"{option} = {prefix!r}: expects http://HOST[:PORT][/BUCKET] or https://...")
    names = [f"OSS_{name}_{word}" for word in ENVIRONMENT]
    key_id, secret, token, region = (os.environ.get(name, "") for name in names)
    if bool(key_id) != bool(secret):
        raise Usage(f"{names[0]} and {names[1]}: one is set without the other")
    region = region or _region(parts.hostname or "")
    credential = Credential(key_id, secret, security_token=token) if key_id else None
    return Side(prefix.rstrip("/"), credential, region)


def _region(host: str) -> str:
    """Return the region in a host such as ``bucket.oss-cn-beijing.aliyuncs.com``.

    It is ``cn-hangzhou`` if the host has none.
    """
    label = next((label for label in host.split(".") if label.startswith("oss-")), "")
    return label.removeprefix("oss-").removesuffix("-internal") or "cn-hangzhou"


def _requests(lines: Iterable[str], prefix: str) -> Iterable[str]:
    """Yield each request once, as ``/KEY?QUERY`` after the prefix, without empty lines.

    Raises:
        Usage: A URL belongs to neither server.
    """
    seen = {}
    for line in map(str.strip, lines):
        if not line or line.startswith("#"):
            continue
        if "://" in line.partition("?")[0]:
            if not line.startswith(f"{prefix}/"):
                raise Usage(f"{line}: does not begin with --from, {prefix}/")
            line = line.removeprefix(prefix)
        seen[line if line.startswith("/") else f"/{line}"] = True
    return seen


async def _all(
    requests: list[str],
    sides: tuple[Side, Side],
    concurrency: int,
    timeout: float,
    limits: Limits,
    tolerance: Tolerance,
    ignore: tuple[str, ...],
) -> list[Comparison]:
    import aiohttp

    from ..image import difference
    from .differences import Comparison, Difference, compare

    slots, pictures = asyncio.Semaphore(concurrency), asyncio.Semaphore(1)
    names = frozenset((*ignore, *map(str.lower, ignore)))

    async def one(session: aiohttp.ClientSession, request: str) -> Comparison:
        async with slots:
            results = await asyncio.gather(
                *(_answer(session, side, request) for side in sides), return_exceptions=True
            )
        texts = [str(result) for result in results if isinstance(result, NoAnswerError)]
        if texts:
            ours, theirs = (str(r) if isinstance(r, NoAnswerError) else "" for r in results)
            return Comparison((Difference("answer", ours, theirs),))
        for result in results:
            if isinstance(result, BaseException):
                raise result
        async with pictures:
            return await asyncio.to_thread(
                compare,
                *results,  # type: ignore[arg-type]
                measure=lambda a, b: difference.distance(a, b, limits),
                describe=difference.describe,
                tolerance=tolerance,
                ignored=names,
            )

    total = aiohttp.ClientTimeout(total=timeout)
    async with aiohttp.ClientSession(timeout=total, auto_decompress=False) as session:
        return await asyncio.gather(*(one(session, request) for request in requests))


async def _answer(session: aiohttp.ClientSession, side: Side, request: str) -> Answer:
    """Send a request to one server, and return the answer.

    Raises:
        NoAnswerError: The answer does not arrive in time, is truncated or too large.
    """
    import aiohttp
    from yarl import URL

    from .differences import Answer

    line, headers = _signed(side, request) if side.credential else (request, {})
    url = URL(f"{side.prefix}{line}", encoded=True)
    try:
        async with session.get(url, headers=headers, allow_redirects=False) as response:
            body = bytearray()
            async for data in response.content.iter_chunked(1 << 16):
                body += data
                if len(body) > MAX_BODY:
                    raise NoAnswerError(f"more than {MAX_BODY} bytes")
            sent = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, sent, bytes(body))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise NoAnswerError(f"{type(error).__name__} {error}".strip()) from None


def _signed(side: Side, request: str) -> tuple[str, dict[str, str]]:
    """Return a request without its signature, and the headers of a new one (V4)."""
    from ..gate.sign import Request, sign_headers

    assert side.credential
    path, _, query = request.partition("?")
    words = [word for word in query.split("&") if word and not _signs(word)]
    pairs = tuple(
        (unquote(name), unquote(value)) for name, _, value in (w.partition("=") for w in words)
    )
    target = Request("GET", side.bucket, unquote(path)[1:], pairs, {})
    headers = sign_headers(side.credential, target, now=time.time(), version=4, region=side.region)
    return path + ("?" + "&".join(words) if words else ""), headers


def _signs(word: str) -> bool:
    name = unquote(word.partition("=")[0]).lower()
    return name in SIGNATURE or name.startswith(SIGNATURE_V4)


def print_json(rows: Mapping[str, Comparison]) -> None:
    """Print all comparisons as a JSON list."""
    items = [
        {
            "request": request,
            "same": not row.differences,
            "differences": [asdict(difference) for difference in row.differences],
            "distance": asdict(row.distance) if row.distance else None,
        }
        for request, row in rows.items()
    ]
    click.echo(json.dumps(items, indent=2))


def print_table(rows: Mapping[str, Comparison]) -> None:
    """Print a table with a row for each difference, and for each request without any."""
    from rich.console import Console
    from rich.table import Table

    from .differences import text

    table = Table("request", "", "from", "against")
    for request, row in rows.items():
        if not row.differences:
            distance = text(row.distance) if row.distance else ""
            table.add_row(*map(_printable, (request, "same", distance, "")))
        for number, item in enumerate(row.differences):
            first = "" if number else request
            table.add_row(*map(_printable, (first, item.what, item.ours, item.theirs)))
    console = Console()
    console.print(table)
    differ = sum(bool(row.differences) for row in rows.values())
    console.print(f"{len(rows) - differ} of {len(rows)} the same, {differ} differ")


def _printable(words: str) -> Text:
    """Return text of a server without control characters of terminals and markup of rich."""
    from rich.text import Text

    return Text("".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in words))
