#!/usr/bin/env python3
"""How many nodes, how large a cache, what next: arithmetic from the measured figures.

    deploy/sizing.py [--requests-a-day 1e8] [--catalogue 1e7] [--hits 0.95] [--source-bytes 1e6] ...

Prints the tables of deploy/README.md; other numbers than the defaults give one's own.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields

FLEETS = (1, 10, 100, 1000)  # nodes
LINK = 10e9 / 8  # bytes a second that nginx's machine sends: 10 Gbit/s
PREFIX = 5500  # GET a second of one prefix; Amazon's own figure for S3


@dataclass(frozen=True, slots=True)
class Load:
    """What is measured (bench/README.md, a machine of 2 cores), and what is assumed."""

    cores: int = 2  # of a node
    cold_ms: float = (
        11.5  # CPU of a medium picture made anew, front and renderer ("medium, balanced")
    )
    hit_ms: float = 0.1  # CPU of a hit of 23 KB on disk: 9,894 a second on one core
    picture_bytes: float = 23e3  # an answer, that of the hits measured
    source_bytes: float = 1e6  # assumed
    variants: float = 5  # assumed: sizes asked of one source
    hits: float = 0.95  # assumed: part of the requests that some cache of vipsgate answers
    peak: float = 4  # assumed: the busiest second beside the mean of the day
    used: float = 0.7  # assumed: of the CPU at the peak, so that a node's neighbours can take over
    catalogue: float = 1e7  # assumed: sources
    requests_a_day: float = 1e8

    @property
    def request_ms(self) -> float:
        """CPU of a request in the mean."""
        return self.hits * self.hit_ms + (1 - self.hits) * self.cold_ms

    @property
    def rate(self) -> float:
        """Requests a second that a node carries at the peak."""
        return self.cores * self.used * 1e3 / self.request_ms

    @property
    def daily(self) -> float:
        """Requests a day that a node carries."""
        return self.rate * 86400 / self.peak

    @property
    def cold_daily(self) -> float:
        """Pictures a day that a node makes when nothing is ever asked twice."""
        return self.cores * self.used * 1e3 / self.cold_ms * 86400 / self.peak

    def cache_bytes(self) -> float:
        """All pictures of the catalogue, with the eighth that a scan leaves free."""
        return self.catalogue * self.variants * self.picture_bytes * 9 / 8


def plain(value: float) -> str:
    """Three digits that count, with a word for thousands."""
    for size, word in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{word}"
    return f"{value:.3g}"


def single(load: Load) -> list[str]:
    """What one node does."""
    mean = load.requests_a_day / 86400
    return [
        "| one node | |",
        "| --- | ---: |",
        f"| CPU of a request | {load.request_ms:.2f} ms |",
        f"| requests a second at the peak | {plain(load.rate)} |",
        f"| requests a day | {plain(load.daily)} |",
        f"| nodes for each million pictures a day, {load.hits:.0%} of them hits |"
        f" {1e6 / load.daily:.3f} |",
        f"| nodes for each million pictures a day, all made anew | {1e6 / load.cold_daily:.2f} |",
        f"| nodes for {plain(load.requests_a_day)} a day ({plain(mean)}/s in the mean) |"
        f" {load.requests_a_day / load.daily:.1f} |",
        f"| all pictures of {plain(load.catalogue)} sources on disk |"
        f" {plain(load.cache_bytes())}B |",
    ]


def fleets(load: Load) -> list[str]:
    """What a fleet does at its peak."""
    rows = [
        "| nodes | requests/s | a day | sent, Gbit/s | nginx of 10 Gbit/s | cache a node "
        "| from the store/s | Gbit/s | prefixes of S3 |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for nodes in FLEETS:
        rate = nodes * load.rate
        fetched = rate * (1 - load.hits)
        sent = rate * load.picture_bytes
        rows.append(
            f"| {nodes} | {plain(rate)} | {plain(nodes * load.daily)} | {sent * 8 / 1e9:.3g} "
            f"| {sent / load.used / LINK:.1f} | {plain(load.cache_bytes() / nodes)}B "
            f"| {plain(fetched)} | {fetched * load.source_bytes * 8 / 1e9:.3g} "
            f"| {fetched / PREFIX:.1f} |"
        )
    return rows


def losses(load: Load) -> list[str]:
    """What the loss of a node with its cache asks of the others."""
    rows = [
        "| nodes | made anew, cores | free at the others, cores |",
        "| ---: | ---: | ---: |",
    ]
    for nodes in FLEETS[1:]:
        anew = load.rate * load.cold_ms / 1e3
        free = (nodes - 1) * load.cores * (1 - load.used)
        rows.append(f"| {nodes} | {anew:.1f} | {free:.1f} |")
    return rows


def tables(load: Load) -> str:
    """All of them, in Markdown."""
    return "\n\n".join("\n".join(make(load)) for make in (single, fleets, losses))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for row in fields(Load):
        kind = type(row.default)
        parser.add_argument(f"--{row.name.replace('_', '-')}", type=kind, default=row.default)
    print(tables(Load(**vars(parser.parse_args()))))
