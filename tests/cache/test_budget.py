"""Which files go where there are too many bytes of them."""

import os

import pytest

from vipsgate.cache import budget

FILES = [(3.0, 40, "new"), (1.0, 30, "old"), (2.0, 30, "middle")]


@pytest.mark.parametrize(
    ("files", "most", "removed"),
    [
        ([], 0, []),
        (FILES, 100, []),
        (FILES, 99, ["old"]),  # 70 of 99: an eighth is free
        (FILES, 80, ["old"]),  # 70 of 80
        (FILES, 78, ["old", "middle"]),
        (FILES, 30, ["old", "middle", "new"]),
        (FILES, 0, ["old", "middle", "new"]),
        ([(1.0, 0, "empty"), *FILES], 99, ["empty", "old"]),
    ],
)
def test_the_oldest_go(files, most, removed):
    assert budget.excess(iter(files), most) == removed


MANY = [(float(number), 10, f"{number}") for number in range(16)]  # 160 bytes


@pytest.mark.parametrize(
    ("files", "lacking", "removed"),
    [
        ([], 1, []),
        (MANY, 1, ["0", "1"]),  # an eighth
        (MANY, 20, ["0", "1"]),
        (MANY, 21, ["0", "1", "2"]),  # as much as is needed
        (MANY, 160, [path for _, _, path in MANY]),
        (MANY, 161, []),  # all of them would not be enough
        (FILES, 1, ["old"]),
        (FILES[:1], 1, ["new"]),
    ],
)
def test_the_oldest_make_room_on_a_full_disk(files, lacking, removed):
    assert budget.excess(reversed(files), 1000, lacking) == removed


@pytest.mark.parametrize(("size", "bytes_between"), [(1600, 100), (15, 0), (0, 0)])
def test_when_a_scan_is_due(size, bytes_between):
    assert budget.scan_interval(size) == bytes_between


@pytest.mark.parametrize(
    ("age", "is_told"), [(0, False), (59, False), (61, True), (-59, False), (-61, True)]
)
def test_use_is_told_now_and_then(tmp_path, monkeypatch, age, is_told):
    file = tmp_path / "a"
    file.touch()
    facts = file.stat()
    monkeypatch.setattr(budget.time, "time", lambda: facts.st_mtime + age)
    told = []
    monkeypatch.setattr(budget.os, "utime", told.append)
    budget.touch(str(file), facts)
    assert told == [str(file)] * is_told


@pytest.mark.parametrize(("ahead", "is_changed"), [(-9999, False), (59, False), (61, True)])
def test_a_time_in_the_future_becomes_now(tmp_path, ahead, is_changed):
    now = 1e9
    file = tmp_path / "a"
    file.touch()
    os.utime(file, (now + ahead, now + ahead))
    expected = now if is_changed else now + ahead
    assert budget.last_use(str(file), file.stat(), now) == expected
    assert file.stat().st_mtime == expected


def test_a_time_in_the_future_is_now_where_it_cannot_be_changed(tmp_path):
    file = tmp_path / "a"
    file.touch()
    facts = file.stat()
    file.unlink()
    assert budget.last_use(str(file), facts, 1e9) == 1e9
