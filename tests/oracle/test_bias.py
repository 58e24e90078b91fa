"""ARTBP on texts: its mean gradient is that of no truncation within the standard error; TBPTT of the same length is not."""

import sys
from pathlib import Path

import numpy as np
import pytest

from charlm.config.model import ModelConfig
from charlm.config.optimizer import OptimizerConfig
from charlm.config.request import SavingConfig
from charlm.config.run import RunConfig
from charlm.config.schedule import ScheduleConfig
from charlm.config.truncation import TruncationConfig
from charlm.corpus.corpus import Corpus, read_corpus
from charlm.nn.parameters import Parameters
from charlm.training.assembly import new_trainer

from ..study.bias import compare

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "data"))
from sources import Again, write  # noqa: E402  (data/ is no package: its script runs without charlm)

DISTANCE, LENGTH = 8, 4


def trained(corpus: Corpus, folder: Path) -> Parameters:
    """A network that has learned to use what lies further back than LENGTH."""
    config = RunConfig(
        ModelConfig("gru", hidden=24, layers=1, dropout=0.0, forget_bias=2.0),
        TruncationConfig(LENGTH, 4 * DISTANCE),
        optimizer=OptimizerConfig("adam", 1e-2),
        schedule=ScheduleConfig(updates=3000),
        val_fraction=0.0,
    )
    trainer = new_trainer(config, corpus, folder, 1, SavingConfig(seconds=0.0))
    for _ in trainer.train():
        pass
    return trainer.run.parameters


@pytest.mark.parametrize("text", ["again", "prose"])
def test_mean_of_many_draws(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    prose = "".join(page.read_text(encoding="utf-8") for page in sorted((ROOT / "charlm" / "guide").glob("[!rs]*.md")))
    (tmp_path / "text").write_text(write(Again(DISTANCE), 200_000, 0) if text == "again" else prose, encoding="utf-8")
    corpus = read_corpus((str(tmp_path / "text"),), val_fraction=0.0)
    errors = compare(trained(corpus, tmp_path), np.asarray(corpus.ids[:1001]), 4, LENGTH, 6.0, draws=1200)
    artbp, tbptt = errors["ARTBP"], errors["TBPTT"]
    assert artbp.deviation < 0.1, "too few draws to tell the two apart"
    assert abs(artbp.along) < 4 * artbp.deviation
    assert artbp.worst < 4
    assert tbptt.along == 1
