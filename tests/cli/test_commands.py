"""The commands as a user runs them, good input and bad."""

import contextlib
import fcntl
import json
import math
import os
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest

from charlm.cli.command import Command
from charlm.nn.parameters import Parameters
from charlm.training.defaults import fit_dropout
from charlm.training.validator import Validator

from ..clock import make_updates_take
from ..divergence import inject_divergence
from ..waiting import HANGS
from .conftest import SMALL, TEXT, Result

Run = Callable[..., Result]


def train(run: Run, *more: object) -> Result:
    return run("train", "corpus.txt", *SMALL, *more)


def test_from_text_to_sample(run: Run, corpus: Path) -> None:
    result = train(run, "--updates", 300, "--k2", 16, "--json")
    assert result.code == 0, result.err
    summary = json.loads(result.out)
    assert set(summary) == {
        "updates",
        "epochs",
        "seconds",
        "chars_per_second",
        "train_nats",
        "val_nats",
        "best_val_nats",
        "best_val_bits",
        "run",
        "window_bytes",
    }
    assert summary["updates"] == 300
    assert summary["best_val_nats"] < 2.0
    assert summary["best_val_bits"] == pytest.approx(summary["best_val_nats"] / math.log(2))
    assert "newest(k1=8, k2=16): every loss reaches 9 to 16 steps back" in result.err
    assert "backward 2x" in result.err
    n, cut = len(TEXT), int(len(TEXT) * 0.9)
    assert f"training on 0 to {cut:,}, validation on {cut:,} to {n:,}" in result.err
    assert {p.name for p in Path("runs/corpus").iterdir()} == {"last.npz", "best.npz", "metrics.jsonl", "config.json"}

    result = run("eval", "--json")
    assert result.code == 0, result.err
    scored = json.loads(result.out)
    assert scored["chars"] == n - cut  # the first of them is predicted from a line's end
    assert scored["nats_per_char"] == pytest.approx(summary["best_val_nats"], abs=1e-3)
    assert scored["bits_per_char"] == pytest.approx(scored["nats_per_char"] / math.log(2))
    assert scored["perplexity"] == pytest.approx(math.exp(scored["nats_per_char"]))
    assert scored["bits_per_byte"] == pytest.approx(scored["bits_per_char"])
    assert "nats/char" in run("eval", "runs/corpus", "corpus.txt").out

    result = run("sample", "-n", 100, "--prime", "line ", "--seed", 3)
    assert result.code == 0, result.err
    assert result.out.startswith("line ")
    assert len(result.out.rstrip("\n")) in (104, 105)
    assert run("sample", "-n", 100, "--prime", "line ", "--seed", 3).out == result.out
    assert run("sample", "-n", 100, "--prime", "line ", "--seed", 4).out != result.out

    result = run("info", "--json")
    label = json.loads(result.out)
    assert label["vocabulary"] == sorted(set(TEXT))
    assert label["progress"]["updates"] == 300
    assert "newest(k1=8, k2=16)" in run("info", "runs/corpus").out


def test_random_cuts_train(run: Run, corpus: Path) -> None:
    options = ("--hidden", 24, "--layers", 1, "--streams", 6, "--truncation", "artbp", "--mean-length", 6)
    result = run("train", "corpus.txt", *options, "--updates", 300, "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["best_val_nats"] < 2.2
    assert "artbp(mean length 6, tail 6): cuts at random" in result.err
    assert "which biases" not in result.err
    assert "artbp(mean length 6, tail 6)" in run("info").out
    summary = json.loads(result.out)
    assert summary["mean_length"] == pytest.approx(6, abs=4 * 6 / np.sqrt(300))
    assert summary["longest"] > 15
    assert summary["largest_weight"] > (1 + (summary["longest"] - 1) / 24) ** 4
    logged = [json.loads(line) for line in Path("runs/corpus/metrics.jsonl").read_text().splitlines()]
    assert all(2 < line["mean_length"] < line["longest"] <= summary["longest"] for line in logged if "train_nats" in line)
    result = run("train", "corpus.txt", *options, "--max-length", 9, "--updates", 2, "--force")
    assert "capped at 9, which biases" in result.err


def test_adaptive_k2_follows_what_is_measured(run: Run, corpus: Path) -> None:
    """A wide tolerance gives a smaller k2 than a narrow one; the choice is said and written down."""
    chosen = {}
    for tolerance in (0.5, 0.01):
        result = train(
            run, "--truncation", "adaptive", "--bias-tolerance", tolerance, "--max-k2", 120, "--updates", 260, "--force"
        )
        assert result.code == 0, result.err
        lines = [json.loads(line) for line in Path("runs/corpus/metrics.jsonl").read_text().splitlines()]
        measured = [line for line in lines if "k2" in line]
        assert len(measured) >= 1
        assert all(1 <= line["k2"] <= 120 for line in measured)
        before = [8, *(line["k2"] for line in measured)]
        changes = sum(a != b for a, b in zip(before, before[1:], strict=False))
        assert result.err.count(" instead of ") == changes
        assert len(re.findall(r"update [\d,]+: k2 \d+ instead of \d+, ", result.err)) == changes
        assert all(line["error_rate"] > 0 for line in measured)
        chosen[tolerance] = measured[-1]["k2"]
    assert chosen[0.5] < chosen[0.01]


def test_a_long_block_in_bounded_memory(run: Run, corpus: Path) -> None:
    """The same training within rounding, announced with a smaller window."""
    options = (
        "--hidden",
        64,
        "--layers",
        2,
        "--dropout",
        0,
        "--streams",
        4,
        "--k1",
        600,
        "--updates",
        6,
        "--force",
        "--json",
    )
    whole = run("train", "corpus.txt", *options)
    pieces = run("train", "corpus.txt", *options, "--memory", 4)
    windows = [float(re.search(r"window ([\d.]+) MiB", r.err)[1]) for r in (whole, pieces)]  # type: ignore[index]
    assert windows[1] < 4e6 / 2**20 < windows[0]
    nats = [json.loads(r.out)["train_nats"] for r in (whole, pieces)]
    assert nats[1] == pytest.approx(nats[0], rel=1e-4)


def test_lags(run: Run, corpus: Path) -> None:
    train(run, "--updates", 100)
    result = run("lags", "runs/corpus", "corpus.txt", "-n", 60, "--losses", 40, "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert found["lags"] == len(found["phi"]) == len(found["layers"]["h1"]["mean"]) == 60
    assert found["losses"] == 40
    assert set(found["layers"]) == {"h1", "c1"}
    assert all(a <= b for a, b in zip(found["layers"]["h1"]["q10"], found["layers"]["h1"]["q90"], strict=True))
    assert found["phi"][0] > found["phi"][-1] >= 0
    assert found["vanishes"] == (found["rate"] < 1)
    assert len(found["relative_bias"]) == 61
    k2 = found["recommended_k2"]
    assert found["relative_bias"][k2] <= 0.1
    assert found["relative_bias"][k2 - 1] is None or found["relative_bias"][k2 - 1] > 0.1
    text = run("lags").out
    assert "norm of d loss / d state by lag" in text
    assert re.search(r"gradients vanish: .* k2 = \d+ keeps the relative bias of k1 = 8 within 0.1", text)


def test_lags_are_drawn(run: Run, corpus: Path) -> None:
    train(run, "--updates", 20)
    for name in ("lags.svg", "lags.png"):
        assert run("lags", "-o", name).code == 0
        assert Path(name).stat().st_size > 5000
    result = run("lags", "-o", "lags.txt")
    assert result.code == 2
    assert "ends in .svg or .png" in result.err


def initialise_also(monkeypatch: pytest.MonkeyPatch, change: Callable[[Parameters], None]) -> None:
    """Changes the initial values of every network from now on."""
    initialise = Parameters.initialise

    def changed(parameters: Parameters, seed: int) -> None:
        initialise(parameters, seed)
        change(parameters)

    monkeypatch.setattr(Parameters, "initialise", changed)


def test_metrics_watch_gradients_and_gates(run: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients that do not come down to the first layer: it is said once, and each line has the norms."""

    def cut(parameters: Parameters) -> None:
        parameters.weights.w_ih[0] = 0  # what the second layer hears of the first: no error comes back through it

    monkeypatch.setattr("charlm.training.metrics_log._LOG_CHARS", 2000)
    with monkeypatch.context() as patch:
        initialise_also(patch, cut)
        options = ("--cell", "rnn", "--layers", 3, "--hidden", 16, "--k1", 8, "--streams", 6, "--updates", 130, "--lr", 0)
        result = run("train", "corpus.txt", *options)
    assert result.code == 0, result.err
    assert len(re.findall(r"update \d+: gradients vanish on their way to layer 1: norm 0, .*--residual", result.err)) == 1
    lines = [json.loads(line) for line in Path("runs/corpus/metrics.jsonl").read_text().splitlines()]
    lines = [line for line in lines if "gradient_norms" in line]
    assert len(lines) >= 3
    for line in lines:
        squares = sum(norm**2 for norm in line["gradient_norms"].values())
        assert squares == pytest.approx(line["gradient_norm"] ** 2, rel=1e-4)
        assert line["gradient_norms"]["layer1"] == 0 < line["gradient_norms"]["layer2"]
        assert 0 <= line["clipped"] <= 1
        assert len(line["saturated"]) == 3
    relu = ("--cell", "rnn", "--activation", "relu", "--hidden", 16, "--updates", 60, "--lr", 0, "--force")
    result = run("train", "corpus.txt", *relu)
    assert result.code == 0, result.err


def test_a_loss_above_that_of_guessing_is_said_once(run: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sure(parameters: Parameters) -> None:
        parameters.weights.out_b[0, 0] = 100  # of the first character, which costs 100 nats wherever another one comes

    monkeypatch.setattr("charlm.training.metrics_log._LOG_CHARS", 2000)
    initialise_also(monkeypatch, sure)
    wild = run("train", "corpus.txt", "--hidden", 16, "--lr", 0, "--updates", 60, "--force")
    assert wild.code == 0, wild.err
    assert wild.err.count("training diverges: the loss is ") == 1


def test_evaluation_over_streams_is_that_in_order(run: Run, corpus: Path) -> None:
    train(run, "--updates", 40, "--val-fraction", 0)
    one = json.loads(run("eval", "runs/corpus", "corpus.txt", "--json").out)
    many = json.loads(run("eval", "runs/corpus", "corpus.txt", "--json", "--streams", 7, "--threads", 2).out)
    assert many["chars"] == one["chars"] == len(TEXT)
    assert many["nats_per_char"] == pytest.approx(one["nats_per_char"], abs=1e-6)
    assert many["accuracy"] == one["accuracy"]


def test_bytes_standard_input_and_several_files(run: Run, corpus: Path, warm: Path) -> None:
    Path("raw.bin").write_bytes(bytes(range(256)) * 8)
    result = run("train", "corpus.txt", "raw.bin", "--bytes", *SMALL, "--updates", 5, "--run", "b")
    assert result.code == 0, result.err
    assert json.loads(run("info", "b", "--json").out)["vocabulary"] == "bytes"
    assert len(run("sample", "b", "-n", 20, "--prime", "é").out) >= 2
    with subprocess.Popen(
        [warm / "charlm", "train", "-", "--updates", "3", *map(str, SMALL)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        out, err = process.communicate(TEXT)
    assert process.returncode == 0, err
    assert "runs/stdin" in out
    os.mkfifo("pipe")
    with subprocess.Popen(["cp", "corpus.txt", "pipe"]):
        result = run("eval", "runs/stdin", "pipe")
    assert f"{len(TEXT):,} characters" in result.out


def test_updates_zero_only_initialises(run: Run, corpus: Path) -> None:
    assert train(run, "--updates", 0, "--val-fraction", 0).code == 0
    with np.load("runs/corpus/last.npz", allow_pickle=False) as file:
        assert file["param/rnn.weight_ih_l0"].shape == (4 * 24, len(set(TEXT)))
        assert file["param/rnn.weight_hh_l0"].shape == (4 * 24, 24)
        assert file["param/out.weight"].shape == (len(set(TEXT)), 24)
        assert (file["param/rnn.bias_ih_l0"][24:48] == 1).all()
    assert run("sample", "-n", 5, "--seed", 1).code == 0


@pytest.mark.parametrize(("cell", "gate", "usual"), [("lstm", 1, 1), ("gru", 1, 0)])
def test_forget_bias(run: Run, corpus: Path, cell: str, gate: int, usual: int) -> None:
    for more, expected in (((), usual), (("--forget-bias", 2.5), 2.5)):
        train(run, "--cell", cell, "--updates", 0, "--force", *more)
        with np.load("runs/corpus/last.npz") as file:
            biases = file["param/rnn.bias_ih_l0"].reshape(-1, 24)
        assert (biases[gate] == expected).all()
        assert not np.delete(biases, gate, axis=0).any()
    assert "forget bias 2.5" in run("info").out


def test_parameters_are_counted_in_one_way(run: Run, corpus: Path) -> None:
    """Averages of batch norm's statistics are no parameters, neither of a run nor of a file."""
    result = run("train", "corpus.txt", *SMALL, "--norm", "batch", "--updates", 1, "--run", "runs/normed")
    count = json.loads(run("info", "runs/normed", "--json").out)["parameters"]
    assert f" {count:,} parameters; " in result.err


def test_init_from_takes_over_parameters(run: Run, corpus: Path) -> None:
    train(run, "--updates", 300)
    Path("more.txt").write_text(TEXT + "éü", encoding="utf-8")
    options = (*SMALL, "--updates", 0, "--val-fraction", 0, "--seed", 5)
    assert run("train", "more.txt", *options, "--init-from", "runs/corpus").code == 0
    loss = json.loads(run("eval", "runs/more", "corpus.txt", "--json").out)["nats_per_char"]
    assert loss < 2.0
    result = run("train", "more.txt", *options, "--hidden", 32, "--init-from", "runs/corpus", "--run", "x")
    assert result.code == 2
    assert "--hidden 32: the model of runs/corpus/best.npz has --hidden 24; leave the option out" in result.err


@pytest.mark.parametrize("schedule", ["constant", "cosine", "plateau"])
def test_schedules_and_patience(run: Run, corpus: Path, schedule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with the third validation in a row that is no better, whatever came before."""
    losses = [3.0, 2.5, 2.6, 2.5, 2.4, 2.4, 2.5, 2.41, 1.0]
    found = iter(losses)
    monkeypatch.setattr(Validator, "_held_out_nats", lambda validator: next(found))
    result = train(
        run,
        "--updates",
        400,
        "--schedule",
        schedule,
        "--warmup",
        10,
        "--lr",
        0.3,
        "--eval-every",
        5,
        "--patience",
        3,
        "--json",
        "--cell",
        "gru",
    )
    assert result.code == 0, result.err
    summary = json.loads(result.out)
    assert summary["updates"] == 5 * 8
    assert summary["best_val_nats"] == 2.4
    lines = [json.loads(line) for line in Path("runs/corpus/metrics.jsonl").read_text().splitlines()]
    assert [line["val_nats"] for line in lines if "val_nats" in line] == losses[:-1]


def test_the_label_on_the_jar(run: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it is, of what, how good and how to use it; an estimate of time comes while training goes on."""
    make_updates_take(monkeypatch, 1 / 512)
    trained = train(run, "--minutes", 0.05, "--json")
    summary = json.loads(trained.out)
    estimate = re.search(
        r"^estimate: ([\d.]+) s, validations included, for ([\d,]+) updates, [\d.]+ epochs, at (\d+)k char/s$",
        trained.err,
        re.MULTILINE,
    )
    assert estimate
    timed = 2 + 102 + 71 + 102  # until half a second is over: a fifth's at a time, 71 to the end of an epoch
    held_out, chars = len(TEXT) - int(len(TEXT) * 0.9), 3.0 * 512 * 48
    assert float(estimate[1]) == round(3.0 * (1 + 20 * held_out / (3 * chars)), 1), "reading is a third of learning"
    assert int(estimate[2].replace(",", "")) == round(3 * 512 * (1 + timed) / timed)
    assert int(estimate[3]) == round(48 * 512 / 1000)
    label = dict(re.split(r"  +", line, maxsplit=1) for line in run("info").out.splitlines())
    assert list(label) == ["contents", "weight", "alphabet", "made from", "made by", "made in", "quality", "serve with"]
    assert label["contents"] == "a character model: lstm, 1 layer of 24"
    assert label["weight"].startswith(f"{json.loads(run('info', '--json').out)['parameters']:,} parameters, ")
    assert label["alphabet"].startswith(f"{len(set(TEXT))} characters ")
    assert label["made from"].startswith("corpus.txt, read ")
    assert "newest(k1=8, k2=8), reset epoch, 6 streams; adamw, lr 0.006" in label["made by"]
    assert label["quality"].startswith(f"{summary['best_val_bits']:.4f} bits/char")
    assert f"guessing takes {math.log2(len(set(TEXT))):.2f}" in label["quality"]
    assert run(*label["serve with"].split()[1:], "-n", 3).code == 0


def test_minutes(run: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training ends with the updates that were begun before the time was over: those of a fifth of a second."""
    make_updates_take(monkeypatch, 1 / 128)
    summary = json.loads(train(run, "--minutes", 0.02, "--json").out)
    timed = 2 + 6 * 25 + 23  # until 1.2 seconds, 153.6 updates, are over: a fifth of one's at a time, 23 to an epoch's end
    assert (summary["updates"], summary["seconds"]) == (1 + timed, timed / 128), "the first one is not timed"


BAD = [
    (("train", "missing.txt"), 1, "missing.txt: no such file"),
    (("train", "."), 1, "is a directory"),
    (("train", "empty.txt"), 1, "is empty"),
    (("train", "one.txt"), 1, "one character long"),
    (("train", "same.txt"), 1, "nothing to learn"),
    (("train", "bad.txt"), 1, "not UTF-8 at byte 5"),
    (("train", "corpus.txt", "--k1", "0"), 2, "--k1 0: must be between 1 and 1,000,000,000"),
    (("train", "corpus.txt", "--k2", "-1"), 2, "--k2 -1: must be between 1 and 1,000,000,000"),
    (
        ("train", "corpus.txt", "--truncation", "artbp", "--mean-length", "0.5"),
        2,
        "0.5: must be between 1 and 1,000,000,000",
    ),
    (
        ("train", "corpus.txt", "--truncation", "artbp", "--tail", "2"),
        2,
        "--tail 2.0: must be between 2 and 1,000,000,000, 2 excluded",
    ),
    (("train", "corpus.txt", "--truncation", "artbp", "--k1", "8"), 2, "give --mean-length, not k1 or k2"),
    (("train", "corpus.txt", "--mean-length", "8"), 2, "--mean-length belongs to --truncation artbp, not newest"),
    (
        ("train", "corpus.txt", "--truncation", "adaptive", "--bias-tolerance", "1"),
        2,
        "0 and 1, 0 and 1 excluded",
    ),
    (("train", "corpus.txt", "-q", "--streams", "1", "--truncation", "adaptive", "--max-k2", "5000"), 1, "too far for a"),
    (("train", "corpus.txt", "--memory", "5", "--k2", "99"), 2, "only a block whose errors stay within it"),
    (("train", "corpus.txt", "-q", "--memory", "1", "--k1", "200", "--hidden", "999"), 1, "takes at least"),
    (("lags", "nowhere"), 1, "no such run"),
    (("train", "corpus.txt", "--dropout", "1"), 2, "dropout"),
    (("train", "corpus.txt", "--lr", "nan"), 2, "lr nan"),
    (("train", "corpus.txt", "--hidden", "0"), 2, "hidden"),
    (("train", "corpus.txt", "--epochs", "2", "--updates", "2"), 2, "one of --epochs, --updates, --minutes"),
    (("train", "corpus.txt", "--clocks", "2,4"), 2, "--clocks 2,4: must be 2 whole numbers from 1 to 10,000"),
    (("train", "corpus.txt", "--norm", "cell", "--layer-norm"), 2, "--norm cell: --layer-norm asks for another norm"),
    (("train", "corpus.txt", "--norm", "batch", "--once"), 2, "--norm batch: statistics of a block know what follows"),
    (("train", "corpus.txt", "--norm", "batch", "--memory", "9"), 2, "--norm batch takes statistics"),
    (("train", "corpus.txt", "--norm", "batch", "--streams", "1", "--k1", "1"), 2, "one step of one stream"),
    (("train", "corpus.txt", "--norm", "batch", "--streams", "1", "--k1", "4", "--clocks", "1,4"), 2, "one step of one"),
    (("train", "corpus.txt", "--norm", "none", "--layer-norm"), 2, "--norm none: --layer-norm asks for another norm"),
    (("train", "corpus.txt", "--activation", "relu"), 2, "activation relu belongs to the rnn and indrnn cells"),
    (
        ("train", "corpus.txt", "--cell", "rnn", "--forget-bias", "2"),
        2,
        "forget-bias belongs to lstm, gru, mlstm and mingru",
    ),
    (("train", "corpus.txt", "--forget-bias", "inf"), 2, "forget-bias inf"),
    (("train", "corpus.txt", "--momentum", "0.9"), 2, "momentum belongs to rmsprop and sgd"),
    (("train", "corpus.txt", "--reset-after", ""), 2, "--reset-after is empty"),
    (("train", "corpus.txt", "--save-every", "soon"), 2, "save-every"),
    (("train", "corpus.txt", "--resume"), 1, "holds no last.npz to resume"),
    (("train", "corpus.txt", "--resume", "--force"), 2, "give one of them"),
    (("train", "-", "-"), 1, "only once"),
    (("train",), 2, "Missing argument"),
    (("trian",), 2, "No such command 'trian'; did you mean 'train'?"),
    (("frobnicate",), 2, "No such command 'frobnicate'"),
    (("train", "corpus.txt", "--hiden", "3"), 2, "'--hidden'"),
    (("sample",), 1, "runs/ holds none"),
    (("sample", "nowhere"), 1, "no such run"),
    (("sample", "corpus.txt"), 1, "not a readable checkpoint"),
    (("sample", "--temperature", "-1", "nowhere"), 2, "temperature"),
    (("eval", "nowhere"), 1, "no such run"),
    (("info", "corpus.txt"), 1, "not a readable checkpoint"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), BAD, ids=lambda a: " ".join(a) if isinstance(a, tuple) else "")
def test_bad_input(run: Run, corpus: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    for name, content in (("empty", b""), ("one", b"x"), ("same", b"xxxxx"), ("bad", b"hello\xff")):
        Path(f"{name}.txt").write_bytes(content)
    result = run(*arguments)
    assert result.code == code, result.err
    assert message in result.err
    assert result.out == ""
    if code == 1:
        assert len(result.err.strip().splitlines()) == 1
        assert result.err.startswith("Error: ")


def test_a_run_that_cannot_fit_is_refused(run: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charlm.system.free_memory", lambda: 4e6)
    result = run("train", "corpus.txt", "--quiet")
    assert result.code == 1
    assert re.fullmatch(r"Error: training would take 0.0 GiB of memory, this machine has 0.0 free: .*\n", result.err)
    assert not Path("runs").exists()


def test_small_corpus_gets_fewer_streams_and_says_so(run: Run, corpus: Path) -> None:
    Path("tiny.txt").write_text("abcabcabcabc")
    result = run("train", "tiny.txt", "--updates", 3, "--hidden", 8)
    assert result.code == 0, result.err
    assert "streams: 1 instead of 32" in result.err
    result = run("train", "tiny.txt", "--updates", 3, "--hidden", 8, "--streams", 500, "--run", "t2", "--val-fraction", 0)
    assert "streams: 11 instead of 500" in result.err


def test_dropout_follows_the_size_of_the_corpus_unless_it_is_asked_for(run: Run, corpus: Path) -> None:
    result = run("train", "corpus.txt", "--updates", 1, "--hidden", 8)
    assert "dropout: 0.4 instead of 0.1, since the corpus is small" in result.err
    assert json.loads(Path("runs/corpus/config.json").read_text())["model"]["dropout"] == 0.4
    result = run("train", "corpus.txt", "--updates", 1, "--hidden", 8, "--dropout", 0.1, "--force")
    assert "dropout" not in result.err
    assert json.loads(Path("runs/corpus/config.json").read_text())["model"]["dropout"] == 0.1
    assert [fit_dropout(0.1, False, n) for n in (499_999, 500_000, 10**7, 10**7 + 1)] == [0.4, 0.1, 0.1, 0.0]
    assert fit_dropout(0.1, True, 10**8) == 0.1


def test_a_run_is_not_overwritten(run: Run, corpus: Path) -> None:
    train(run, "--updates", 2)
    before = Path("runs/corpus/last.npz").read_bytes()
    result = train(run, "--updates", 3)
    assert result.code == 1
    assert "--resume" in result.err
    assert "--force" in result.err
    assert Path("runs/corpus/last.npz").read_bytes() == before
    assert run("train", "missing.txt", "--run", "runs/corpus", "--force").code == 1
    assert train(run, "--updates", 3, "--force", "--init-from", "nowhere").code == 1
    assert Path("runs/corpus/last.npz").read_bytes() == before
    assert train(run, "--updates", 3, "--force").code == 0
    assert Path("runs/corpus/last.npz").read_bytes() != before
    assert run("train", "missing.txt").code == 1
    assert not Path("runs/missing").exists()


def test_unknown_characters_are_named(run: Run, corpus: Path) -> None:
    train(run, "--updates", 2)
    result = run("sample", "--prime", "a€b")
    assert (result.code, "U+20AC" in result.err, "position 1" in result.err) == (1, True, True)
    Path("other.txt").write_text("line é\n", encoding="utf-8")
    result = run("eval", "runs/corpus", "other.txt")
    assert (result.code, "U+00E9" in result.err, "position 5" in result.err) == (1, True, True)


def test_divergence_is_an_error_and_keeps_the_last_checkpoint(
    run: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inject_divergence(monkeypatch, {7: math.inf})
    result = train(run, "--updates", 100, "--save-every", 1)
    assert result.code == 1
    assert "training diverged: the gradient of update 7 is not finite" in result.err
    assert json.loads(run("info", "runs/corpus/last.npz", "--json").out)["progress"]["updates"] == 6
    with np.load("runs/corpus/last.npz") as file:
        assert all(np.isfinite(file[name]).all() for name in file.files if name.startswith("param/"))


def test_sampling_options(run: Run, corpus: Path) -> None:
    train(run, "--updates", 60)
    greedy = run("sample", "-n", 50, "--temperature", 0).out
    assert greedy == run("sample", "-n", 50, "--temperature", 0, "--seed", 9).out
    assert greedy == run("sample", "-n", 50, "--top-k", 1).out
    assert greedy == run("sample", "-n", 50, "--top-p", 1e-9).out
    texts = [
        json.loads(line)["text"] for line in run("sample", "-n", 30, "--count", 5, "--seed", 1, "--json").out.splitlines()
    ]
    assert len(set(texts)) > 1
    assert texts[0] == run("sample", "-n", 30, "--seed", 1).out[:30]
    stopped = run("sample", "--stop", "\n", "--count", 3, "--prime", "line", "--seed", 2).out
    assert all(line.startswith("line") for line in stopped.splitlines())
    assert len(stopped.splitlines()) == 3
    Path("p.txt").write_text("the quick")
    assert run("sample", "--prime-file", "p.txt", "-n", 3).out.startswith("the quick")


NAMES = "".join(f"{a}{b}{c}\n" for i, a in enumerate("ABDEGKLMNRST") for b in ("an", "el", "io") for c in "adeiosz"[i % 3 :])


def test_lines_as_sequences(run: Run, corpus: Path) -> None:
    """Training says which lines truncation cuts; sampling draws a line at a time, new ones where that is asked for."""
    Path("names.txt").write_text(NAMES)
    one = ("train", "names.txt", "--val-fraction", 0, "--run", "names", "--force", *SMALL[:6], "--reset", "line")
    assert "the longest 5 steps; none is cut" in run(*one, "--streams", 1, "--updates", 1, "--k1", 4, "--k2", 8).err
    cut = run(*one, "--streams", 1, "--updates", 1, "--k1", 4, "--k2", 7).err
    assert "truncation cuts" in cut
    assert "--k2 8 cuts none" in cut
    assert "a longer --k1" in run(*one, "--updates", 1, "--k1", 4, "--memory", 9).err
    assert "while k2 is 4" in run(*one, "--updates", 1, "--k1", 4, "--truncation", "adaptive", "--max-k2", 6).err
    assert "on average" in run(*one, "--updates", 1, "--truncation", "artbp", "--mean-length", 5).err
    assert run(*one, "--updates", 150, "--k1", 5, "--k2", 9, "--streams", 4, "--lr", 2e-2, "-q").code == 0
    lines = run("sample", "names", "--count", 300, "--seed", 1).out.splitlines(keepends=True)
    assert len(lines) == 300
    known = set(NAMES.splitlines(keepends=True))
    assert 0.3 < np.mean([line in known for line in lines]) < 1
    assert run("sample", "names", "--count", 3, "--seed", 1).out == "".join(lines[:3])
    new = run("sample", "names", "--count", 40, "--seed", 1, "--unseen").out.splitlines(keepends=True)
    assert len(new) == 40
    assert not set(new) & known
    assert set(new) & set(lines)
    primed = run("sample", "names", "--count", 20, "--prime", "Ta", "--unseen", "--seed", 1).out.splitlines(keepends=True)
    assert all(line.startswith("Ta") and line not in known for line in primed)
    running = run("sample", "names", "-n", 60, "--seed", 1).out
    assert len(running.splitlines()) > 5, "without --count the text runs on"
    assert running.startswith(lines[0])
    few = run("sample", "names", "--count", 2, "--unseen", "-n", 1)
    assert (few.code, few.out) == (1, "")
    assert "only 0 of 200 texts drawn ended within --length 1" in few.err


def test_unseen_needs_an_end_and_the_corpus(run: Run, corpus: Path) -> None:
    train(run, "--updates", 2)
    refused = run("sample", "--unseen")
    assert refused.code == 2
    assert "say where a text ends with --until" in refused.err
    assert run("sample", "--unseen", "--stop", " ", "--count", 3).out
    corpus.write_text("another text")
    gone = run("sample", "--unseen", "--stop", " ")
    assert gone.code == 1
    assert "corpus.txt: not the text that the run was trained on: its contents have changed: --unseen has" in gone.err


def shell(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "charlm", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["train", "--help"], ["nonsense"], ["train", "x", "--k1", "0"]]
)
def test_help_and_usage_errors_load_neither_numpy_nor_numba(arguments: list[str]) -> None:
    code = f"""
import sys
from charlm.cli import main
try:
    main({arguments!r})
except SystemExit:
    pass
print(sorted({{"numpy", "numba", "tqdm"}} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_info_names_the_resets(run: Run, corpus: Path) -> None:
    for more, expected in (
        (("--reset", "block"), "reset block,"),
        (("--reset-every", 1000), "reset every 1,000 characters,"),
        (("--reset-after", "dogs.\n"), r'reset after "dogs.\n",'),
    ):
        train(run, "--updates", 0, "--force", *more)
        assert expected in run("info").out


def test_info_does_not_load_numba(run: Run, corpus: Path) -> None:
    train(run, "--updates", 2)
    code = "import sys\nfrom charlm.cli import main\nmain(['info'])\nprint('numba' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "False"


def test_the_second_process_finds_compiled_kernels(run: Run, corpus: Path) -> None:
    assert train(run, "--updates", 2).code == 0
    result = shell("train", "corpus.txt", *map(str, SMALL), "--updates", "2", "--run", "again")
    assert result.returncode == 0, result.stderr
    assert "compiling" not in result.stderr


def test_every_command_has_help_with_an_example(run: Run) -> None:
    listing = run("--help").out
    for command in ("train", "sample", "eval", "info"):
        assert command in listing
        shown = run(command, "-h")
        assert f"charlm {command}" in shown.out, shown.err


def test_help_has_two_names_whatever_context_comes_first() -> None:
    command = Command("new")
    option = command.get_help_option(click.Context(command))
    assert option is not None
    assert option.opts == ["-h", "--help"]


def test_quiet_is_quiet_and_environment_variables_count(run: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARLM_TRAIN_UPDATES", "2")
    monkeypatch.setenv("CHARLM_TRAIN_HIDDEN", "16")
    result = run("train", "corpus.txt", "--quiet", "--json")
    assert result.err == ""
    assert json.loads(result.out)["updates"] == 2
    monkeypatch.setenv("CHARLM_RUN", "runs/corpus")
    assert json.loads(run("info", "--json").out)["config"]["model"]["hidden"] == 16


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_and_tell_how_to_go_on(corpus: Path, number: int, code: int) -> None:
    without_end = ["--updates", "1000000000", "--eval-every", "50"]
    with subprocess.Popen(
        [sys.executable, "-m", "charlm", "train", "corpus.txt", *map(str, SMALL), *without_end],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert any(line.startswith("update 50, ") for line in process.stderr), "it is trained"
        process.send_signal(number)
        out, err = process.communicate(timeout=HANGS)
    assert process.returncode == code, err
    assert "--resume" in err
    with np.load("runs/corpus/last.npz") as file:
        assert json.loads(str(file["meta"]))["progress"]["updates"] >= 50


ENDLESS = """
import sys
from charlm import cli
from charlm.nn import network
kernel = network.train
def endless(*arguments):
    if len(arguments[1].start):
        print("begun", file=sys.stderr, flush=True)
    while len(arguments[1].start):
        kernel(*arguments)
    kernel(*arguments)
network.train = endless
cli.main()
"""


def test_a_second_signal_leaves_in_the_middle_of_a_long_update(tmp_path: Path) -> None:
    """An update without an end: the first signal is answered while it is made, the second one ends the process."""
    text = tmp_path / "long.txt"
    text.write_text(TEXT * 40)
    long = ["--hidden", "512", "--streams", "1", "--k1", "400000", "--memory", "300", "--updates", "1", "--threads", "1"]
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS, "train", str(text), "--run", str(tmp_path / "run"), *long],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert any(line == "begun\n" for line in process.stderr)
        process.send_signal(signal.SIGINT)
        assert any("a second signal stops at once" in line for line in process.stderr)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=HANGS) == 130


def test_a_terminal_gets_a_bar_and_a_pipe_plain_lines(corpus: Path, warm: Path) -> None:
    arguments = ["train", "corpus.txt", *map(str, SMALL), "--updates", "60"]
    # tqdm would leave out what comes within a tenth of a second.
    drawn = "import functools, tqdm, charlm.cli; tqdm.tqdm = functools.partial(tqdm.tqdm, mininterval=0); charlm.cli.main()"
    reader, writer = os.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-c", drawn, *arguments, "--run", "seen"], stderr=writer, stdout=subprocess.PIPE
    ) as process:
        os.close(writer)
        shown = b""
        with contextlib.suppress(OSError):  # the terminal's end when the program is gone
            while piece := os.read(reader, 65536):
                shown += piece
        assert process.stdout is not None
        out = process.stdout.read().decode()
    os.close(reader)
    assert process.returncode == 0, shown
    bars = re.findall(r"\d+%\|.*?\| [\d:]+<[\d:?]+, ([\d.]+) nats, ([\d.]+) bits/char, \d+k char/s, epoch", shown.decode())
    assert len(bars) > 2
    assert all(abs(float(nats) / math.log(2) - float(bits)) < 2e-3 for nats, bits in bars)
    assert "nats" in out
    assert "|" not in out
    command = [str(warm / "charlm"), *arguments, "--run", "piped"]
    plain = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "%|" not in plain.stderr
    assert re.search(r"update [\d,]+, epoch [\d.]+: validation [\d.]+ nats, [\d.]+ bits/char \(best", plain.stderr)


def test_closed_pipe_is_silent(run: Run, corpus: Path, warm: Path) -> None:
    train(run, "--updates", 2)
    line = f"{warm}/charlm sample -n 200000 | head -c 10"
    result = subprocess.run(line, shell=True, capture_output=True, text=True, check=False, env=os.environ)
    assert len(result.stdout) == 10
    assert result.stderr == ""


def test_bench(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = ("bench", "--rows", "rnn 128 x 1, S=1, k1=25", "--rounds", 2, "--seconds", 0.05)
    table = run(*chosen).out
    assert "peak of multiply-adds, Gflop/s: 1 thread" in table
    assert "| rnn 128 x 1, S=1, k1=25 |" in table
    monkeypatch.setattr("charlm.analysis.speed.peak", lambda threads: threads * 1e13)
    result = run(*chosen, "--json", "--threads", 1)
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert (found["work"], found["threads"]) == ("rnn 128 x 1, S=1, k1=25", 1)
    assert found["gflops"] == pytest.approx(found["chars_per_second"] * (6 * 128**2 + 6 * 128 * 65) / 1e9)
    assert found["share_of_peak"] == pytest.approx(found["gflops"] / 1e4)
    assert found["spread"] >= 0
    wrong = run("bench", "--rows", "transformer")
    assert wrong.code == 2
    assert "no kind of work contains 'transformer'" in wrong.err
