"""The conformance page: every call, parameter, header and picture rule, and the test that says so.

What there is comes from the tables that the server itself reads (``vipsgate.api``, ``ACTIONS``) and
from the rows of tests; which test says so stands here, once for each name, and is checked: a row
without one has no page. The other design, a marker at each test, would keep a row beside its proof
but spread one table over forty files, and a rule without any test would not be noticed.
"""

import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path

from vipsgate import api
from vipsgate.api.unset import MISSING
from vipsgate.gate import headers, sign
from vipsgate.image.actions import ACTIONS
from vipsgate.image.params import slots

TESTS = Path(__file__).parents[1]
PAGE = TESTS / "CONFORMANCE.md"
LEVELS = (("/", api.SERVICE), ("/BUCKET/", api.BUCKET), ("/BUCKET/KEY", api.OBJECT))
LONGEST = 60  # characters of a text in an id, as in tests/image/actions/test_tables.py
TITLE = """# Conformance

Made by `.venv/bin/python .ci/conformance`; `tests/test_conformance.py` fails when it is out of
date, and CI fails when a test that is named here did not run. *exact*: as OSS's guide has it.
*near*: with the difference that is told. *missing*: refused by name, with 501. The tests hold this
version to the guide and to the official clients; `vipsgate diff` asks a live endpoint.

## Clients

For V1 and V4, path style and virtual hosts, and two keys, the second full of what is to be encoded.
"""

CLIENTS, SDK = "e2e/clients/test_clients.py::test_a_call[go-v2 {}]", "e2e/sdk/test_v2.py::"
WIRE, HEADERS = "e2e/test_calls.py::", "gate/test_headers.py::test_passes"
CALLS = {  # call -> test
    "ListBuckets": "api/test_buckets.py::test_lists_buckets",
    "PutBucket": CLIENTS.format("bucket"),
    "GetBucketInfo": CLIENTS.format("bucket"),
    "HeadBucket": f"{WIRE}test_head_of_a_bucket",
    "DeleteBucket": "api/test_buckets.py::test_removes_an_empty_bucket",
    "GetBucketAcl": CLIENTS.format("bucket-acl"),
    "PutBucketAcl": CLIENTS.format("bucket-acl"),
    "GetBucketStat": "api/test_unset.py::test_how_much_is_in_a_bucket",
    "GetBucketLocation": "api/test_buckets.py::test_where_a_bucket_is",
    "GetBucketProcess": "api/test_images.py::test_what_is_put_is_got",
    "PutBucketProcess": "api/test_images.py::test_what_is_put_is_got",
    "GetBucketReferer": CLIENTS.format("referer"),
    "PutBucketReferer": CLIENTS.format("referer"),
    "GetStyle, ListStyle": f"{SDK}test_styles",
    "PutStyle": CLIENTS.format("style"),
    "DeleteStyle": f"{SDK}test_styles",
    "GetBucketLifecycle": "api/test_lifecycle.py::test_what_is_put_is_got",
    "PutBucketLifecycle": "api/test_lifecycle.py::test_what_is_put_is_got",
    "DeleteBucketLifecycle": "api/test_lifecycle.py::test_what_is_put_is_got",
    "GetBucketCors": "api/test_cors.py::test_what_is_put_is_got",
    "PutBucketCors": "api/test_cors.py::test_what_is_put_is_got",
    "DeleteBucketCors": "api/test_cors.py::test_what_is_put_is_got",
    "GetBucketWebsite": "api/test_website.py::test_what_is_put_is_got",
    "PutBucketWebsite": "api/test_website.py::test_what_is_put_is_got",
    "DeleteBucketWebsite": "api/test_website.py::test_what_is_put_is_got",
    "PostObject": "e2e/test_post.py::test_a_form_as_the_guide_signs_it",
    "ListObjects": CLIENTS.format("list"),
    "ListObjectsV2": CLIENTS.format("list-v2"),
    "ListObjectVersions": "api/test_versions.py::test_lists",
    "DeleteMultipleObjects": CLIENTS.format("delete-many"),
    "ListMultipartUploads": f"{WIRE}test_uploads_are_listed_by_common_prefixes",
    "GetObject": CLIENTS.format("get"),
    "HeadObject": CLIENTS.format("head"),
    "GetObjectMeta": f"{SDK}test_put_get_head_delete",
    "PutObject": CLIENTS.format("put"),
    "CopyObject": CLIENTS.format("copy"),
    "DeleteObject": CLIENTS.format("delete"),
    "GetObjectTagging": CLIENTS.format("tagging"),
    "PutObjectTagging": CLIENTS.format("tagging"),
    "DeleteObjectTagging": "e2e/clients/test_clients.py::test_a_call[go-v1 tagging]",
    "GetObjectACL": CLIENTS.format("acl"),
    "PutObjectACL": CLIENTS.format("acl"),
    "AppendObject": CLIENTS.format("append"),
    "PutSymlink": "e2e/test_symlink.py::test_where_it_leads",
    "GetSymlink": "e2e/test_symlink.py::test_where_it_leads",
    "PostProcess": CLIENTS.format("saveas"),
    "InitiateMultipartUpload": CLIENTS.format("multipart"),
    "UploadPart": CLIENTS.format("multipart"),
    "UploadPartCopy": CLIENTS.format("copy-parts"),
    "CompleteMultipartUpload": CLIENTS.format("multipart"),
    "AbortMultipartUpload": f"{SDK}test_uploads_of_20_mb_in_parts",
    "ListParts": CLIENTS.format("multipart"),
}
NEAR = {  # call -> how it differs
    "PutBucket": "Standard and LRS alone; another class or redundancy is refused by name",
    "GetObject": "no traffic limit",
    "ListObjectVersions": "no bucket is versioned: each object once, with the version `null`",
    "PutObject": "no encryption, retention or other storage classes: refused by name",
    "PutBucketCors": "up to 20 rules; `Vary: Origin` is sent whatever `ResponseVary` says",
    "PutBucketWebsite": "rules of the type Mirror, to servers of `origins.hosts`; `PassAll`, pages "
    "and redirects of clients are refused by name",
    "PutBucketLifecycle": "rules for uploads that nobody completes; all else is refused by name",
    "ListMultipartUploads": "one sort of upload, without its storage class",
}
LISTS = "api/test_listing.py::test_lists[{}]"
FOUND = "api/test_calls.py::test_a_call_is_found[{}]"
CALLBACK = "e2e/test_callback.py::"
PARAMETERS = {  # parameter, or `call parameter` where calls differ -> test
    "prefix": LISTS.format("prefix=a/"),
    "delimiter": LISTS.format("delimiter=/"),
    "marker": LISTS.format("marker=b"),
    "max-keys": LISTS.format("max-keys=2"),
    "encoding-type": "api/test_listing.py::test_signs_that_xml_cannot_have",
    "start-after": "api/test_listing.py::test_start_after_is_where_version_2_begins",
    "continuation-token": "api/test_listing.py::test_oss2_and_v2_read_every_key_of_version_2",
    "fetch-owner": "api/test_listing.py::test_the_document_of_version_2",
    "key-marker": f"{WIRE}test_uploads_are_listed_by_common_prefixes",
    "max-uploads": f"{WIRE}test_uploads_are_listed_by_common_prefixes",
    "upload-id-marker": FOUND.format("GET /photos/?uploads&delimiter=/&upload-id-marker=a"),
    "version-id-marker": "api/test_versions.py::test_refuses",
    "versionId": f"{WIRE}test_every_object_has_one_version",
    "styleName": f"{SDK}test_styles",
    "category": "api/test_styles.py::test_a_category_is_kept",
    "max-parts": "e2e/sdk/test_oss2.py::test_parts",
    "part-number-marker": FOUND.format(
        "GET /photos/a.jpg?uploadId=a&max-parts=1&part-number-marker=1"
    ),
    "partNumber": CLIENTS.format("multipart"),
    "callback": f"{CALLBACK}test_the_query_of_a_signed_url",
    "callback-var": f"{CALLBACK}test_the_query_of_a_signed_url",
    "position": f"{WIRE}test_an_append_to_nothing_begins_at_its_beginning",
    "inventoryId": "api/test_unset.py::test_what_is_missing_has_an_error_of_its_own[inventory]",
    "x-oss-process": CLIENTS.format("process"),
}
OVERRIDE = "e2e/test_conformance.py::test_row_121_anonymous_overrides"
CONDITION = f"{WIRE}test_conditions_of_a_copy_hold_for_parts_too"
HEADER_TESTS = {  # header -> test
    "x-oss-acl": "api/test_buckets.py::test_an_acl_that_is_put_is_got",
    "x-oss-object-acl": f"{WIRE}test_an_acl_counts_wherever_an_sdk_says_it",
    "x-oss-meta-": CLIENTS.format("head"),
    "x-oss-forbid-overwrite": f"{WIRE}test_an_upload_that_must_not_overwrite_does_not_begin",
    "x-oss-storage-class": f"{HEADERS}[PutObject-x-oss-storage-class: Standard]",
    "x-oss-allow-same-action-overlap": (
        "api/test_lifecycle.py::test_rules_may_overlap_where_that_is_allowed"
    ),
    "x-oss-symlink-target": "e2e/test_symlink.py::test_a_target_must_be_named",
    "x-oss-callback": f"{CALLBACK}test_put_tells_what_has_been_stored",
    "x-oss-callback-var": f"{CALLBACK}test_put_tells_what_has_been_stored",
    "x-oss-tagging": f"{WIRE}test_tags_are_the_same_by_header_and_by_call",
    "x-oss-tagging-directive": f"{WIRE}test_a_copy_has_the_tags_of_its_source_or_others",
    "x-oss-metadata-directive": f"{WIRE}test_a_copy_has_the_tags_of_its_source_or_others",
    "x-oss-copy-source": f"{WIRE}test_a_plus_in_the_name_of_a_source_is_a_blank",
    "x-oss-copy-source-if-match": CONDITION,
    "x-oss-copy-source-if-none-match": CONDITION,
    "x-oss-copy-source-if-modified-since": CONDITION,
    "x-oss-copy-source-if-unmodified-since": CONDITION,
    "x-oss-copy-source-range": f"{WIRE}test_a_part_may_be_a_range_of_a_source",
    "x-oss-range-behavior": CLIENTS.format("range"),
    "x-oss-complete-all": f"{HEADERS}[CompleteMultipartUpload-x-oss-complete-all: yes]",
    "x-oss-bypass-governance-retention": (
        f"{HEADERS}[DeleteObject-x-oss-bypass-governance-retention: true]"
    ),
}
NEAR_HEADERS = {
    "x-oss-callback": "servers of `server.callback_hosts`; what they are sent is not signed",
    "x-oss-storage-class": "Standard alone; others are refused by name",
    "x-oss-range-behavior": "`standard` is what always holds",
    "x-oss-bypass-governance-retention": "nothing is ever under retention",
}
NEAR_ACTIONS = {  # action -> how a result differs; sizes and refusals are exact everywhere
    "sharpen": "the guide gives no formula: an unsharp mask",
    "blur": "the guide gives no formula: Gaussian, by `s`",
    "bright": "the guide gives no formula",
    "contrast": "the guide gives no formula",
    "watermark": "glyphs are those of the fonts that are installed",
    "quality": "another encoder: other bytes",
    "format": "other encoders: other bytes; `heic` needs an extra",
}
OURS = "ours, for a window around what is in the picture"
NEAR_VALUES = {  # action and parameter -> likewise, where it is that parameter's doing
    ("resize", "g"): f"{OURS}: `auto`, `face`, `fp`; OSS's anchors have no effect, as there",
    ("crop", "g"): f"`auto`, `face`, `fp` are {OURS}",
    **{(name, key): OURS for name in ("resize", "crop") for key in ("fx", "fy")},
}
ROWS = {"MADE": "test_a_picture_is_made", "PIXELS": "test_a_pixel_is_where_it_belongs"}
ROWS |= {"REFUSED": "test_a_request_is_refused"}
Row = tuple[str, str, str, str]  # what, how it conforms, the test, how it differs


def calls() -> Iterator[Row]:
    for path, table in LEVELS:
        for (method, name), first in table.items():
            for row in (first, first.copying):
                if row is None:
                    continue
                what = f"{row.name}, `{method} {path}{'?' * bool(name)}{name}`"
                if (method, name) in api.NEVER_SET and table is api.BUCKET:
                    test = "api/test_unset.py::test_what_is_off"
                    if name in MISSING:
                        test = "api/test_unset.py::"
                        test += f"test_what_is_missing_has_an_error_of_its_own[{name}]"
                    yield what, "near", test, "always not configured, and cannot be set"
                else:
                    note = NEAR.get(row.name, "")
                    yield what, "near" if note else "exact", CALLS[row.name], note
    preflight = "e2e/test_cors.py::test_a_preflight_needs_no_signature"
    yield "OptionObject, `OPTIONS /BUCKET/KEY`", "exact", preflight, ""
    known = {name for _, table in LEVELS for _, name in table} | sign.NAMES
    known |= {name for _, table in LEVELS for row in table.values() for name in row.parameters}
    for name in sorted(api.OSS_NAMES - known, key=lambda name: (name.lower(), name)):
        yield f"`?{name}`", "missing", "e2e/test_calls.py::test_every_name_that_oss_has", ""


def by_name(of: str) -> dict[str, list[str]]:
    """Each parameter, or header, and the calls that have it."""
    users: dict[str, list[str]] = {}
    for _, table in LEVELS:
        for first in table.values():
            for row in (first, first.copying):
                for name in sorted(getattr(row, of, ()) or ()):
                    if row.name not in users.setdefault(name, []):
                        users[name].append(row.name)
    return users


def parameters() -> Iterator[Row]:
    for name, users in sorted(by_name("parameters").items()):
        test = OVERRIDE if name.startswith("response-") else PARAMETERS[name]
        yield f"`{name}` of {', '.join(users)}", "exact", test, ""


def header_rows() -> Iterator[Row]:
    users = by_name("headers")
    for name in sorted(users.keys() - headers.REPEATED.keys()):
        note = NEAR_HEADERS.get(name, "")
        what = f"`{name}{'*' * name.endswith('-')}` of {', '.join(users[name])}"
        yield what, "near" if note else "exact", HEADER_TESTS[name], note


def pictures() -> Iterator[Row]:
    """A row for each parameter of an action: the first text of READS that has it."""
    for name, kind in ACTIONS.items():
        module = TESTS / "image" / "actions" / f"test_{name.replace('-', '_')}.py"
        texts = runpy.run_path(str(module))["READS"]
        for key in slots(kind):
            note = NEAR_VALUES.get((name, key), NEAR_ACTIONS.get(name, ""))
            text = next(text for text in texts if _has(text, name, key))
            test = f"image/actions/test_tables.py::test_reads[{text[:LONGEST]}]"
            yield f"`{name}` `{key or 'value'}`", "near" if note else "exact", test, note


def _has(text: str, action: str, key: str) -> bool:
    """Does a process text have an action with this parameter, ``""`` for its bare value?"""
    for part in text.replace("|", "/").split("/"):
        name, *words = part.split(",")
        if name != action:
            continue
        names = {word.partition("_")[0] if "_" in word else word for word in words}
        if key in names or (not key and any("_" not in word for word in words)):
            return True
    return False


def rules() -> Iterator[Row]:
    """A row for each request of the reference's table of conformance."""
    tables = runpy.run_path(str(TESTS / "e2e" / "test_conformance.py"))
    for table, function in ROWS.items():
        for row in tables[table]:
            yield (
                f"`{row.id.replace('|', '¦')}`",
                "exact",
                f"e2e/test_conformance.py::{function}",
                "",
            )


def clients() -> str:
    """Client by call, and why a cell is not what it should be."""
    module = runpy.run_path(str(TESTS / "e2e" / "clients" / "test_clients.py"))
    specs, refused = module["CLIENTS"], module["REFUSED"]
    lines = [f"| call | {' | '.join(specs)} |", "|---|" + "---|" * len(specs)]
    for call in (*module["OF_BUCKETS"], *module["OF_OBJECTS"]):
        cells = []
        for name, spec in specs.items():
            faults = [
                f"{version} {style}".removesuffix(" *")
                for (client, version, style, calls) in refused
                if client == name and call in calls
            ]
            text = f"not with {', '.join(faults)}" if faults else "works"
            cells.append("" if call in spec.lacks else text)
        lines.append(f"| {call} | {' | '.join(cells)} |")
    lines += ["", "An empty cell: the client has no such call."]
    for (name, version, style, _), (_, reason) in refused.items():
        where = f"{version} {style}".removesuffix(" *")
        lines.append(f"* {name}, {where}: {reason}. Its own fault; it is refused.")
    return "\n".join(lines)


SECTIONS = {
    "Calls": calls,
    "Parameters": parameters,
    "Headers": header_rows,
    "Parameters of actions": pictures,
    "Rules of pictures": rules,
}


def page() -> str:
    """The whole page."""
    parts = [TITLE, clients() + "\n"]
    for title, rows in SECTIONS.items():
        lines = [f"## {title}", "", "| what | | test in `tests/` | |", "|---|---|---|---|"]
        lines += [
            f"| {' | '.join((what, how, f'`{test}`', note))} |" for what, how, test, note in rows()
        ]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def named() -> set[str]:
    """Every test that the page names."""
    return {f"tests/{row[2]}" for rows in SECTIONS.values() for row in rows()}


def is_among(test: str, nodes: set[str]) -> bool:
    """Is a test there, by itself or with rows of its own?"""
    return test in nodes or any(node.startswith(f"{test}[") for node in nodes)


def not_run(seen: Mapping[str, bool]) -> list[str]:
    """The tests that the page names, of the files that a run has seen, and that did not run there.

    Args:
        seen: Each test that was reported, and whether it has run.
    """
    files = {node.partition("::")[0] for node in seen}
    ran = {node for node, has_run in seen.items() if has_run}
    return sorted(
        test for test in named() if test.partition("::")[0] in files and not is_among(test, ran)
    )
