"""charlm eval --by: a filter from lines to rows."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import SMALL, TEXT, Result

Run = Callable[..., Result]
FOX = "line 5 of a small text: the quick brown fox, 25 lazy dogs.\n"


@pytest.fixture
def trained(run: Run, corpus: Path) -> Path:
    """The corpus's folder, with a run that knows a little of it, line by line."""
    result = run("train", "corpus.txt", *SMALL, "--reset", "line", "--updates", 200, "--lr", 1e-2)
    assert result.code == 0, result.err
    return corpus.parent


def rows(out: str) -> list[list[str]]:
    return [line.split("\t") for line in out.splitlines()]


def test_rows_add_up_to_what_eval_says(run: Run, trained: Path) -> None:
    whole = json.loads(run("eval", "runs/corpus", "corpus.txt", "--json").out)
    result = run("eval", "runs/corpus", "corpus.txt", "--by", "line")
    found = rows(result.out)
    assert [line for _, _, line in found] == TEXT.splitlines()
    assert [int(chars) for _, chars, _ in found] == [len(line) + 1 for line in TEXT.splitlines()]
    bits = sum(float(bits) for bits, _, _ in found)
    assert bits / whole["chars"] == pytest.approx(whole["bits_per_char"], rel=1e-4)
    assert f"{len(found)} lines, {whole['chars']:,} characters, {whole['bits_per_char']:.4f} bits/char" in result.err
    by_char = rows(run("eval", "runs/corpus", "corpus.txt", "--by", "char").out)
    assert "".join(char for _, char in by_char) == TEXT.replace("\n", "\\n")
    assert sum(float(bits) for bits, _ in by_char) == pytest.approx(bits, rel=1e-3)
    carried = rows(run("eval", "runs/corpus", "corpus.txt", "--by", "line", "--reset", "never").out)
    assert [line for _, _, line in carried] == TEXT.splitlines()
    assert carried != found


def test_the_strangest_line_is_the_odd_one_out(run: Run, trained: Path) -> None:
    Path("t.txt").write_text(TEXT + "xzzq,.xzk\n" + TEXT[:-1])
    found = rows(run("eval", "runs/corpus", "t.txt", "--by", "line").out)
    assert len(found) == 301
    assert max(found, key=lambda row: float(row[0]) / int(row[1]))[2] == "xzzq,.xzk"
    assert int(found[-1][1]) == len(found[-1][2]), "the last line has no end"


def test_unknown_characters(run: Run, trained: Path, warm: Path) -> None:
    Path("t.txt").write_bytes(FOX.encode() + "dög\n".encode() + b"\xff\n")
    refused = run("eval", "runs/corpus", "t.txt", "--by", "line", "--unknown", "error")
    assert refused.code == 1
    assert "line 2: 'ö' (U+00F6) at position 1" in refused.err
    assert [line for _, _, line in rows(refused.out)] == [FOX[:-1]], "what came before is not lost"
    Path("b.txt").write_bytes(FOX.encode() + b"\xff\n")
    assert "line 2: not UTF-8" in run("eval", "runs/corpus", "b.txt", "--by", "line", "--unknown", "error").err
    escaped = subprocess.run(
        [warm / "charlm", "eval", "runs/corpus", "t.txt", "--by", "line"],
        capture_output=True,
        check=True,
    )
    lines = escaped.stdout.splitlines()
    assert len(lines) == 3
    assert lines[1].endswith("\tdög".encode())
    assert lines[2].endswith(b"\t2\t\xff"), "bytes come out as they went in"
    assert b"2 unknown" in escaped.stderr
    assert float(lines[1].split(b"\t")[0]) > 36


def test_a_row_comes_as_soon_as_its_line(trained: Path, warm: Path) -> None:
    command = [str(warm / "charlm"), "eval", "runs/corpus", "-", "--by", "line", "--json", "-q"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for i in range(3):
            process.stdin.write(f"line {i}\n")
            process.stdin.flush()
            row = json.loads(process.stdout.readline())  # would wait for ever if the row waited for more lines
            assert (row["chars"], row["line"]) == (7, f"line {i}")
        process.stdin.close()
        assert process.stdout.read() == ""
    assert process.returncode == 0


def test_a_quality_gate(run: Run, trained: Path) -> None:
    for more in ((), ("--by", "line", "-q")):
        assert run("eval", "runs/corpus", "corpus.txt", *more, "--fail-above", 7.9).code == 0
        failed = run("eval", "runs/corpus", "corpus.txt", *more, "--fail-above", 0.01)
        assert failed.code == 3
        assert "bits/char exceed --fail-above 0.01" in failed.err
        assert failed.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--by", "line"), "name the text"),
        (("corpus.txt", "--k1", "4"), "--k1 belongs to --dynamic"),
        (("corpus.txt", "--by", "line", "--dynamic"), "--dynamic belongs to whole texts"),
        (("corpus.txt", "--dynamic", "--unknown", "escape"), "cannot learn characters that the model does not know"),
        (("corpus.txt", "--compare", "zip"), "choose from xz, bzip2, gzip"),
        (("--html", "x.html"), "--html: name the text"),
        (("corpus.txt", "--reset", "line"), "--reset belongs to --by or --html"),
        (("corpus.txt", "--fail-above", "0"), "fail-above"),
    ],
)
def test_wrong_usage(run: Run, trained: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run("eval", "runs/corpus", *arguments)
    assert result.code == 2
    assert message in result.err


def test_bytes(run: Run, corpus: Path) -> None:
    assert run("train", "corpus.txt", "--bytes", *SMALL, "--updates", 2, "--run", "b").code == 0
    Path("raw").write_bytes(b"\x00\xffa\n")
    found = rows(run("eval", "b", "raw", "--by", "char").out)
    assert [char for _, char in found] == ["\\x00", "\\xff", "\\x61", "\\x0a"]
