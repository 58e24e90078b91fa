"""A truncation method that is defined here and registered trains from the command line like charlm's own."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from charlm.config.checks import MOST_STEPS
from charlm.config.declare import Declared, setting
from charlm.config.groups import TRUNCATION
from charlm.registry import TRUNCATIONS
from charlm.tbptt.newest import Newest
from charlm.tbptt.plan import Cuts, Position

from .conftest import Result

Run = Callable[..., Result]
SMALL = ("--hidden", 12, "--layers", 1, "--streams", 2, "--k1", 6, "--updates", 9, "--val-fraction", 0)


@dataclass(frozen=True)
class Stride(Declared, group=TRUNCATION):
    """Every how many updates errors may leave their block."""

    stride: int = setting(3, bounds=(1, MOST_STEPS), unit="N", help="Let errors leave every Nth block.")


class Now(Newest):
    """Newest with k2 in every Nth block, and k1 in the others."""

    Settings = Stride

    def describe(self) -> str:
        """Return a sentence for the test to find."""
        return f"{self.label(self.config)}: looks back every {self.config.settings.stride} updates"

    def cuts(self, at: Position, updates: int) -> Cuts:
        """Return newest's blocks with a shorter reach in most of them."""
        cuts = super().cuts(at, updates)
        far = cuts.start // self.config.k1 % self.config.settings.stride == 0
        cuts.reach[~far] = cuts.steps[~far]
        return cuts


@pytest.fixture
def registered() -> Iterator[None]:
    TRUNCATIONS.register("now", Now)
    yield
    TRUNCATIONS.unregister("now")


def test_help_shows_a_registered_method_and_its_own_option(run: Run, registered: None) -> None:
    shown = run("train", "--help").out
    truncation = " ".join(shown.split(f"{TRUNCATION}:\n")[1].split("\n\n")[0].split())
    assert "|now]" in truncation
    assert "--stride N" in truncation
    assert "Let errors leave every Nth block." in truncation
    assert "[default: 3]" in truncation


def test_help_is_as_before_without_it(run: Run) -> None:
    assert "--stride" not in run("train", "--help").out
    assert run("train", "corpus.txt", "--stride", 2).code == 2


@pytest.mark.usefixtures("registered")
class TestARegisteredMethod:
    """The command line, the environment, TOML files and the library know the method and its setting."""

    def test_trains_and_resumes(self, run: Run, corpus: Path) -> None:
        result = run("train", "corpus.txt", *SMALL, "--k2", 18, "--truncation", "now", "--stride", 2, "--json")
        assert result.code == 0, result.err
        assert "now(k1=6, k2=18): looks back every 2 updates; window" in result.err
        kept = json.loads(Path("runs/corpus/config.json").read_text())["truncation"]
        assert (kept["kind"], kept["settings"]) == ("now", {"stride": 2})
        assert "now(k1=6, k2=18), reset epoch" in run("info").out
        again = run("train", "corpus.txt", "--resume", "--updates", 12, "--json")
        assert again.code == 0, again.err
        assert json.loads(again.out)["updates"] == 12
        other = run("train", "corpus.txt", "--resume", "--updates", 15, "--stride", 4)
        assert (other.code, "--stride 4: the run was made with --stride 2" in other.err) == (2, True), other.err

    def test_decides_what_is_learnt(self, run: Run, corpus: Path) -> None:
        """A stride of one is newest, bit for bit; another stride is not."""
        losses = {}
        for name, more in {
            "newest": (),
            "always": ("--truncation", "now", "--stride", 1),
            "often": ("--truncation", "now"),
        }.items():
            result = run("train", "corpus.txt", *SMALL, "--k2", 18, *more, "--run", name, "--json")
            assert result.code == 0, result.err
            losses[name] = json.loads(result.out)["train_nats"]
        assert losses["newest"] == losses["always"] != losses["often"]

    def test_takes_its_setting_from_anywhere(self, run: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        Path("c.toml").write_text('[train]\ntruncation = "now"\nstride = 5\n')
        assert "looks back every 5 updates" in run("train", "corpus.txt", *SMALL, "--config", "c.toml").err
        monkeypatch.setenv("CHARLM_TRAIN_STRIDE", "7")
        assert "every 7 updates" in run("train", "corpus.txt", *SMALL, "--force", "--truncation", "now").err

    def test_has_its_setting_checked(self, run: Run, corpus: Path) -> None:
        outside = run("train", "corpus.txt", *SMALL, "--truncation", "now", "--stride", 0)
        assert (outside.code, outside.err) == (2, "Error: --stride 0: must be between 1 and 1,000,000,000\n")
        elsewhere = run("train", "corpus.txt", *SMALL, "--stride", 2)
        assert (elsewhere.code, elsewhere.err) == (2, "Error: --stride belongs to --truncation now, not newest\n")
