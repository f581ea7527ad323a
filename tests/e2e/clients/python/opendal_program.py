"""What of the list Apache OpenDAL has, through its binding for Python, as it is."""

import asyncio
import os

import opendal
from row import BIG, FOLDER, HOST, PATH, PHOTO, PROXY, each, equal, has

os.environ["http_proxy"] = f"http://{PROXY}"  # read once, by the first request
KEYS = {"access_key_id": "ownerKey", "access_key_secret": "ownerSecret"}


def work(run):
    if run.kind == "bucket":
        return  # it has no call for a bucket; the test has made it
    options = {"bucket": run.bucket, "root": "/", **KEYS}
    if run.style == "host":
        operator = opendal.Operator("oss", endpoint=HOST, **options)
    else:
        operator = opendal.Operator("oss", endpoint=PATH, addressing_style="path", **options)
    of_object(run, operator)
    of_lists(run, operator)
    run.call("presign", lambda: equal(presigned(run, operator), PHOTO))
    of_deletes(run, operator)


def of_object(run, operator):
    key = run.key

    def part():
        with operator.open(key, "rb") as file:
            file.seek(10)
            equal(bytes(file.read(10)), PHOTO[10:20])

    def copy():
        operator.copy(key, key + ".copy")
        equal(bytes(operator.read(key + ".copy")), PHOTO)

    def append():
        operator.write(key + ".log", b"123", append=True)
        operator.write(key + ".log", b"45", append=True)
        equal(bytes(operator.read(key + ".log")), b"12345")

    def multipart():
        operator.write(key + ".parts", BIG, chunk=100 << 10, concurrent=2)
        equal(bytes(operator.read(key + ".parts")), BIG)

    def upload():
        with operator.open(key + ".big", "wb") as target:
            target.write((FOLDER / "big").read_bytes())

    def download():
        equal(bytes(operator.read(key + ".big", chunk=100 << 10, concurrent=2)), BIG)

    def folder():
        operator.create_dir(key + "/")
        equal(operator.exists(key + "/"), True)

    run.call("put", lambda: operator.write(key, PHOTO, user_metadata={"author": "me"}))
    run.call("get", lambda: equal(bytes(operator.read(key)), PHOTO))
    calls = {
        "range": part,
        "head": lambda: equal(operator.stat(key).content_length, len(PHOTO)),
        "copy": copy,
        "append": append,
        "folder": folder,
        "multipart": multipart,
        "upload": upload,
        "download": download,
    }
    for name, call in calls.items():
        run.call(name, call)


def of_lists(run, operator):
    def all_keys():
        has([entry.path for entry in operator.list("/", recursive=True)], run.key)

    run.call("list-v2", all_keys)
    run.call("delimiter", lambda: has([entry.path for entry in operator.list("/")], run.prefix))


def presigned(run, operator):
    async def signed():
        return await operator.to_async_operator().presign_read(run.key, 60)

    return run.fetch(asyncio.run(signed()).url)


def of_deletes(run, operator):
    def many():
        operator.delete(run.prefix, recursive=True)
        equal(operator.exists(run.key + ".copy"), False)

    def one():
        operator.write(run.key, PHOTO)
        operator.delete(run.key)
        equal(operator.exists(run.key), False)

    run.call("delete-many", many)
    run.call("delete", one)


each(("v1",), ("path", "host"), work)
