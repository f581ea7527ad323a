"""URLs of an object on the public port: plain, with a style, signed; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from ..gate.sign import CdnKey, Credential, sign_url

SAFE = "/,:@!$'()*-._~=|"  # characters of process texts that are not encoded in a query
VALID_SECONDS = 3600  # validity of a signed URL; the default of OSS's console


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a signature.

    Attributes:
        now: Seconds since the epoch.
        expires: Seconds for which it is valid.
        version: Version of the signature.
        region: Region of the server.
        v4_expires_max: Most seconds that the server allows in V4.
    """

    now: float
    expires: int
    version: Literal[1, 4]
    region: str
    v4_expires_max: int


@dataclass(frozen=True, slots=True)
class Place:
    """The public address of a bucket.

    Attributes:
        address: Scheme and host.
        bucket: The bucket's name.
        in_path: Whether the name is in the path; if not, the host belongs to the bucket.
    """

    address: str
    bucket: str
    in_path: bool = True

    def plain(self, key: str, process: str = "") -> str:
        """Return the URL without a signature."""
        path = f"/{self.bucket}/{key}" if self.in_path else f"/{key}"
        query = f"?x-oss-process={quote(process, safe=SAFE)}" if process else ""
        return f"{self.address}{quote(path, safe='/!')}{query}"

    def styled(self, key: str, separator: str, style: str) -> str:
        """Return the URL with the style's name after the object's."""
        return self.plain(f"{key}{separator}{style}")

    def signed(
        self,
        credential: Credential | CdnKey,
        key: str,
        process: str,
        terms: Terms,
        method: str = "GET",
    ) -> str:
        """Return a signed URL, with which anybody may see the picture for a time.

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
    """Return a picture in Markdown."""
    bare = "".join(f"\\{sign}" if sign in "\\[]" else sign for sign in alt)
    return f"![{bare}]({url.replace('(', '%28').replace(')', '%29')})"


def curl(url: str, file: str) -> str:
    """Return a shell command that downloads the picture to a file."""
    return f"curl -o {shell_quoted(file)} {shell_quoted(url)}"


def shell_quoted(text: str) -> str:
    """Quote a word for a POSIX shell, also if it looks like an option or has control characters."""
    clean = "".join(sign if sign.isprintable() else "_" for sign in text)
    clean = f"./{clean}" if clean.startswith("-") else clean
    return "'" + clean.replace("'", "'\"'\"'") + "'"
