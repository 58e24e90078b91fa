"""Files that were damaged, or made to do harm: one line of error, no memory, no time, no code."""

import io
import json
import pickle
import random
import resource
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charlm.cli.info_command import _label
from charlm.corpus.corpus import read_corpus
from charlm.errors import CharlmError, CheckpointError
from charlm.reports.curves import read_curves
from charlm.storage.checkpoint import load, load_meta
from charlm.storage.npz import read_archive

from ..cli.conftest import SMALL, TEXT, Result

Run = Callable[..., Result]
COMMANDS = (("info",), ("eval", "{}", "corpus.txt"), ("sample", "{}", "-n", 3), ("export", "{}", "m.safetensors"))


@pytest.fixture
def checkpoint(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """last.npz of a small run, in its run directory."""
    monkeypatch.chdir(tmp_path)
    Path("corpus.txt").write_text(TEXT, encoding="utf-8")
    assert run("train", "corpus.txt", *SMALL[:-2], "--updates", 20, "-q").code == 0
    return Path("runs/corpus/last.npz")


def read(path: Path) -> None:
    """All that reads a checkpoint."""
    _label(path, load_meta(path))
    load(path)


def refused(path: Path) -> str:
    """The error that reading it ends with, if it does; nothing else may happen."""
    try:
        read(path)
    except CheckpointError as error:
        assert str(path) in str(error)
        return str(error)
    return ""


def truncated(data: bytes, chance: random.Random, places: int) -> Iterator[bytes]:
    """Cut at every byte of the first entry's header, and at random."""
    for end in [*range(400), *(chance.randrange(400, len(data)) for _ in range(places))]:
        yield data[:end]


def flipped(data: bytes, chance: random.Random, number: int) -> Iterator[bytes]:
    for _ in range(number):
        at = chance.randrange(len(data))
        yield data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def test_truncated_anywhere(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.npz"
    for data in truncated(checkpoint.read_bytes(), random.Random(1), 500):
        path.write_bytes(data)
        assert refused(path)


def test_a_damaged_checkpoint_is_no_text(checkpoint: Path, run: Run) -> None:
    Path("cut.npz").write_bytes(checkpoint.read_bytes()[:3000])
    Path("renamed").write_bytes(checkpoint.read_bytes()[:3000])
    for name in ("cut.npz", "renamed"):
        for command in (("eval", name), ("eval", name, "corpus.txt"), ("lags", name), ("sample", name)):
            result = run(*command)
            assert (result.code, result.out) == (1, "")
            assert f"{name}: not a readable checkpoint" in result.err


def test_flipped_bits_are_noticed_or_do_not_matter(checkpoint: Path, tmp_path: Path) -> None:
    """What is read in spite of one is what was written."""
    path, original = tmp_path / "flipped.npz", checkpoint.read_bytes()
    arrays, unnoticed = read_archive(checkpoint).arrays, 0
    for data in flipped(original, random.Random(2), 1000):
        path.write_bytes(data)
        if not refused(path):
            unnoticed += 1
            found = read_archive(path).arrays
            assert arrays.keys() == found.keys()
            assert all(np.array_equal(array, found[name]) for name, array in arrays.items())
    assert unnoticed < 50, "most of a file is numbers, and each is watched"


def entry(array: Any, allow_pickle: bool = False) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asanyarray(array), allow_pickle=allow_pickle)
    return out.getvalue()


def rewritten(checkpoint: Path, path: Path, changes: dict[str, Any], compression: int = zipfile.ZIP_STORED) -> Path:
    """The checkpoint with some entries replaced, by arrays or bytes; None leaves one out. Checksums follow the changes."""
    arrays: dict[str, Any] = {**read_archive(checkpoint).arrays, **changes}
    entries = {n: value if isinstance(value, bytes) else entry(value) for n, value in arrays.items() if value is not None}
    if changes.keys() - {"meta"} and isinstance(arrays["meta"], np.ndarray):
        meta = json.loads(str(arrays["meta"][()]))
        meta["arrays"] = {name: f"{zlib.crc32(data):08x}" for name, data in entries.items() if name != "meta"}
        entries["meta"] = entry(np.array(json.dumps(meta)))
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in entries.items():
            file.writestr(f"{name}.npy", data)
    return path


_SHAPES = ("expected float32 (96, 24), found float32 (3, 3)", "expected float32 (96, 24), found float64")
_MISSING = "rnn.weight_hh_l0: expected float32 (96, 24), found nothing"


class Harm:
    """What a pickle can do."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("harm"),)


def claim(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    """An array's header that claims more than there is."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape!r}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(64)


def test_files_that_were_made_to_do_harm(checkpoint: Path, run: Run, tmp_path: Path) -> None:
    path, name = Path("bad.npz"), "param/rnn.weight_hh_l0"
    objects = entry(np.array([Harm()], object), allow_pickle=True)
    for changes, message in (
        ({name: objects}, "holds object"),
        ({"extra": objects}, "holds object"),
        ({"meta": objects}, "holds object"),
        ({name: pickle.dumps(Harm())}, "magic string"),
        ({name: claim((1 << 40,))}, "claims to be"),
        ({name: claim((1 << 62, 1 << 62))}, "claims to be"),
        ({name: claim((-4, -4))}, "not a readable"),
        ({name: claim((2,), "<U9999999")}, "claims to be"),
        ({name: claim((4,), "|V4")}, "holds"),
        ({name: np.zeros((3, 3), np.float32)}, _SHAPES[0]),
        ({name: np.zeros((96, 24), np.float64)}, _SHAPES[1]),
        ({name: None}, _MISSING),
        ({"meta": None}, "not a charlm checkpoint"),
        ({"meta": np.array("[" * 100_000)}, "not a charlm checkpoint"),
        ({"meta": np.zeros(3)}, "not a charlm checkpoint"),
    ):
        rewritten(checkpoint, path, changes)
        for command in COMMANDS:
            if command == ("info",) and message in (_MISSING, *_SHAPES):
                continue  # it tells what the meta data says, and reads no parameters
            result = run(command[0], path, *command[2:])
            assert (result.code, result.out) == (1, ""), (changes, command)
            assert message in result.err, (command, result.err)
            assert len(result.err.splitlines()) == 1
    assert not Path("harm").exists()


def test_zip_bombs_and_odd_zips(checkpoint: Path) -> None:
    path = Path("bomb.npz")
    rewritten(checkpoint, path, {"bomb": np.zeros(1 << 27, np.uint8)}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "is compressed or encrypted" in refused(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used < 1 << 15, "KiB"
    with zipfile.ZipFile(path, "w") as file:
        for i in range(10_001):
            file.writestr(f"{i}", b"")
    assert "10,001 entries" in refused(path)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "w") as file:
        file.writestr("meta.npy", entry(np.array("{}")))
        file.writestr("meta.npy", entry(np.array("{}")))
    assert "2 entries, 1 different" in refused(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("../../escape.npy", entry(np.zeros(3)))
    assert "not a charlm checkpoint" in refused(path)
    assert not Path("../../escape.npy").exists()


def changed_meta(checkpoint: Path, path: Path, change: Callable[[dict], None]) -> Path:
    meta = json.loads(str(read_archive(checkpoint).arrays["meta"][()]))
    change(meta)
    return rewritten(checkpoint, path, {"meta": np.array(json.dumps(meta))})


def test_versions_and_meta_data(checkpoint: Path, run: Run) -> None:
    path = Path("meta.npz")
    for change, message in (
        (lambda m: m.update(format=3), "checkpoint format 3, this charlm reads 1 to 2"),
        (lambda m: m.update(format=0), "checkpoint format 0, this charlm reads 1 to 2"),
        (lambda m: m.update(format=True), "checkpoint format True, this charlm reads 1 to 2"),
        (lambda m: m.update(format=1.0), "checkpoint format 1.0, this charlm reads 1 to 2"),
        (lambda m: m["config"]["model"].update(hidden=1 << 40), "--hidden 1099511627776: must be between 1 and 65,536"),
        (lambda m: m["config"]["model"].update(layers=1 << 40), "--layers 1099511627776: must be between 1 and 1,000"),
        (lambda m: m["config"]["model"].update(layers=999), "too few for"),
        (lambda m: m["config"]["model"].update(hidden=60_000), "expected float32 ("),
        (lambda m: m["config"]["model"].update(hidden="many"), "not understood"),
        (lambda m: m["config"]["model"].update(surprise=1), "not understood"),
        (lambda m: m.update(vocabulary=["ab"]), "not understood"),
        (lambda m: m.update(vocabulary=[]), "not understood"),
        (lambda m: m.update(vocabulary=7), "not understood"),
        (lambda m: m.pop("progress"), "not understood"),
        (lambda m: m["progress"].update(updates="x"), "not understood"),
        (lambda m: m["progress"].update(seconds=-1), "not understood"),
        (lambda m: m["progress"].update(best_val_nats=[]), "not understood"),
        (lambda m: m.pop("state"), "not understood"),
        (lambda m: m["state"].update(optimizer=3), "state/optimizer: expected named leaves, found 3"),
        (lambda m: m["state"]["optimizer"].update(slots=3), "state/optimizer/slots: expected one leaf, found several"),
    ):
        changed_meta(checkpoint, path, change)
        result = run("eval", path, "corpus.txt")
        assert (result.code, result.out) == (1, "")
        assert message in result.err, result.err
        assert len(result.err.splitlines()) == 1


def test_a_place_that_cannot_be_is_not_resumed(checkpoint: Path, run: Run) -> None:
    good = checkpoint.read_bytes()
    for branch, name, value in (
        ("trainer", "step", 10**9),
        ("trainer", "step", -1),
        ("trainer", "step", True),
        ("trainer", "epoch", "x"),
        ("truncation", "k2", 0),
        ("truncation", "k2", 1 << 50),
        ("", "schedule", 3),
        ("schedule", "factor", None),
        ("trainer", "chars", None),
        ("trainer", "nats", "x"),
        ("trainer", "validations", [1]),
        ("", "metrics_log", {}),
        ("metrics_log", "tally", [1, 2]),
        ("metrics_file", "waiting", [1]),
        ("diagnostics", "norms", ["x"]),
        ("trainer", "rollbacks", 1.5),
        ("trainer", "updates", 1 << 70),
    ):

        def spoil(meta: dict, branch: str = branch, name: str = name, value: Any = value) -> None:
            (meta["state"][branch] if branch else meta["state"])[name] = value

        checkpoint.write_bytes(good)
        changed_meta(checkpoint, Path("place.npz"), spoil)
        Path("place.npz").replace(checkpoint)
        result = run("train", "corpus.txt", "--resume", "-q")
        assert (result.code, result.out) == (1, ""), name
        path = "/".join(filter(None, ("state", branch, name)))
        assert f"cannot be resumed: {path}" in result.err, (name, result.err)
        assert ": expected " in result.err
    checkpoint.write_bytes(good)
    assert run("train", "corpus.txt", "--resume", "-q", "--updates", 25).code == 0


_NAMES = ("format", "config", "vocabulary", "progress", "model", "truncation", "reset", "optimizer", "schedule")
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from((*_NAMES, "updates", "hidden", "x")), inner),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_ANYTHING, st.sampled_from(("", *_NAMES[1:], "state", "arrays")), st.sampled_from((1, 2)))
def test_meta_data_of_any_shape(tmp_path_factory: pytest.TempPathFactory, value: Any, where: str, version: int) -> None:
    """Whatever JSON there is, it is a checkpoint or an error."""
    path = tmp_path_factory.getbasetemp() / "any.npz"
    config: dict[str, Any] = {
        "model": {},
        "truncation": {},
        "reset": {},
        "optimizer": {},
        "schedule": {"minutes": 1},
        "corpus": [],
    }
    meta: Any = {"format": version, "config": config, "vocabulary": ["a", "b"], "progress": {}, "state": {}, "arrays": {}}
    if where in config:
        config[where] = value
    elif where:
        meta[where] = value
    else:
        meta = value
    np.savez(path, meta=np.array(json.dumps(meta)))
    try:
        read(path)
    except CharlmError as error:
        assert str(error)


def test_damaged_caches_are_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut or flipped anywhere, with strange meta data: the text is that of the file."""
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    text = tmp_path / "t.txt"
    text.write_text(TEXT, encoding="utf-8")
    whole = read_corpus((str(text),))
    ids, (made,) = whole.ids.copy(), (tmp_path / "cache" / "corpora").iterdir()
    chance = random.Random(3)
    for name in ("ids.npy", "meta.json"):
        good = (made / name).read_bytes()
        bad = [
            *flipped(good, chance, 60),
            *(good[: chance.randrange(len(good))] for _ in range(30)),
            b"",
            b"null",
            b"[" * 9999,
        ]
        for data in bad:
            (made / name).write_bytes(data)
            found = read_corpus((str(text),))
            assert np.array_equal(found.ids, ids)
            assert (found.digest, found.vocabulary) == (whole.digest, whole.vocabulary)
        (made / name).unlink()
        assert np.array_equal(read_corpus((str(text),)).ids, ids)


def test_damaged_metrics_are_skipped(checkpoint: Path, run: Run) -> None:
    metrics = checkpoint.parent / "metrics.jsonl"
    good = metrics.read_bytes()
    chance = random.Random(4)
    for data in [*flipped(good, chance, 200), *(good[: chance.randrange(len(good))] for _ in range(50))]:
        metrics.write_bytes(data)
        try:
            read_curves(checkpoint.parent)
        except CharlmError as error:
            assert "metrics.jsonl" in str(error)
    metrics.write_bytes(b'{"val_nats": "x", "updates": 1, "epochs": 1, "chars": 1, "seconds": 1}\n[1]\nnull\n' + b"[" * 9999)
    assert "holds nothing to draw" in run("plot").err


def test_damaged_configuration_files(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for data in (b"\xff", b"[train", b"[train]\nk1 = [" + b"[" * 9999, b"a = 1", b"train = 3", b"[train]\nk1 = {}", b"\x00"):
        Path("c.toml").write_bytes(data)
        result = run("train", "x.txt", "--config", "c.toml")
        assert (result.code, result.out) == (2, ""), data
        assert "unexpected" not in result.err
