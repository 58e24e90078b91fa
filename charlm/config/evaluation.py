"""Settings of `charlm eval`."""

from dataclasses import dataclass

from .checks import MOST_STEPS, MOST_STREAMS
from .declare import Declared, setting

_WHOLE = "The whole text"
_LINES = "Line by line"


@dataclass(frozen=True)
class DynamicConfig(Declared, group=_WHOLE):
    """Dynamic evaluation: an update after every k1 characters read. decay: the pull back to the trained parameters."""

    learning_rate: float = setting(7e-4, name="lr", bounds=(0, 1_000), help="Learning rate of --dynamic.")
    decay: float = setting(
        1e-3, bounds=(0, 1), help="Share of the way back to the trained parameters in each update of --dynamic."
    )
    k1: int = setting(20, bounds=(1, MOST_STEPS), help="Characters per update of --dynamic.")
    k2: int = setting(
        None, bounds=(1, MOST_STEPS), derived=True, default_text="k1", help="Steps that errors of --dynamic go back."
    )

    def __post_init__(self) -> None:
        if self.k2 is None:
            object.__setattr__(self, "k2", self.k1)
        super().__post_init__()


@dataclass(frozen=True)
class EvalConfig(Declared):
    """How a text is evaluated, and what is printed. learning: how the model learns with dynamic."""

    streams: int = setting(
        1,
        bounds=(1, MOST_STREAMS),
        group=_WHOLE,
        help="Parts of the text read side by side, each after a warm-up on the 512 characters before it; 1 reads in order.",
    )
    compare: str | None = setting(
        None,
        group=_WHOLE,
        unit="LIST",
        help="Also compress the text with these compressors, separated by commas: xz, bzip2, gzip.",
    )
    dynamic: bool = setting(
        False, group=_WHOLE, help="Also evaluate a model that keeps learning while it reads (dynamic evaluation)."
    )
    by: str | None = setting(
        None,
        choices=("line", "char"),
        group=_LINES,
        help="Print a row per line (bits, characters, line) as lines arrive, or a row per character (bits, character).",
    )
    html: str | None = setting(
        None,
        path="file",
        unit="FILE",
        group=_LINES,
        help="Write the text as an HTML page, coloured by the bits of each character.",
    )
    reset: str | None = setting(
        None,
        choices=("line", "never"),
        group=_LINES,
        default_text="as the model was trained",
        help="With --by or --html, score each line on its own (line) or after all lines before it (never).",
    )
    unknown: str = setting(
        None,
        choices=("error", "escape"),
        derived=True,
        default_text="escape for --by and --html, else error",
        help="How to treat characters that the model does not know: refuse the text (error), or code each of them at a cost "
        "of about 44 bits (escape).",
    )
    fail_above: float | None = setting(
        None,
        bounds=(0, 1_000),
        excluded=(0,),
        unit="BITS",
        help="Exit with 3 if the text takes more bits per character (with --dynamic: in dynamic evaluation).",
    )
    learning: DynamicConfig = DynamicConfig()

    def __post_init__(self) -> None:
        if self.unknown is None:
            object.__setattr__(self, "unknown", "escape" if self.by_line else "error")
        super().__post_init__()

    @property
    def by_line(self) -> bool:
        """True if lines are scored as they arrive, instead of the whole text."""
        return self.by is not None or self.html is not None
