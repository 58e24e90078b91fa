"""Settings of the smaller commands, and of the threads that all share."""

from dataclasses import dataclass

from ..errors import ConfigurationError
from .checks import LARGEST_SEED
from .declare import Declared, setting
from .model import activations


@dataclass(frozen=True)
class ThreadsConfig(Declared):
    """The number of threads."""

    threads: int | None = setting(
        None, bounds=(1, 4_096), default_text="the number of processors", help="Number of threads."
    )


PRECISIONS = "float32", "bfloat16"


def require_float32(precision: str, what: str) -> None:
    """Raise ConfigurationError for rounded parameters. what: updates them."""
    if precision != "float32":
        raise ConfigurationError(f"{what} updates the parameters, which need --precision float32")


@dataclass(frozen=True)
class PrecisionConfig(Declared):
    """The numbers that a trained model's matrices are read as."""

    precision: str = setting(
        "float32",
        choices=PRECISIONS,
        help="Read the network's matrices as they were trained (float32), or rounded to 16-bit numbers (bfloat16), which is "
        "1.3 to 2 times as fast for one text at a time.",
    )


@dataclass(frozen=True)
class LagsConfig(Declared):
    """Settings of `charlm lags`."""

    length: int = setting(512, spelled=("-n", "--length"), bounds=(2, 1_000_000), help="Largest number of steps back.")
    losses: int = setting(256, bounds=(1, 1_000_000), help="Number of losses to follow back.")
    bias_tolerance: float = setting(
        0.1, bounds=(0, 1), excluded=(0, 1), unit="D", help="Relative bias that the recommended k2 may have."
    )
    output: str | None = setting(None, spelled=("-o", "--output"), path="file", help="Draw a picture (.svg or .png).")
    seed: int = setting(0, bounds=(0, LARGEST_SEED), help="Seed of the positions in the text.")


@dataclass(frozen=True)
class BenchConfig(Declared):
    """Settings of `charlm bench`."""

    rows: str = setting("", unit="TEXT", help="Measure only workloads whose name contains TEXT.")
    quick: bool = setting(False, help="Measure a few workloads, in about 15 seconds once compiled.")
    rounds: int = setting(5, bounds=(1, 10_000), help="Measurements per workload.")
    seconds: float = setting(1.0, bounds=(0, 3_600), excluded=(0,), help="Length of a measurement.")


@dataclass(frozen=True)
class PlotConfig(Declared):
    """Settings of `charlm plot`."""

    output: str | None = setting(
        None,
        spelled=("-o", "--output"),
        path="file",
        unit="FILE",
        default_text="text in the terminal",
        help="Draw a picture (.svg, .png) or a page with samples (.html).",
    )
    against: str = setting(
        "updates",
        choices=("updates", "chars", "time"),
        help="Horizontal axis of the plot in the terminal. A picture has all three.",
    )
    samples: bool = setting(False, help="Print the text that was sampled at each validation.")


@dataclass(frozen=True)
class ImportConfig(Declared):
    """Settings of `charlm import`."""

    run: str | None = setting(
        None, spelled=("-o", "--run"), path="any", default_text="runs/<stem of the file>", help="Run directory."
    )
    vocabulary: str | None = setting(
        None,
        path="file",
        unit="FILE",
        help="JSON list of the characters in id order, or object that maps characters to ids.",
    )
    use_bytes: bool = setting(False, spelled=("--bytes",), help="The model's ids are bytes.")
    activation: str = setting("tanh", choices=activations, help="Activation of an nn.RNN.")
    force: bool = setting(False, help="Replace an existing run.")
