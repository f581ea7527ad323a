"""Finding font files: whose come first, which are left out, and that libvips draws with them."""

import io
import json
import os
import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

import pytest
from fontTools.ttLib import TTCollection, TTFont
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import times

from vipsgate.cli import findings
from vipsgate.image.fonts import LAST, NAMES
from vipsgate.worker import fontfiles
from vipsgate.worker.fontfiles import HINTS, MAX_FILES, Typefaces, find

ROOT = Path(__file__).parents[2]
PACKAGED = ["Noto Sans CJK SC", "Noto Sans", "Noto Sans Arabic", "Heebo"]
EVERYTHING = {  # a text in each script that is promised, with marks
    *("图片服务，版权所有", "繁體中文", "日本語ひらがなカタカナ", "한국어", "“引号”…—·①"),
    *("Hello, World! © ® ™ €", "Příliš žluťoučký kůň", "Łódź", "İstanbul ğ ş", "Tiếng Việt"),
    *("Ελληνικά ἄνθρωπος", "Привет Ї Ґ", "x\u0301 o\u0323\u0335\u030c"),
    *("مرحبا بالعالم ١٢٣", "مَرْحَبًا", "می\u200cخواهم پچژگ", "\ufdfa", "שלום עולם", "שָׁלוֹם"),
}


@pytest.fixture
def folder(tmp_path, font):
    """``folder(name={file: (family, signs)})``: a folder of fonts, or of bytes as they are."""

    def make(files, name="fonts"):
        made = tmp_path / name
        for path, what in files.items():
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            (made / path).write_bytes(what if isinstance(what, bytes) else font(*what))
        return str(made)

    return make


def found(fonts_dir="", *system):
    return find(fonts_dir, system)


@pytest.fixture
def alone(monkeypatch):
    """``alone(folder)``: what is found in it, without what comes with the installation."""
    monkeypatch.setattr(fontfiles, "PACKAGES", ())
    return lambda folder: found(str(folder))


def families(typefaces):
    return [file.family.name for file in typefaces.files]


def test_what_comes_with_the_installation():
    here = found()
    assert families(here) == PACKAGED
    assert here.rejected == ()
    assert {here.fonts.family(name) for name in NAMES} == {LAST}
    assert [text for text in EVERYTHING if here.fonts.missing(text)] == []


@pytest.mark.parametrize("package", fontfiles.PACKAGES)
def test_every_package_is_needed(package, monkeypatch):
    monkeypatch.setattr(
        fontfiles, "PACKAGES", [name for name in fontfiles.PACKAGES if name != package]
    )
    assert [text for text in EVERYTHING if found().fonts.missing(text)]


def test_a_package_that_is_not_there_is_done_without(monkeypatch):
    monkeypatch.setattr(fontfiles, "PACKAGES", ("no_such_package_of_fonts",))
    assert found().files == ()
    assert found().readable == (fontfiles.CONFIG,)


def test_fonts_dir_comes_first_for_its_name_and_last_for_other_signs(folder):
    fonts_dir = folder({"b/own.TTF": ("WenQuanYi Zen Hei", "中"), "a.otf": ("Thai", "ก")})
    here = found(fonts_dir)
    assert families(here) == [*PACKAGED, "Thai", "WenQuanYi Zen Hei"]
    runs = here.fonts.runs("中文 ก", "wqy-zenhei")
    assert [run.family for run in runs] == ["WenQuanYi Zen Hei", LAST, "Thai"]
    assert here.fonts.missing("ก") == 0 < found().fonts.missing("ก")


def test_fonts_dir_before_packages_before_the_system(folder):
    own = folder({"own.ttf": (LAST, "中")}, "own")
    system = folder({"NotoSansCJK.ttf": (LAST, "a"), "wqy-zenhei.ttf": ("WenQuanYi Zen Hei", "a")})
    assert [Path(file.path).parent.name for file in found(own, system).files][:1] == ["own"]
    assert families(found(own, system)) == [*PACKAGED, "WenQuanYi Zen Hei"]
    assert "noto_cjk" in found("", system).files[0].path


def test_of_the_system_only_what_serves_a_name(folder):
    system = folder(
        {
            "truetype/wqy/wqy-microhei.ttf": ("WenQuanYi Micro Hei", "中"),
            "FZKTK.TTF": ("FZKai-Z03", "中"),
            "simkai.ttf": ("Something Else", "中"),
            "DejaVuSans.ttf": ("LXGW WenKai", "中"),  # never looked into
            "wqy-zenhei.txt": ("WenQuanYi Zen Hei", "中"),
        }
    )
    assert families(found("", system)) == [*PACKAGED, "FZKai-Z03", "WenQuanYi Micro Hei"]
    assert found("", f"{system}/none").rejected == ()


ODDITIES = {  # what is asked of a font, the oddest first; the last one is regular
    "italic": {"style": 0x01},
    "condensed": {"width": 3},
    "expanded": {"width": 6},
    "light": {"weight": 100},
    "bold": {"weight": 600},
    "medium": {"weight": 500},
    "regular": {},
}


@pytest.mark.parametrize(("odd", "less"), [*pairwise(ODDITIES)])
def test_the_most_regular_font_of_a_family_is_taken(odd, less, alone, tmp_path, font):
    for row in (odd, less):
        (tmp_path / f"{row}.ttf").write_bytes(font("LXGW WenKai", "中", **ODDITIES[row]))
    (kai,) = alone(tmp_path).files
    assert (Path(kai.path).stem, kai.family.name) == (less, "LXGW WenKai")


FAMILIES = {
    # what is asked of the font -> the family that is taken
    "plain": ({}, "Some Sans"),
    "a name for all weights": (
        {"family": "Kai Light", "typographicFamily": "Kai", "weight": 300},
        "Kai",
    ),
    "in Chinese too": ({"family": {"zh": "文泉驿", "en": "WQY"}}, "WQY"),
    "in Chinese only": ({"family": {"zh": "文泉驿"}}, "文泉驿"),
    "OSS's, in another language": ({"family": {"zh": "KaiTi", "en": "Script"}}, "KaiTi"),
    "OSS's, with its weight": ({"family": "SimHei", "typographicFamily": "Hei"}, "SimHei"),
}


@pytest.mark.parametrize("row", FAMILIES)
def test_what_a_family_is_called(row, alone, tmp_path, font):
    asked, expected = FAMILIES[row]
    (tmp_path / "own.ttf").write_bytes(font(**asked))
    assert families(alone(tmp_path)) == [expected]


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (("One", "Two", "Three"), {"One": "a"}),
        (("One", "KaiTi", "SimHei"), {"KaiTi": "b", "SimHei": "c"}),
    ],
)
def test_of_a_collection_what_serves_a_name_or_the_first(names, taken, alone, tmp_path, font):
    collection = TTCollection()
    fonts = zip(names, "abc", strict=True)
    collection.fonts = [TTFont(io.BytesIO(font(*row))) for row in fonts]
    collection.save(tmp_path / "own.ttc")
    found = {file.family.name: file.family for file in alone(tmp_path).files}
    has = {name: "".join(filter(family.has, "abc")) for name, family in found.items()}
    assert has == taken


@pytest.mark.parametrize("signs", ["a", "abc", "ac", "\U0001f600b", "一中文\U00020000\U0010ffff"])
def test_characters(signs, alone, tmp_path, font):
    (tmp_path / "own.ttf").write_bytes(font(signs=signs))
    (file,) = alone(tmp_path).files
    assert file.family.has(signs)
    around = {chr(ord(sign) + step) for sign in signs for step in (-1, 1) if ord(sign) < 0x10FFFF}
    assert not [sign for sign in around - set(signs) if file.family.has(sign)]


def test_no_file_is_kept_open_or_mapped(alone, tmp_path, font):
    (tmp_path / "own.ttf").write_bytes(font())
    here = alone(tmp_path)
    assert here.files
    assert "own.ttf" not in Path("/proc/self/maps").read_text()
    assert not [link for link in Path("/proc/self/fd").iterdir() if link.resolve().stem == "own"]


REFUSED = {
    "empty": (lambda font: b"", "empty"),
    "a picture": (lambda font: b"\x89PNG\r\n\x1a\n" + bytes(64), "not a font file"),
    "WOFF": (lambda font: b"wOFF" + bytes(64), "not a font file"),
    "a collection of none": (lambda font: b"ttcf\0\1\0\0\0\0\0\0", "not a font file"),
    "a collection cut off": (lambda font: b"ttcf\0\1\0\0\0\0\0\7", "not a font file"),
    "nothing but a directory": (lambda font: font()[: 12 + 16 * 10], "truncated"),
    "a directory cut off": (lambda font: b"\0\1\0\0\0\7" + bytes(9), "not a font file"),
    "a table cut off": (lambda font: font()[:-9], "truncated"),
    "half of it": (lambda font: font()[: len(font()) // 2], "truncated"),
    "colour bitmaps": (lambda font: font(add="CBDT"), "a colour font"),
    "Apple's colours": (lambda font: font(add="sbix"), "a colour font"),
    "coloured layers": (lambda font: font(add="COLR"), "a colour font"),
    "SVG": (lambda font: font(add="SVG "), "a colour font"),
    "no outlines": (lambda font: font(drop=("glyf", "loca")), "without outlines"),
    "no characters": (lambda font: font(drop=("cmap",)), "character table"),
    "an empty table of characters": (lambda font: font(signs=""), "character table"),
    "no names": (lambda font: font(drop=("name",)), "without a family name"),
    "no family": (lambda font: font(""), "without a family name"),
}


@pytest.mark.parametrize("row", REFUSED)
def test_what_is_no_font_for_text(row, alone, tmp_path, font):
    make, said = REFUSED[row]
    (tmp_path / "own.ttf").write_bytes(make(font))
    here = alone(tmp_path)
    assert here.files == ()
    (line,) = here.rejected
    assert said in line


@settings(
    max_examples=times(300),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    part=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_a_broken_file_is_no_font_or_another_one(changes, part, alone, tmp_path, font):
    data = bytearray(font(signs="abcxyz中\U0001f600"))
    for place, value in changes:
        data[int(place * len(data))] = value
    (tmp_path / "own.ttf").write_bytes(data[: int(part * len(data))])
    here = alone(tmp_path)
    assert len(here.files) + len(here.rejected) == 1
    assert all(file.family.name for file in here.files)
    assert isinstance(here.fonts.missing("abc中"), int)


def test_what_cannot_be_used_is_named_and_the_others_are_used(folder, font):
    fonts_dir = folder(
        {
            "a-cut.ttf": font("Cut")[:-20],
            "b-empty.otf": b"",
            "c-colours.ttf": font("Colours", add="CBDT"),
            "d-good.ttf": ("Good", "ก"),
            "e-page.ttc": b"<html>",
            "f-readme.txt": b"no font by its name",
        }
    )
    os.symlink("nowhere", Path(fonts_dir) / "g-lost.ttf")
    here = found(fonts_dir)
    assert families(here) == [*PACKAGED, "Good"]
    told = {Path(line.partition("': ")[0]).name: line for line in here.rejected}
    reasons = {
        "a-cut.ttf": "truncated",
        "b-empty.otf": "empty",
        "c-colours.ttf": "a colour font",
        "e-page.ttc": "not a font file",
        "g-lost.ttf": "No such file",
    }
    assert told.keys() == reasons.keys()
    assert [name for name, reason in reasons.items() if reason not in told[name]] == []


def test_a_path_that_libvips_cannot_be_told(folder):
    fonts_dir = folder({"\udcff.ttf": ("Good", "ก")})
    (line,) = found(fonts_dir).rejected
    assert r"\udcff.ttf" in line
    line.encode()


def test_so_many_and_no_more(folder, font):
    data = font("Good", "ก")
    fonts_dir = folder({f"{number:03}.ttf": data for number in range(MAX_FILES + 2)})
    names = [line.partition("'")[2].partition("'")[0] for line in found(fonts_dir).rejected]
    assert [Path(name).name for name in names] == ["064.ttf", "065.ttf"]


def test_a_link_is_followed_to_the_file_that_must_stay_readable(folder, tmp_path):
    aim = folder({"aim.ttf": ("Good", "ก")}, "elsewhere")
    fonts_dir = folder({}, "own")
    os.mkdir(fonts_dir)
    os.symlink(f"{aim}/aim.ttf", f"{fonts_dir}/link.ttf")
    assert found(fonts_dir).readable[-1] == os.path.realpath(f"{aim}/aim.ttf")


def test_readable_are_the_files_once_and_the_configuration():
    here = found()
    assert here.readable == (fontfiles.CONFIG, *(file.path for file in here.files))
    assert all(os.path.isfile(path) for path in here.readable)


def test_identity_tells_files_by_name_and_size_wherever_they_lie(folder):
    one = {"x.ttf": ("Good", "ก")}
    identities = [
        found().identity,
        found(folder(one, "1")).identity,
        found(folder(one, "2")).identity,
        found(folder({"y.ttf": ("Good", "ก")}, "3")).identity,
        found(folder({"x.ttf": ("Good", "กข")}, "4")).identity,
    ]
    assert identities[1] == identities[2]
    assert len(set(identities)) == 4
    assert all(len(identity) == 12 for identity in identities)


HINTED = (  # as distributions and their makers call them
    *("wqy-zenhei.ttc", "wqy-microhei.ttc", "DroidSansFallbackFull.ttf", "FZSSK.TTF"),
    *("FZKTK.TTF", "FZHTJW.TTF", "FZFSK.TTF", "方正书宋_GBK.ttf", "NotoSerifCJK-Regular.ttc"),
    *("SourceHanSerifSC-Regular.otf", "LXGWWenKai-Regular.ttf", "ukai.ttc", "uming.ttc"),
    *("simsun.ttc", "SIMKAI.TTF", "simhei.ttf", "simfang.ttf"),
)


def test_hints():
    assert [name for name in HINTED if not HINTS.match(name)] == []
    others = ("DejaVuSans.ttf", "LXGWWenKaiMono-Regular.ttf", "NotoSans-Regular.ttf", "a-ukai.ttc")
    assert [name for name in others if HINTS.match(name)] == []


DRAWN = """
    import json, sys
    from vipsgate.image import text
    from vipsgate.worker import fontfiles
    here = fontfiles.find(sys.argv[1], ())
    here.install()
    here.install()
    shapes = {}
    for line in sys.argv[2:]:
        ink = text.draw(here.fonts.runs(line, "wqy-zenhei"), 100, 1 << 24)
        shapes[line] = [ink.width, ink.height, ink.avg()]
    print(json.dumps(shapes))
"""


def drawn(fonts_dir, *lines):
    """Width, height and mean of each line's ink at 100 px, as another process draws it."""
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DRAWN), fonts_dir, *lines],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""
    return json.loads(run.stdout)


def test_libvips_draws_with_the_first_one_installed(folder):
    """The test's own font has bars of 70 x 70 for glyphs; where it has none, another serves."""
    fonts_dir = folder({"own.ttf": ("WenQuanYi Zen Hei", "中一")})
    got = drawn(fonts_dir, "中", "中中", "一", "文")
    assert got["中"] == got["一"] == [70, 70, 255]
    assert got["中中"][:2] == [150, 70]
    assert got["文"][2] < 200
    without = drawn("", "一")["一"]
    assert without[0] > 5 * without[1]


def test_check_draws_chinese_and_names_what_serves_each_name(monkeypatch):
    monkeypatch.setattr(fontfiles, "find", found)
    rows = [(row.what, row.works, row.detail) for row in findings._fonts("")]
    assert rows == [(f"font {name}", True, f"{LAST}, a stand-in") for name in NAMES]


def test_check_fails_without_chinese(monkeypatch):
    monkeypatch.setattr(fontfiles, "find", lambda fonts_dir: Typefaces(()))
    rows = list(findings._fonts(""))
    assert [row.works for row in rows] == [False] * len(NAMES)
    assert all("no font has 4 of" in row.detail for row in rows)


def test_check_says_what_is_a_stand_in_and_what_is_broken(monkeypatch, folder):
    here = find(folder({"own.ttf": ("WenQuanYi Zen Hei", "中文图片一"), "bad.ttf": b"bad"}), ())
    monkeypatch.setattr(fontfiles, "find", lambda fonts_dir: here)
    monkeypatch.setattr(Typefaces, "install", lambda self: None)
    monkeypatch.setattr(findings, "_boxes", lambda fonts, name: "")
    details = {row.what: (row.works, row.detail) for row in findings._fonts("")}
    assert details["font wqy-zenhei"] == (True, "WenQuanYi Zen Hei")
    assert details["font wqy-microhei"] == (True, f"{LAST}, a stand-in")
    works, detail = details["font file"]
    assert not works
    assert detail.endswith("bad.ttf': not a font file")
