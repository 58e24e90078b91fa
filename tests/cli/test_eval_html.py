"""charlm eval --html: the page that shows a text coloured by its bits, decoded here and shown by a browser."""

import html
import itertools
import json
import math
import re
import shutil
import string
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from charlm.inference.line_scoring import Scored
from charlm.reports import heat_map

from ..waiting import HANGS
from .conftest import SMALL, TEXT, Result

Run = Callable[..., Result]

DIGITS = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
SHOW = re.compile(r'<script>show\(("(?:[^"\\]|\\.)*"),"([A-Za-z0-9+/]*)"\)</script>\n')
CELL = re.compile(r'<i class="b(\d)( e)?" title="([\d.]+)">(.*?)</i>', re.DOTALL)
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = (
    "</script><script>alert(1)</script>\n<!-- <script> --> ]]> <\\/ \\u003c!-- &lt; &amp;\n"
    "\"double\" 'single' `back` ${x} \\ \\\\ \\n\n"
    "a\u2028b\u2029c\u0085d\x00e\x1bf\x7fg\ufeffh\u00a0i\u00adj\ufffek\n"
    '\U0001f600\U0001f600\udcff\n"\udcff\\\udc80",\r\n\n"'
)


class Cell(NamedTuple):
    """A character of the page, or what stands for it, and its bits in hundredths."""

    text: str
    cost: int


def decoded(page: str) -> list[Cell]:
    """Reads the page's calls of show()."""
    cells: list[Cell] = []
    for text, costs in SHOW.findall(page):
        numbers = []
        for number in re.findall("[g-z0-9+/]*[A-Za-f]", costs):
            numbers.append(sum(DIGITS.index(digit) % 32 << 5 * k for k, digit in enumerate(number)))
        cells += itertools.starmap(Cell, zip(json.loads(text), numbers, strict=True))
    return cells


def exact(run: Run, *arguments: object) -> list[float]:
    """Returns the bits of each character, not rounded."""
    rows = run("eval", *arguments, "--by", "char", "--json").out.removesuffix("\n").split("\n")
    return [json.loads(row)["bits"] for row in rows]


def nearest(bits: float) -> float:
    """Returns what the page shows: the whole bits, which give the colour, are never rounded up."""
    return min(bits, math.floor(bits) + 0.99)


def mark(character: str) -> str:
    """Returns what stands for a character."""
    if character in "\n\t\r":
        return {"\n": "\u21b5", "\t": "\u21e5\t", "\r": "\u240d"}[character]
    if character.isprintable():
        return character
    return f"\\x{ord(character) & 0xFF:02x}" if character < "\u0100" or "\udc80" <= character <= "\udcff" else "\ufffd"


def test_the_page_shows_all_of_the_text(run: Run, trained: Path) -> None:
    Path("t.txt").write_text('the quick\n<b>&amp;\t"lazy" dögs\n\nend', encoding="utf-8")
    result = run("eval", "t.txt", "--html", "t.html", "--unknown", "escape")
    assert (result.code, result.out) == (0, "")
    page = Path("t.html").read_text(encoding="utf-8")
    assert page.endswith("</html>\n")
    cells = decoded(page)
    assert "".join(cell.text for cell in cells) == Path("t.txt").read_text(encoding="utf-8")
    bits = exact(run, "t.txt", "--unknown", "escape")
    assert [cell.cost / 100 for cell in cells] == pytest.approx([nearest(b) for b in bits], abs=0.006)
    assert [cell.cost // 100 for cell in cells] == [int(b) for b in bits]
    assert "4 lines" in page
    both = run("eval", "t.txt", "--html", "t.html", "--by", "line", "--unknown", "escape")
    assert len(both.out.splitlines()) == 4
    failed = run("eval", "t.txt", "--html", "new.html", "--unknown", "error")
    assert failed.code == 1
    assert not Path("new.html").exists(), "a page is there when it is whole"


def test_a_page_of_bytes_has_a_cell_a_character(run: Run, corpus: Path) -> None:
    assert run("train", "corpus.txt", "--bytes", *SMALL, "--updates", 2, "--run", "b", "-q").code == 0
    Path("t").write_bytes("dög\n".encode() + b"\xff\n")
    assert run("eval", "b", "t", "--html", "t.html", "-q").code == 0
    cells = decoded(Path("t.html").read_text(encoding="utf-8"))
    assert [cell.text for cell in cells] == ["d", "ö", "g", "\n", "\udcff", "\n"]
    assert cells[1].cost > 1000, "of two bytes"


def test_the_page_is_little_longer_than_the_text(run: Run, trained: Path) -> None:
    text = TEXT * 2 + "".join(f"xyz {line[::-1]}\n" for line in TEXT[:1500].splitlines())
    Path("t.txt").write_text(text, encoding="utf-8")
    assert run("eval", "t.txt", "--html", "t.html", "-q").code == 0
    head = len((heat_map.opening("") + heat_map.closing(0, 0, 0)).encode())
    assert head < 5000
    assert Path("t.html").stat().st_size < head + 3.3 * len(text)


def test_numbers_keep_their_whole_bits_and_have_no_limit() -> None:
    bits = np.array([0.0, 0.004, 0.006, 0.999, 1.0, 1.9949, 1.99999, 2.31, 8.997, 10.23, 10.24, 45.1, 12345.678])
    cells = decoded(heat_map.lines([Scored("abcdefghijkl\n", bits, 0)], False))
    assert [cell.cost for cell in cells] == [0, 0, 1, 99, 100, 199, 199, 231, 899, 1023, 1024, 4510, 1234568]
    assert heat_map.lines([], False) == ""


def test_hostile_text_is_text(run: Run, trained: Path) -> None:
    Path("t.txt").write_bytes(HOSTILE.encode("utf-8", "surrogateescape"))
    assert run("eval", "t.txt", "--html", "t.html", "--unknown", "escape", "-q").code == 0
    page = Path("t.html").read_text(encoding="utf-8")
    assert "".join(cell.text for cell in decoded(page)) == HOSTILE
    scripts = [tag for tag in tags(page) if tag == "script"]
    assert len(scripts) == 1 + len(SHOW.findall(page)) == page.count("</script")
    assert "<!--" not in page
    assert not re.search(r"(src|href|url|import)\b\s*[=(]", page.partition("<ol>")[0]), "the page needs no other file"


def tags(page: str) -> list[str]:
    """Returns the names of the page's elements, in order."""
    found: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.append(tag)  # type: ignore[method-assign]
    parser.feed(page)
    return found


def in_browser(page: Path, profile: Path) -> str:
    """Returns the document, written as HTML, that a browser makes of the page."""
    options = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", "--dump-dom")
    done = subprocess.run([str(BROWSER), *options, page.absolute().as_uri()], capture_output=True, check=True, timeout=HANGS)
    return done.stdout.decode("utf-8")


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_a_browser_shows_the_text(run: Run, trained: Path, tmp_path: Path) -> None:
    text = HOSTILE.replace("e", "\t", 1) + TEXT[:3000]
    Path("t.txt").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert run("eval", "t.txt", "--html", "t.html", "--unknown", "escape", "-q").code == 0
    shown = in_browser(Path("t.html"), tmp_path / "profile")
    bits = exact(run, "t.txt", "--unknown", "escape")
    cells = CELL.findall(shown)
    assert [html.unescape(cell[3]) for cell in cells] == [mark(c) for c in text]
    assert [bool(cell[1]) for cell in cells] == [not c.isprintable() for c in text]
    assert [int(cell[0]) for cell in cells] == [min(9, int(b)) for b in bits]
    assert [float(cell[2]) for cell in cells] == pytest.approx([nearest(b) for b in bits], abs=0.006)
    ends = [0, *(k + 1 for k, c in enumerate(text) if c == "\n"), len(text)]
    means = [sum(bits[a:b]) / (b - a) for a, b in itertools.pairwise(ends)]
    found = [float(mean) for mean in re.findall(r"<b>([\d.]+)</b>", shown)]
    assert found == pytest.approx(means, abs=0.015), "rounded twice"
    assert tags(shown).count("script") == 1, "the calls of show() are gone, the text added none"
