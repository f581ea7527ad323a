"""The registry of buckets: which there are, and what is configured for each."""

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
        store: Where they are.
        documents: Of those that the store describes.
        origins: Told which buckets are elsewhere; ``None`` where none can be.

    Attributes:
        documents: See the argument.
        declared: Documents of the configuration, which win.
        plain: What counts for a bucket without a document.
        domains: Host name -> bucket, of all documents.
        conflicts: What a document claims in vain, by bucket.
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
        """Take over what a configuration says.

        Args:
            declared: Its documents, by bucket.
            plain: See the attribute.
            limits: What styles of the store's documents may ask for.
        """
        self.declared, self.plain = dict(declared), plain
        self._adopted += 1
        self.documents.adopt(limits)
        self.refresh()

    def refresh(self) -> None:
        """Find out anew whose each host name is, and which buckets are elsewhere.

        Where two claim one host, the first keeps it.
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
        """The document of a bucket; ``None`` where there is no such bucket.

        Raises:
            ServiceUnavailable: Nobody can tell, for the store is away.
        """
        document = self.described(name)
        if document is None and name and self._store.has(name):
            return self.plain
        return document

    def described(self, name: str) -> Bucket | None:
        """The document of a bucket that has one; the store is not asked."""
        return self.declared.get(name) or self.documents.known.get(name)

    def is_there(self, name: str) -> bool:
        """Return whether such a bucket exists without a document, or cannot be looked up now."""
        try:
            return self._origins.beneath(name) if self._origins else self._store.has(name)
        except OssError:
            return True

    @property
    def version(self) -> tuple[int, int]:
        """Another one as soon as a configuration or a document is another."""
        return self._adopted, self.documents.version

    @property
    def faults(self) -> dict[str, str]:
        """What is wrong with the documents of buckets, by bucket."""
        return self.conflicts | self.documents.faults
