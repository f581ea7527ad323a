"""What of a document makes caches in front out of date."""

import pytest

from vipsgate.buckets import Bucket, Protection, RefererPolicy
from vipsgate.delivery.watch import changes
from vipsgate.gate.webhook import Event

OLD = Bucket(styles={"a": "image/resize,w_1", "b": "image/resize,w_2"})
RIGHTS = [Event("rights", "photos")]


def after(**values):
    return OLD.model_copy(update={k: getattr(Bucket(**{k: v}), k) for k, v in values.items()})


@pytest.mark.parametrize(
    ("new", "told"),
    [
        (OLD, []),
        (after(cache_control="max-age=1", separators=("!",)), []),
        (after(styles={**OLD.styles, "c": "image/resize,w_3"}), []),
        (after(styles={**OLD.styles, "a": {"content": "image/resize,w_1", "modified": 7}}), []),
        (after(styles={**OLD.styles, "a": "image/resize,w_9"}), ["a"]),
        (after(styles={"b": "image/resize,w_9"}), ["a", "b"]),
        (after(acl="public-read"), RIGHTS),
        (after(protection=Protection(enabled=True, extensions=("jpg",))), RIGHTS),
        (after(referer=RefererPolicy(blacklist=("http://a",)), styles={}), RIGHTS),
        (None, RIGHTS),
    ],
)
def test_changes(new, told):
    styles = [
        Event("style", "photos", style=name) if isinstance(name, str) else name for name in told
    ]
    documents = {"photos": new} if new else {}
    assert [*changes({"photos": OLD}, {**documents, "new": OLD})] == styles
