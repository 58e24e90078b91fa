"""charlm as shell scripts use it: in a real bash, with a terminal and without.

The installed command runs one script from beginning to end; elsewhere it is the warm one.
"""

import fcntl
import json
import os
import pty
import re
import select
import shlex
import shutil
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from ..waiting import HANGS
from .conftest import TEXT

TRAIN = (
    "charlm train corpus.txt --direct-order 0 --hidden 16 --layers 1 --dropout 0 --k1 8 --streams 6 --updates 60 --lr 1e-2"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, warm_path: None) -> Path:
    """A directory with corpus.txt and a run of it that reads line by line."""
    path = tmp_path_factory.mktemp("shell")
    (path / "corpus.txt").write_text(TEXT, encoding="utf-8")
    assert bash(f"{TRAIN} --reset line --quiet", path).returncode == 0
    return path


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "TERM": "xterm-256color", **more}


def bash(script: str, folder: Path, **more: str) -> "subprocess.CompletedProcess[str]":
    """A script without a terminal."""
    return subprocess.run(
        ["bash", "-uo", "pipefail", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=environment(**more),
        timeout=HANGS,
        stdin=subprocess.DEVNULL,
    )


def terminal(command: list[str], folder: Path, keys: Sequence[tuple[str, str]] = (), **more: str) -> str:
    """What a terminal shows of a command; keys: what is waited for on it since the last ones, and what is typed then."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with subprocess.Popen(
        command,
        cwd=folder,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment(**more),
        start_new_session=True,
    ) as process:
        os.close(follower)
        try:
            shown = _shown(leader, process, list(keys))
        except BaseException:
            process.kill()
            raise
    os.close(leader)
    return shown.decode("utf-8", "replace")


def _shown(leader: int, process: "subprocess.Popen[bytes]", keys: list[tuple[str, str]]) -> bytes:
    """Reads to the end what comes to the terminal, and types."""
    shown, seen, deadline = b"", 0, time.monotonic() + HANGS
    while time.monotonic() < deadline:
        if keys and keys[0][0] in without_controls(shown[seen:].decode("utf-8", "replace")):
            seen = len(shown)
            os.write(leader, keys.pop(0)[1].encode())
        if select.select([leader], [], [], 0.05)[0]:
            try:
                shown += os.read(leader, 65536)
            except OSError:  # the other end is closed
                return shown
        elif process.poll() is not None:
            return shown
    raise AssertionError(f"it hangs after {shown!r}, before {keys}")


def without_controls(shown: str) -> str:
    """The text that is left on a terminal where words are completed."""
    return re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]|.\x08", "", shown)


def test_a_script_from_corpus_to_gate(folder: Path, cold_path: None) -> None:
    """Results on stdout, notes on stderr, exit codes to branch on."""
    done = bash(
        f"""
        set -e
        best=$({TRAIN} --run runs/s --json | grep -o '"best_val_bits": [0-9.]*' | cut -d' ' -f2)
        [ -n "$best" ]
        export CHARLM_RUN=runs/s
        charlm sample -n 40 --seed 1 > one.txt
        charlm sample -n 40 --seed 1 | cmp - one.txt
        if charlm eval corpus.txt --quiet --fail-above 0.01 > /dev/null 2> gate.txt; then exit 9; else [ $? -eq 3 ]; fi
        grep -q 'fail-above' gate.txt
        charlm eval corpus.txt --fail-above 7.9 --quiet > /dev/null
        charlm eval - --fail-above 7.9 --quiet < corpus.txt > /dev/null
        """,
        folder,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_exit_codes(folder: Path) -> None:
    for script, code in (
        ("charlm --help", 0),
        ("charlm --version", 0),
        ("charlm", 2),
        ("charlm nonsense", 2),
        ("charlm eval nowhere", 1),
        ("charlm sample --top-p 0", 2),
        (f"{TRAIN}", 1),
        (f"{TRAIN} --force --quiet", 0),
        ("charlm sample -n 99999 | head -c 5", 141),
        ("charlm info --no-such", 2),
        ("charlm completion tcsh", 2),
        ("charlm export out.txt", 2),
    ):
        done = bash(script, folder)
        assert done.returncode == code, (script, done.returncode, done.stderr)
        assert "Traceback" not in done.stderr, script
        if code in (1, 2) and script != "charlm":
            assert "Error: " in done.stderr, script
            assert done.stdout == ""


@pytest.mark.parametrize(
    "script",
    [
        "charlm sample runs/corpus -n 100000 --seed 1 | head -c 10",
        "charlm eval runs/corpus corpus.txt --by char | head -1",
        "yes 'line of text' | charlm eval runs/corpus - --by line | head -2",
        "charlm sample runs/corpus --count 9999 | head -1",
        "charlm info | head -1",
        "charlm train --help | head -1",
    ],
)
def test_closed_pipes_are_silent(script: str, folder: Path) -> None:
    done = bash(script, folder)
    assert done.stdout
    assert "rror" not in done.stderr
    assert "Traceback" not in done.stderr


def test_quiet_is_quiet(folder: Path) -> None:
    for script in (
        f"{TRAIN} --force -q --run runs/q",
        "charlm sample runs/q -q -n 5",
        "charlm eval runs/q -q",
        "charlm eval runs/q corpus.txt --by line -q",
        "charlm eval runs/q corpus.txt --html x.html -q",
        "charlm lags runs/q corpus.txt -q -n 50",
    ):
        done = bash(script, folder)
        assert (done.returncode, done.stderr) == (0, ""), script


def test_json_everywhere(folder: Path) -> None:
    """One object a line, with keys that scripts can rely on."""
    done = bash(f"{TRAIN} --run runs/j --json -q --force", folder)
    assert {"updates", "best_val_bits", "run", "chars_per_second"} <= json.loads(done.stdout).keys()
    for command, keys in {
        "sample runs/j -n 9 --json": {"text", "prime", "ended", "log_probability", "log_probabilities"},
        "sample runs/j -n 9 --beam 2 --json": {"text", "log_probability"},
        "eval runs/j --json": {
            "chars",
            "nats_per_char",
            "bits_per_char",
            "bits_per_byte",
            "perplexity",
            "accuracy",
            "unknown",
        },
        "eval runs/j --json --dynamic --compare xz,gzip": {"bits_per_char", "dynamic", "compare"},
        "eval runs/j corpus.txt --by line --json": {"bits", "chars", "line"},
        "eval runs/j corpus.txt --by char --json": {"bits", "char"},
        "lags runs/j corpus.txt -n 40 --json": {"phi", "recommended_k2"},
        "info runs/j --json": {"config", "vocabulary", "progress", "parameters"},
        "plot runs/j --json": {"run", "train", "validation"},
        "plot runs/j --samples --json": {"run", "updates", "bits_per_char", "sample"},
        "bench --quick --seconds 0.01 --rows 'lstm 128 x 1' --json": {"work", "chars_per_second"},
        "export runs/j m.safetensors --json": {"file", "format", "bytes", "parameters"},
        "export runs/j m.onnx --json": {"file", "format"},
        "import m.safetensors --run runs/back --force --json": {"run", "cell", "vocabulary"},
    }.items():
        done = bash(f"charlm {command}", folder)
        assert done.returncode == 0, (command, done.stderr)
        for line in done.stdout.splitlines():
            assert keys <= json.loads(line).keys(), command


def test_options_from_a_file_and_the_environment(folder: Path) -> None:
    """The command line wins over the environment, that over the file, that over what is built in."""
    (folder / "charlm.toml").write_text(
        "[train]\nhidden = 12\nlayers = 1\nk1 = 8\nupdates = 2\nlayer-norm = true\nquiet = true\n"
        "[sample]\nlength = 7\nseed = 3\n"
    )
    train = "charlm train corpus.txt --config charlm.toml --run runs/c --force"
    for more, hidden in (("", 12), (" --hidden 20", 20)):
        done = bash(f"{train}{more}", folder)
        assert (done.returncode, done.stderr) == (0, "")
        model = json.loads((folder / "runs/c/config.json").read_text())["model"]
        assert (model["hidden"], model["layers"], model["layer_norm"]) == (hidden, 1, True)
    assert bash(train, folder, CHARLM_TRAIN_HIDDEN="16").returncode == 0
    assert json.loads((folder / "runs/c/config.json").read_text())["model"]["hidden"] == 16
    assert len(bash("charlm sample runs/c --config charlm.toml", folder).stdout.strip("\n")) <= 7
    first = bash("charlm sample runs/c", folder, CHARLM_SAMPLE_CONFIG="charlm.toml").stdout
    assert first == bash("charlm sample runs/c -n 7 --seed 3", folder).stdout
    for content, message in (
        ("[train]\nhiden = 3", "has no option 'hiden'; did you mean 'hidden'?"),
        ("[trian]\nk1 = 3", "did you mean 'train'?"),
        ("hidden = 3", "hidden stands outside a table: put it below [train]"),
        ("[train", "charlm.toml"),
        ('[train]\nhidden = "many"', "'many'"),
    ):
        (folder / "charlm.toml").write_text(content)
        done = bash(train, folder)
        assert (done.returncode, done.stdout) == (2, ""), content
        assert message in done.stderr
    assert bash("charlm info --config nowhere.toml", folder).returncode == 2


def test_a_terminal_gets_text_as_it_is_drawn_and_no_colours_unasked(folder: Path) -> None:
    shown = terminal(["charlm", "sample", "runs/corpus", "-n", "50", "--seed", "1"], folder)
    assert shown.replace("\r\n", "\n").rstrip("\n") in bash("charlm sample runs/corpus -n 50 --seed 1", folder).stdout
    colour = "\x1b[38"
    assert colour in terminal(["charlm", "plot", "runs/corpus"], folder)
    assert colour not in terminal(["charlm", "plot", "runs/corpus"], folder, NO_COLOR="1")
    assert colour not in bash("charlm plot runs/corpus", folder).stdout
    assert colour not in terminal(["charlm", "train", "corpus.txt", "--updates", "30", "--run", "runs/t", "--force"], folder)


def test_bars_come_after_a_while_on_a_terminal_only(folder: Path) -> None:
    """Reading and evaluating say how far they are, where that takes long."""

    def patient(seconds: float, *arguments: str) -> list[str]:
        code = "import charlm.cli.progress as p, charlm.cli as c; p._PATIENCE_SECONDS = p._PLAIN_SECONDS = {}; c.main()"
        return ["python", "-c", code.format(seconds), *arguments]

    evaluate = ("eval", "runs/corpus", "corpus.txt", "--threads", "1")
    shown = terminal(patient(0, *evaluate), folder)
    assert "evaluating:" in shown
    assert "bits/char" in shown
    assert "evaluating" not in terminal(patient(1e9, *evaluate), folder)
    assert "evaluating" not in terminal(patient(0, *evaluate, "--quiet"), folder)
    assert "evaluating" not in bash(shlex.join(patient(1e9, *evaluate)), folder).stderr
    lines = bash(shlex.join(patient(-1, *evaluate)), folder).stderr.splitlines()
    assert re.fullmatch(r"evaluating: \d+ %", lines[-1])
    (folder / "new.txt").write_text(TEXT, encoding="utf-8")
    train = ("train", "new.txt", "--updates", "0", "--hidden", "8", "--run", "runs/new")
    assert "reading:" in terminal(patient(0, *train), folder)


def complete_in_bash(line: str, folder: Path) -> list[str]:
    script = f"""
        source <(charlm completion bash)
        COMP_WORDS=({line}) ; [ "{line[-1:]}" = " " ] && COMP_WORDS+=("")
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _charlm_completion charlm
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = bash(script, folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_completion_in_bash(folder: Path) -> None:
    assert complete_in_bash("charlm tr", folder) == ["train"]
    assert set(complete_in_bash("charlm train --trunc", folder)) == {"--truncation"}
    assert set(complete_in_bash("charlm train --cell ", folder)) == {"rnn", "lstm", "gru", "mlstm", "indrnn", "mingru"}
    assert "runs/corpus" in complete_in_bash("charlm sample runs/", folder)
    assert (
        bash("charlm export runs/corpus m.safetensors && charlm import m.safetensors --run runs/imported", folder).returncode
        == 0
    )
    for command in ("sample", "eval", "plot"):
        assert {"runs/corpus", "runs/imported"} <= set(complete_in_bash(f"charlm {command} runs/", folder))
    for command in ("train", "sample", "eval", "plot", "lags", "export", "import", "info", "bench", "completion", "guide"):
        assert command in complete_in_bash("charlm ", folder)


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_completion_in_zsh(folder: Path) -> None:
    """As a person sees it: a Tab in an interactive shell completes the word."""
    (folder / "zrc").write_text(
        "autoload -Uz compinit; compinit -u -d zdump\nsource <(charlm completion zsh)\nPS1='ready: '\n"
    )
    typed = [
        ("", "source zrc\n"),
        ("ready: ", "charlm sam\t"),
        ("charlm sample ", "runs/corp\t"),
        ("runs/corpus", "-n 3 --seed 1; exit\n"),
    ]
    shown = without_controls(terminal(["zsh", "-f", "-i"], folder, typed))
    assert "charlm sample" in shown
    assert "runs/corpus" in shown
    assert bash("charlm sample runs/corpus -n 3 --seed 1", folder).stdout.strip() in shown.replace("\r", "")


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_completion_in_fish(folder: Path) -> None:
    script = "charlm completion fish | source; complete -C 'charlm tr'; complete -C 'charlm train --cell '"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env=environment(HOME=str(folder)),
    )
    words = {line.split("\t")[0] for line in done.stdout.splitlines()}
    assert {"train", "rnn", "lstm", "gru"} <= words
