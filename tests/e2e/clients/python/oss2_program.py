"""Every call of the list through oss2, as it is."""

import base64

import oss2
from oss2.models import BucketReferer, PartInfo, Tagging, TaggingRule
from row import BIG, FOLDER, HOST, PATH, PHOTO, PROCESS, PROXY, REFERER, each, equal, has, wide

PART = 100 << 10


def work(run):
    auth = {"v1": oss2.Auth, "v4": oss2.AuthV4}[run.version]("ownerKey", "ownerSecret")
    options = {"region": "cn-hangzhou", "connect_timeout": 20}
    if run.style == "host":
        options |= {"proxies": {"http": f"http://{PROXY}"}}
        bucket = oss2.Bucket(auth, HOST, run.bucket, **options)
    else:
        bucket = oss2.Bucket(auth, PATH, run.bucket, is_path_style=True, **options)
    if run.kind == "bucket":
        of_bucket(run, bucket, oss2.Service(auth, HOST if run.style == "host" else PATH, **options))
        return
    of_object(run, bucket)
    of_parts(run, bucket)
    of_lists(run, bucket)
    of_pictures(run, bucket)
    of_deletes(run, bucket)


def of_bucket(run, bucket, service):
    def create():
        bucket.create_bucket()
        equal(bucket.get_bucket_info().name, run.bucket)
        equal([item.name for item in service.list_buckets(run.bucket).buckets], [run.bucket])

    def acl():
        for value in ("public-read", "private"):
            bucket.put_bucket_acl(value)
            equal(bucket.get_bucket_acl().acl, value)

    def style():
        bucket.put_bucket_style("small", PROCESS)
        equal(bucket.get_bucket_style("small").content, PROCESS)

    def referer():
        bucket.put_bucket_referer(BucketReferer(True, [REFERER]))
        equal(bucket.get_bucket_referer().referers, [REFERER])

    for name, call in {"bucket": create, "bucket-acl": acl, "style": style}.items():
        run.call(name, call)
    run.call("referer", referer)


def of_object(run, bucket):
    def copy():
        bucket.copy_object(run.bucket, run.key, run.key + ".copy")
        equal(bucket.get_object(run.key + ".copy").read(), PHOTO)

    def acl():
        for value in ("public-read", "private"):
            bucket.put_object_acl(run.key, value)
            equal(bucket.get_object_acl(run.key).acl, value)

    def append():
        position = bucket.append_object(run.key + ".log", 0, b"123").next_position
        bucket.append_object(run.key + ".log", position, b"45")
        equal(bucket.get_object(run.key + ".log").read(), b"12345")

    def tagging():
        rule = TaggingRule()
        rule.add("a b", "x/y")
        bucket.put_object_tagging(run.key, Tagging(rule))
        equal(bucket.get_object_tagging(run.key).tag_set.tagging_rule, {"a b": "x/y"})
        bucket.delete_object_tagging(run.key)

    def folder():
        bucket.put_object(run.key + "/", b"")
        equal(bucket.object_exists(run.key + "/"), True)

    headers = {"x-oss-meta-author": "me"}
    run.call("put", lambda: bucket.put_object(run.key, PHOTO, headers=headers))
    run.call("get", lambda: equal(bucket.get_object(run.key).read(), PHOTO))
    part = (10, 19)
    run.call("range", lambda: equal(bucket.get_object(run.key, part).read(), PHOTO[10:20]))
    run.call("head", lambda: equal(bucket.head_object(run.key).headers["x-oss-meta-author"], "me"))
    calls = {"copy": copy, "acl": acl, "append": append, "tagging": tagging, "folder": folder}
    for name, call in calls.items():
        run.call(name, call)


def of_parts(run, bucket):
    def multipart():
        key, half = run.key + ".parts", len(BIG) // 2
        upload = bucket.init_multipart_upload(key).upload_id
        parts = [
            PartInfo(number, bucket.upload_part(key, upload, number, data).etag, size=len(data))
            for number, data in ((1, BIG[:half]), (2, BIG[half:]))
        ]
        equal(len(bucket.list_parts(key, upload).parts), 2)
        bucket.complete_multipart_upload(key, upload, parts)
        equal(bucket.get_object(key).read(), BIG)

    def upload():
        store = oss2.ResumableStore(root=str(FOLDER))
        options = {"multipart_threshold": 1, "part_size": PART, "num_threads": 2, "store": store}
        oss2.resumable_upload(bucket, run.key + ".big", str(FOLDER / "big"), **options)

    def download():
        target = FOLDER / "oss2.big"
        store = oss2.ResumableDownloadStore(root=str(FOLDER))
        options = {"multiget_threshold": 1, "part_size": PART, "num_threads": 2, "store": store}
        oss2.resumable_download(bucket, run.key + ".big", str(target), **options)
        equal(target.read_bytes(), BIG)

    def copy_parts():
        source, key, half = run.key + ".big", run.key + ".big2", len(BIG) // 2
        upload = bucket.init_multipart_upload(key).upload_id
        parts = []
        for number, span in ((1, (0, half - 1)), (2, (half, len(BIG) - 1))):
            part = bucket.upload_part_copy(run.bucket, source, span, key, upload, number)
            parts.append(PartInfo(number, part.etag))
        bucket.complete_multipart_upload(key, upload, parts)
        equal(bucket.get_object(key).read(), BIG)

    calls = {"multipart": multipart, "upload": upload, "download": download}
    for name, call in (calls | {"copy-parts": copy_parts}).items():
        run.call(name, call)


def of_lists(run, bucket):
    def all_keys():
        has([item.key for item in bucket.list_objects(run.prefix).object_list], run.key)

    def pages():
        has([item.key for item in oss2.ObjectIteratorV2(bucket, max_keys=2)], run.key)

    run.call("list", all_keys)
    run.call("list-v2", pages)
    run.call("delimiter", lambda: has(bucket.list_objects(delimiter="/").prefix_list, run.prefix))


def of_pictures(run, bucket):
    def presigned(**params):
        return run.fetch(bucket.sign_url("GET", run.key, 60, params=params, slash_safe=True))

    def saveas():
        target = base64.urlsafe_b64encode((run.key + ".png").encode()).decode()
        bucket.process_object(run.key, f"{PROCESS}|sys/saveas,o_{target}")
        wide(bucket.get_object(run.key + ".png").read())

    run.call("process", lambda: wide(bucket.get_object(run.key, process=PROCESS).read()))
    run.call("presign", lambda: equal(presigned(), PHOTO))
    run.call("presign-process", lambda: wide(presigned(**{"x-oss-process": PROCESS})))
    run.call("saveas", saveas)


def of_deletes(run, bucket):
    def many():
        names = [run.key + ".copy", run.key + ".parts"]
        equal(sorted(bucket.batch_delete_objects(names).deleted_keys), names)
        equal([bucket.object_exists(name) for name in names], [False, False])

    def one():
        bucket.delete_object(run.key)
        equal(bucket.object_exists(run.key), False)

    run.call("delete-many", many)
    run.call("delete", one)


each(("v1", "v4"), ("path", "host"), work)
