"""Whether an open file was written to."""

import os

import pytest

from vipsgate import filetimes

SIZE = 1000
WRITES = {
    "written over": lambda file: file.write_bytes(bytes(SIZE)),
    "in its middle": lambda file: overwrite(file, 500),
    "of the same age": lambda file: (overwrite(file, 0), os.utime(file, ns=(1, 1))),
    "shorter": lambda file: (os.truncate(file, SIZE - 1), os.utime(file, ns=(1, 1))),
    "longer": lambda file: os.truncate(file, SIZE + 1),
    "touched": os.utime,
    "of another mode": lambda file: file.chmod(0o600),  # cannot be told from the same age
}
OTHERS = {
    "nothing": lambda file: None,
    "read": lambda file: file.read_bytes(),
    "removed": lambda file: file.unlink(),
    "replaced": lambda file: replace(file),
}


def replace(file):
    new = file.with_name("b")
    new.write_bytes(b"1")
    new.rename(file)


def overwrite(file, at):
    with file.open("r+b") as there:
        there.seek(at)
        there.write(b"12")


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(bytes(SIZE))
    os.utime(file, ns=(1, 1))  # longer ago than the clock's tick
    return file


@pytest.mark.parametrize("how", WRITES)
def test_written_to(file, how):
    with file.open("rb") as opened:
        times = filetimes.of(os.fstat(opened.fileno()))
        WRITES[how](file)
        assert filetimes.changed(opened.fileno(), SIZE, times)
        assert not filetimes.changed(opened.fileno(), SIZE, None)


@pytest.mark.parametrize("how", OTHERS)
def test_not_written_to(file, how):
    with file.open("rb") as opened:
        times = filetimes.of(os.fstat(opened.fileno()))
        OTHERS[how](file)
        assert not filetimes.changed(opened.fileno(), SIZE, times)
