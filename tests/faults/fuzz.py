"""Coverage-guided fuzzing of what reads checkpoints, with atheris: python -m tests.faults.fuzz SECONDS.

Any exception but the one that says what is wrong with the file is a finding, and ends it with a traceback.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["charlm.storage.npz", "charlm.storage.checkpoint", "charlm.config.run"]):
    from charlm.config import run as config
    from charlm.storage import checkpoint
    from charlm.storage import npz as archive

from charlm.config.model import ModelConfig
from charlm.config.run import RunConfig
from charlm.corpus.vocabulary import Vocabulary
from charlm.nn.parameters import Parameters

from .test_hostile import refused

assert archive
assert config


def fuzz(seconds: int) -> None:
    """Starts from two small checkpoints."""
    folder = Path(tempfile.mkdtemp())
    (folder / "seeds").mkdir()
    for cell in ("rnn", "gru"):
        model, known = ModelConfig(cell, hidden=2, layers=1), Vocabulary("ab")
        parameters = Parameters(model, 2)
        parameters.initialise(0)
        checkpoint.save(folder / "seeds" / f"{cell}.npz", RunConfig(model=model), known, parameters, {})
    path = folder / "fuzzed.npz"

    def one(data: bytes) -> None:
        path.write_bytes(data)
        refused(path)

    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", "-max_len=8192", str(folder / "seeds")], one)
    atheris.Fuzz()


if __name__ == "__main__":
    fuzz(int(sys.argv[1]))
