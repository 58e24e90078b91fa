"""charlm guide: the list of pages, a page, a wrong name."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from charlm.cli.guide_command import pages

from .conftest import Result
from .test_shell import terminal

Run = Callable[..., Result]


def test_the_list_has_every_page_with_its_title(run: Run) -> None:
    result = run("guide")
    assert (result.code, result.err) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in result.out.splitlines())
    assert list(lines) == sorted(pages())
    for name, path in pages().items():
        assert path.read_text(encoding="utf-8").startswith(f"# {lines[name]}\n\n"), name
    assert all(len(line) < 80 for line in result.out.splitlines())


@pytest.mark.parametrize("page", pages())
def test_a_pipe_gets_the_page_as_it_is_written(run: Run, page: str) -> None:
    result = run("guide", page)
    assert (result.code, result.err) == (0, "")
    assert result.out == pages()[page].read_text(encoding="utf-8")


def test_a_terminal_gets_a_pager(tmp_path: Path, cold_path: None) -> None:
    (tmp_path / "pager").write_text("#!/bin/sh\necho the pager has:; exec cat\n")
    (tmp_path / "pager").chmod(0o755)
    shown = terminal([sys.executable, "-m", "charlm", "guide", "resets"], tmp_path, PAGER=str(tmp_path / "pager"))
    assert shown.startswith("the pager has:\r\n# When the state is reset\r\n")


@pytest.mark.parametrize(
    ("word", "advice"), [("trucation", "did you mean 'truncation'?"), ("zzz", "charlm guide lists the pages")]
)
def test_a_wrong_name_is_one_line_with_a_way_on(run: Run, word: str, advice: str) -> None:
    result = run("guide", word)
    assert (result.code, result.out) == (2, "")
    assert result.err == f"Error: guide: no page {word!r}; {advice}\n"


def test_names_of_pages_are_completed() -> None:
    environment = {**os.environ, "COMP_WORDS": "charlm guide s", "COMP_CWORD": "2", "_CHARLM_COMPLETE": "bash_complete"}
    program = [sys.executable, "-c", "import sys; sys.argv[0] = 'charlm'; from charlm.cli import main; main()"]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=True)
    assert [line.removeprefix("plain,") for line in done.stdout.split()] == [
        name for name in pages() if name.startswith("s")
    ]


def test_showing_a_page_loads_nothing_heavy() -> None:
    program = (
        "import sys, charlm.cli\n"
        "try: charlm.cli.main(['guide', 'shell'])\n"
        "finally: print({'numpy', 'numba'} & {*sys.modules} or 'light', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr == "light\n"
    assert done.stdout.startswith("# ")
