"""Every call of the list through alibabacloud-oss-v2, as it is."""

import base64
import datetime

import alibabacloud_oss_v2 as oss
from row import BIG, FOLDER, HOST, PATH, PHOTO, PROCESS, PROXY, REFERER, each, equal, has, wide

PART = 100 << 10


def work(run):
    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(
        "ownerKey", "ownerSecret"
    )
    config.region, config.signature_version = "cn-hangzhou", run.version
    if run.style == "host":
        config.endpoint, config.proxy_host = HOST, {"http": f"http://{PROXY}"}
    else:
        config.endpoint, config.use_path_style = PATH, True
    client = oss.Client(config)
    if run.kind == "bucket":
        of_bucket(run, client)
        return
    of_object(run, client)
    of_parts(run, client)
    of_lists(run, client)
    of_pictures(run, client)
    of_deletes(run, client)


def read(run, client, key, **options):
    result = client.get_object(oss.GetObjectRequest(bucket=run.bucket, key=key, **options))
    return result.body.read()


def of_bucket(run, client):
    name = {"bucket": run.bucket}

    def create():
        client.put_bucket(oss.PutBucketRequest(**name))
        info = client.get_bucket_info(oss.GetBucketInfoRequest(**name))
        equal(info.bucket_info.name, run.bucket)
        listed = client.list_buckets(oss.ListBucketsRequest(prefix=run.bucket)).buckets
        equal([item.name for item in listed], [run.bucket])

    def acl():
        for value in ("public-read", "private"):
            client.put_bucket_acl(oss.PutBucketAclRequest(**name, acl=value))
            equal(client.get_bucket_acl(oss.GetBucketAclRequest(**name)).acl, value)

    def style():
        content = oss.StyleContent(content=PROCESS)
        client.put_style(oss.PutStyleRequest(**name, style_name="small", style=content))
        result = client.get_style(oss.GetStyleRequest(**name, style_name="small"))
        equal(result.style.content, PROCESS)

    def referer():
        referers = oss.RefererList(referers=[REFERER])
        document = oss.RefererConfiguration(allow_empty_referer=True, referer_list=referers)
        client.put_bucket_referer(
            oss.PutBucketRefererRequest(**name, referer_configuration=document)
        )
        result = client.get_bucket_referer(oss.GetBucketRefererRequest(**name))
        equal(result.referer_configuration.referer_list.referers, [REFERER])

    calls = {"bucket": create, "bucket-acl": acl, "style": style, "referer": referer}
    for call, function in calls.items():
        run.call(call, function)


def of_object(run, client):
    name = {"bucket": run.bucket, "key": run.key}

    def put():
        client.put_object(oss.PutObjectRequest(**name, body=PHOTO, metadata={"author": "me"}))

    def head():
        result = client.head_object(oss.HeadObjectRequest(**name))
        equal((result.content_length, result.metadata["author"]), (len(PHOTO), "me"))

    def copy():
        request = oss.CopyObjectRequest(
            bucket=run.bucket, key=run.key + ".copy", source_key=run.key
        )
        client.copy_object(request)
        equal(read(run, client, run.key + ".copy"), PHOTO)

    def acl():
        for value in ("public-read", "private"):
            client.put_object_acl(oss.PutObjectAclRequest(**name, acl=value))
            equal(client.get_object_acl(oss.GetObjectAclRequest(**name)).acl, value)

    def append():
        log, position = {"bucket": run.bucket, "key": run.key + ".log"}, 0
        for data in (b"123", b"45"):
            request = oss.AppendObjectRequest(**log, position=position, body=data)
            position = client.append_object(request).next_position
        equal(read(run, client, run.key + ".log"), b"12345")

    def tagging():
        tags = oss.Tagging(tag_set=oss.TagSet(tags=[oss.Tag(key="a b", value="x/y")]))
        client.put_object_tagging(oss.PutObjectTaggingRequest(**name, tagging=tags))
        result = client.get_object_tagging(oss.GetObjectTaggingRequest(**name))
        equal([(tag.key, tag.value) for tag in result.tag_set.tags], [("a b", "x/y")])

    def folder():
        client.put_object(oss.PutObjectRequest(bucket=run.bucket, key=run.key + "/"))
        equal(client.is_object_exist(run.bucket, run.key + "/"), True)

    part = {"range_header": "bytes=10-19", "range_behavior": "standard"}
    calls = {
        "put": put,
        "get": lambda: equal(read(run, client, run.key), PHOTO),
        "range": lambda: equal(read(run, client, run.key, **part), PHOTO[10:20]),
        "head": head,
        "copy": copy,
        "acl": acl,
        "append": append,
        "tagging": tagging,
        "folder": folder,
    }
    for call, function in calls.items():
        run.call(call, function)


def of_parts(run, client):
    def multipart():
        name, half = {"bucket": run.bucket, "key": run.key + ".parts"}, len(BIG) // 2
        begun = client.initiate_multipart_upload(oss.InitiateMultipartUploadRequest(**name))
        name["upload_id"] = begun.upload_id
        parts = []
        for number, data in ((1, BIG[:half]), (2, BIG[half:])):
            request = oss.UploadPartRequest(**name, part_number=number, body=data)
            etag = client.upload_part(request).etag
            parts.append(oss.UploadPart(part_number=number, etag=etag))
        equal(len(client.list_parts(oss.ListPartsRequest(**name)).parts), 2)
        whole = oss.CompleteMultipartUpload(parts=parts)
        client.complete_multipart_upload(
            oss.CompleteMultipartUploadRequest(**name, complete_multipart_upload=whole)
        )
        equal(read(run, client, run.key + ".parts"), BIG)

    def upload():
        options = {"part_size": PART, "parallel_num": 2, "enable_checkpoint": True}
        uploader = client.uploader(**options, checkpoint_dir=str(FOLDER))
        request = oss.PutObjectRequest(bucket=run.bucket, key=run.key + ".big")
        uploader.upload_file(request, str(FOLDER / "big"))

    def download():
        options = {"part_size": PART, "parallel_num": 2, "enable_checkpoint": True}
        downloader = client.downloader(**options, checkpoint_dir=str(FOLDER))
        request = oss.GetObjectRequest(bucket=run.bucket, key=run.key + ".big")
        downloader.download_file(request, str(FOLDER / "python-v2.big"))
        equal((FOLDER / "python-v2.big").read_bytes(), BIG)

    def copy_parts():
        copier = client.copier(
            part_size=PART, multipart_copy_threshold=1, disable_shallow_copy=True
        )
        source = {"source_bucket": run.bucket, "source_key": run.key + ".big"}
        copier.copy(oss.CopyObjectRequest(bucket=run.bucket, key=run.key + ".big2", **source))
        equal(read(run, client, run.key + ".big2"), BIG)

    calls = {"multipart": multipart, "upload": upload, "download": download}
    for call, function in (calls | {"copy-parts": copy_parts}).items():
        run.call(call, function)


def of_lists(run, client):
    name = {"bucket": run.bucket}

    def all_keys():
        result = client.list_objects(oss.ListObjectsRequest(**name, prefix=run.prefix))
        has([item.key for item in result.contents], run.key)

    def pages():
        paginator = client.list_objects_v2_paginator()
        answers = paginator.iter_page(oss.ListObjectsV2Request(**name, max_keys=2))
        has([item.key for page in answers for item in page.contents or ()], run.key)

    def delimiter():
        result = client.list_objects_v2(oss.ListObjectsV2Request(**name, delimiter="/"))
        has([item.prefix for item in result.common_prefixes], run.prefix)

    calls = {"list": all_keys, "list-v2": pages, "delimiter": delimiter}
    for call, function in calls.items():
        run.call(call, function)


def of_pictures(run, client):
    def presigned(**options):
        request = oss.GetObjectRequest(bucket=run.bucket, key=run.key, **options)
        result = client.presign(request, expires=datetime.timedelta(minutes=1))
        return run.fetch(result.url)

    def saveas():
        target = base64.urlsafe_b64encode((run.key + ".png").encode()).decode()
        process = f"{PROCESS}|sys/saveas,o_{target}"
        client.process_object(
            oss.ProcessObjectRequest(bucket=run.bucket, key=run.key, process=process)
        )
        wide(read(run, client, run.key + ".png"))

    calls = {
        "process": lambda: wide(read(run, client, run.key, process=PROCESS)),
        "presign": lambda: equal(presigned(), PHOTO),
        "presign-process": lambda: wide(presigned(process=PROCESS)),
        "saveas": saveas,
    }
    for call, function in calls.items():
        run.call(call, function)


def of_deletes(run, client):
    def many():
        names = [run.key + ".copy", run.key + ".parts"]
        objects = [oss.DeleteObject(key=key) for key in names]
        request = oss.DeleteMultipleObjectsRequest(bucket=run.bucket, objects=objects)
        result = client.delete_multiple_objects(request)
        equal([item.key for item in result.deleted_objects], names)
        equal([client.is_object_exist(run.bucket, key) for key in names], [False, False])

    def one():
        client.delete_object(oss.DeleteObjectRequest(bucket=run.bucket, key=run.key))
        equal(client.is_object_exist(run.bucket, run.key), False)

    run.call("delete-many", many)
    run.call("delete", one)


each(("v1", "v4"), ("path", "host"), work)
