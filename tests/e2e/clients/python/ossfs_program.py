"""What of the list ossfs has, the file system of fsspec, as it is."""

import os

import ossfs
from row import BIG, FOLDER, HOST, PATH, PHOTO, PROXY, each, equal, has


def work(run):
    if run.kind == "bucket":
        return  # it has no call for a bucket; the test has made it
    os.environ.pop("http_proxy", None)
    if run.style == "host":
        os.environ["http_proxy"] = f"http://{PROXY}"
    endpoint = HOST if run.style == "host" else PATH
    files = ossfs.OSSFileSystem(
        endpoint=endpoint, key="ownerKey", secret="ownerSecret", skip_instance_cache=True
    )
    of_object(run, files)
    of_lists(run, files)
    of_deletes(run, files)


def of_object(run, files):
    path = f"{run.bucket}/{run.key}"

    def part():
        with files.open(path, "rb") as file:
            file.seek(10)
            equal(file.read(10), PHOTO[10:20])

    def copy():
        files.cp_file(path, path + ".copy")
        equal(files.cat_file(path + ".copy"), PHOTO)

    def append():
        with files.open(path + ".log", "wb") as file:
            file.write(b"123")
        with files.open(path + ".log", "ab") as file:
            file.write(b"45")
        equal(files.cat_file(path + ".log"), b"12345")

    def download():
        files.get_file(path + ".big", str(FOLDER / "ossfs.big"))
        equal((FOLDER / "ossfs.big").read_bytes(), BIG)

    calls = {
        "put": lambda: files.pipe_file(path, PHOTO),
        "get": lambda: equal(files.cat_file(path), PHOTO),
        "range": part,
        "head": lambda: equal(files.info(path)["Size"], len(PHOTO)),
        "copy": copy,
        "append": append,
        "upload": lambda: files.put_file(str(FOLDER / "big"), path + ".big"),
        "download": download,
    }
    for name, call in calls.items():
        run.call(name, call)


def of_lists(run, files):
    def of_bucket():
        names = [item["name"].strip("/") for item in files.ls(run.bucket)]
        has(names, f"{run.bucket}/{run.prefix.strip('/')}")

    run.call("list", lambda: has(files.find(run.bucket), f"{run.bucket}/{run.key}"))
    run.call("delimiter", of_bucket)


def of_deletes(run, files):
    path = f"{run.bucket}/{run.key}"

    def many():
        files.rm([path + ".copy", path + ".big"])
        files.invalidate_cache()
        equal(files.exists(path + ".copy"), False)

    def one():
        files.rm_file(path)
        files.invalidate_cache()
        equal(files.exists(path), False)

    run.call("delete-many", many)
    run.call("delete", one)


each(("v1",), ("path", "host"), work)
