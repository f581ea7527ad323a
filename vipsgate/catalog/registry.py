"""The registry of buckets: the document of each, from the configuration or from the store."""

from __future__ import annotations

from collections.abc import Mapping

from ..buckets import Bucket
from ..errors import OssError
from ..image.config import Limits
from ..store.base import Store
from ..store.routing import Routing
from .documents import Documents


class Registry:
    """The buckets of a server.

    Args:
        store: The store.
        documents: The documents in the store.
        origins: Is told which buckets have an origin; ``None`` if none can have one.

    Attributes:
        documents: As the argument.
        declared: Documents of the configuration, which take precedence.
        plain: The document of buckets without one.
        domains: The bucket of each host name in all documents.
        conflicts: What a document claims and does not get, by bucket.
    """

    def __init__(self, store: Store, documents: Documents, origins: Routing | None = None) -> None:
        self.documents = documents
        self.declared: Mapping[str, Bucket] = {}
        self.plain = Bucket()
        self.domains: dict[str, str] = {}
        self.conflicts: dict[str, str] = {}
        self._store, self._origins = store, origins
        self._adopted = 0

    def adopt(self, declared: Mapping[str, Bucket], plain: Bucket, limits: Limits) -> None:
        """Apply a configuration.

        Args:
            declared: Its documents, by bucket.
            plain: The document of buckets without one.
            limits: Limits of styles in the store's documents.
        """
        self.declared, self.plain = dict(declared), plain
        self._adopted += 1
        self.documents.adopt(limits)
        self.refresh()

    def refresh(self) -> None:
        """Assign host names and origins to buckets, by the present documents.

        If two buckets have the same host name, the first one keeps it: declared ones come before
        others, and names are sorted.
        """
        self.domains, self.conflicts = {}, {}
        for documents in (self.declared, self.documents.known):
            for name, bucket in sorted(documents.items()):
                for host in bucket.domains:
                    owner = self.domains.setdefault(host, name)
                    if owner != name and name not in self.declared:
                        self.conflicts[name] = f"domains: {host!r} is that of bucket {owner}"

        if self._origins:
            known = {**self.documents.known, **self.declared}
            places = {name: one.elsewhere() for name, one in known.items()}
            self._origins.assign({name: origin for name, origin in places.items() if origin})
            self.conflicts |= self._origins.faults

    def get(self, name: str) -> Bucket | None:
        """Return the document of a bucket; ``None`` if there is no such bucket.

        Raises:
            ServiceUnavailable: The store, which would know, is not available.
        """
        document = self.described(name)
        if document is None and name and self._store.has(name):
            return self.plain
        return document

    def described(self, name: str) -> Bucket | None:
        """Return the document of a bucket if it has one of its own, without asking the store."""
        return self.declared.get(name) or self.documents.known.get(name)

    def is_there(self, name: str) -> bool:
        """Return whether such a bucket exists without a document, or cannot be looked up now."""
        try:
            return self._origins.beneath(name) if self._origins else self._store.has(name)
        except OssError:
            return True

    @property
    def version(self) -> tuple[int, int]:
        """A value that changes whenever the configuration or a document changes."""
        return self._adopted, self.documents.version

    @property
    def faults(self) -> dict[str, str]:
        """What is wrong with documents, by bucket."""
        return self.conflicts | self.documents.faults
