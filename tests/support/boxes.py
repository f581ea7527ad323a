"""HEIC and AVIF files, box by box (ISO 14496-12; ISO 23008-12)."""

import struct


def box(kind, *parts):
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def full(kind, version, flags, *parts):
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def child(data, kind):
    at = data.index(kind) - 4
    return data[at : at + int.from_bytes(data[at : at + 4])]


def ispe(width, height):
    return full(b"ispe", 0, 0, struct.pack(">II", width, height))


def table(items, references, properties, associations, media, brand=b"heic"):
    """A HEIC or AVIF.

    Args:
        items: Number -> type, what follows it, and pieces of the media, start and length.
        references: Kind, number of an item, numbers of others.
        properties: Boxes.
        associations: Number of an item -> numbers of properties.
        media: Bytes.
        brand: ``heic`` or ``avif``.
    """

    def front(base):
        infe = b"".join(
            full(b"infe", 2, 0, struct.pack(">HH", number, 0), kind, b"\0", rest)
            for number, (kind, rest, _) in items.items()
        )
        places = b"".join(
            struct.pack(">HHH", number, 0, len(pieces))
            + b"".join(struct.pack(">II", base + at, size) for at, size in pieces)
            for number, (_, _, pieces) in items.items()
        )
        refs = b"".join(
            box(kind, struct.pack(f">HH{len(others)}H", number, len(others), *others))
            for kind, number, others in references
        )
        owned = b"".join(
            struct.pack(">HB", number, len(own)) + bytes(own)
            for number, own in associations.items()
        )
        meta = [
            full(b"hdlr", 0, 0, b"\0\0\0\0pict", bytes(13)),
            full(b"pitm", 0, 0, struct.pack(">H", 1)),
            full(b"iinf", 0, 0, struct.pack(">H", len(items)), infe),
            full(b"iloc", 0, 0, b"\x44\0", struct.pack(">H", len(items)), places),
            full(b"iref", 0, 0, refs),
            box(
                b"iprp",
                box(b"ipco", *properties),
                full(b"ipma", 0, 0, struct.pack(">I", len(associations)), owned),
            ),
        ]
        return box(b"ftyp", brand + b"\0\0\0\0mif1" + brand) + full(b"meta", 0, 0, *meta)

    return front(len(front(0)) + 8) + box(b"mdat", media)
