"""That kernels are being compiled is seen: by a clock on a terminal, by lines elsewhere."""

import io
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlm.cli import progress
from charlm.kernels import jit

from ..waiting import HANGS, wait_until


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "on_compile", [])
    monkeypatch.setattr(jit, "on_compiled", [])


def double(x: Any) -> Any:
    x[0] *= 2.0


def test_listeners_hear_of_kernels_that_are_compiled_not_of_those_that_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path))
    heard: list[str] = []
    jit.on_compile.append(lambda name: heard.append(f"{name} begins"))
    jit.on_compiled.append(lambda name: heard.append(f"{name} ends"))
    for _ in range(2):
        jit.kernel(double)(np.ones(1))
        assert heard == ["double begins", "double ends"]


class Slow(progress._Clock):
    """A clock beside something that takes a while."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        wait_until(lambda: self._told)


def test_a_pipe_gets_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "_QUICK_SECONDS", 0.001)
    monkeypatch.setattr(progress, "_Clock", Slow)
    progress.announce_compilation(quiet=False)
    for kernel in ("train", "score"):
        jit.on_compile[0](kernel)
        jit.on_compiled[0](kernel)
    first, *others = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"compiling kernels for this machine, once \(\d+ to \d+ seconds for training\)", first)
    assert [re.sub(r"[\d.]+", "N", line) for line in others] == ["compiling train: took N s", "compiling score: took N s"]
    progress.announce_compilation(quiet=True)
    jit.on_compile[0]("train")
    jit.on_compiled[0]("train")
    assert capsys.readouterr().err == ""


def test_what_is_over_at_once_is_not_worth_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_QUICK_SECONDS", HANGS)
    progress.announce_compilation(quiet=False)
    jit.on_compile[0]("score")
    jit.on_compiled[0]("score")
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(progress, "is_terminal", lambda: True)
    monkeypatch.setattr(progress, "_QUICK_SECONDS", 0.001)
    monkeypatch.setattr(progress, "_TICK_SECONDS", 0.001)
    monkeypatch.setattr(sys, "stderr", shown)
    progress.announce_compilation(quiet=False)
    jit.on_compile[0]("train")
    wait_until(lambda: len(re.findall(r"\rcompiling train: \d+ s", shown.getvalue())) >= 3)
    jit.on_compiled[0]("train")
    *_, blank, last = shown.getvalue().split("\r")
    assert (blank.strip(), last.startswith("compiling train: took ")) == ("", True)
