"""URLs of an object on the public port, to be copied: plain, by style, signed; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from ..gate.sign import CdnKey, Credential, sign_url

SAFE = "/,:@!$'()*-._~=|"  # what may stand in a query as it is, and is in process texts
VALID_SECONDS = 3600  # of a signed URL, as the console of OSS has it


@dataclass(frozen=True, slots=True)
class Terms:
    """How a URL is signed.

    Attributes:
        now: Seconds since the epoch.
        expires: Seconds that it is valid.
        version: Of the signature.
        region: The server's.
        v4_expires_max: Seconds that the server takes in V4.
    """

    now: float
    expires: int
    version: Literal[1, 4]
    region: str
    v4_expires_max: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where the public finds a bucket.

    Attributes:
        address: Scheme and host.
        bucket: Its name; in the path where the host is not its own.
        in_path: Whether it is.
    """

    address: str
    bucket: str
    in_path: bool = True

    def plain(self, key: str, process: str = "") -> str:
        """The URL without a signature."""
        path = f"/{self.bucket}/{key}" if self.in_path else f"/{key}"
        query = f"?x-oss-process={quote(process, safe=SAFE)}" if process else ""
        return f"{self.address}{quote(path, safe='/!')}{query}"

    def styled(self, key: str, separator: str, style: str) -> str:
        """The URL with the style's name behind the object's."""
        return self.plain(f"{key}{separator}{style}")

    def signed(
        self,
        credential: Credential | CdnKey,
        key: str,
        process: str,
        terms: Terms,
        method: str = "GET",
    ) -> str:
        """The URL that lets whoever has it see the picture for a while.

        Raises:
            ValueError: It cannot be valid for so long, or cannot be signed in V1.
        """
        return sign_url(
            credential,
            self.bucket,
            key,
            now=terms.now,
            process=process,
            expires=terms.expires,
            method=method,
            version=terms.version,
            region=terms.region,
            endpoint=self.address,
            bucket_in_path=self.in_path,
            v4_expires_max=terms.v4_expires_max,
        )


def markdown(url: str, alt: str) -> str:
    """A picture in Markdown."""
    bare = "".join(f"\\{sign}" if sign in "\\[]" else sign for sign in alt)
    return f"![{bare}]({url.replace('(', '%28').replace(')', '%29')})"


def curl(url: str, file: str) -> str:
    """A command for a shell that fetches it into a file."""
    return f"curl -o {shell_quoted(file)} {shell_quoted(url)}"


def shell_quoted(text: str) -> str:
    """A word of a POSIX shell; names that begin like an option or hold a control character, too."""
    clean = "".join(sign if sign.isprintable() else "_" for sign in text)
    clean = f"./{clean}" if clean.startswith("-") else clean
    return "'" + clean.replace("'", "'\"'\"'") + "'"
