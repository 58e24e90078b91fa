"""Settings of `charlm sample`."""

from dataclasses import dataclass

from .checks import LARGEST_SEED, MOST_CHARACTERS, MOST_STEPS
from .declare import Declared, setting

_TEXT = "The text"
_DRAW = "How characters are chosen"


@dataclass(frozen=True)
class DrawConfig(Declared, group=_DRAW):
    """How a character is drawn. temperature 0 (or below 1e-6): the most likely; top_k 0 and top_p 1: from all characters.

    top_p is a share of the probability that top_k leaves.
    """

    temperature: float = setting(
        1.0, bounds=(0, 1_000), help="Divide logits by this; 0 (or below 1e-6) takes the most likely character."
    )
    top_k: int = setting(
        0,
        bounds=(0, MOST_CHARACTERS),
        default_text="0, all",
        help="Draw only from the k most likely characters and those tied with the k-th.",
    )
    top_p: float = setting(
        1.0,
        bounds=(0, 1),
        excluded=(0,),
        help="Draw only from the smallest set of most likely characters whose probabilities add up to this share. With "
        "--top-k, a share of what that leaves.",
    )
    seed: int = setting(
        0, bounds=(0, LARGEST_SEED), derived=True, default_text="different each time", help="Make the text repeatable."
    )


@dataclass(frozen=True)
class SampleConfig(Declared, group=_TEXT):
    """The texts to generate. until: the text that ends a sequence. draw: how each character is drawn."""

    length: int = setting(500, spelled=("-n", "--length"), bounds=(0, MOST_STEPS), help="Characters to generate.")
    prime: str | None = setting(None, unit="TEXT", may_be_empty=True, help="Text to continue. It is printed first.")
    prime_file: str | None = setting(None, unit="F|-", help="Text to continue, from a file or standard input.")
    until: str | None = setting(
        None,
        spelled=("--until", "--stop"),
        unit="TEXT",
        help="End a text when TEXT has been generated. TEXT is printed.",
    )
    min_length: int = setting(
        0, bounds=(0, MOST_STEPS), help="Discard texts that end (see --until, --count) before N characters were generated."
    )
    count: int | None = setting(
        None,
        bounds=(1, 1_000_000_000),
        default_text="one text, which ends only at --until or --length",
        help="Number of texts. Without --until, each also ends at a line end if the model was trained with --reset line, or "
        "at the separator if it was trained with --reset-after.",
    )
    unseen: bool = setting(
        False,
        help="Discard texts that the training corpus contains whole, between two occurrences of what ends a text: --until, "
        "or the line end or separator that the model was trained with (--reset line, --reset-after). Needs one of these, "
        "and the files of the corpus.",
    )
    beam: int | None = setting(
        None,
        bounds=(1, 65_536),
        group=_DRAW,
        help="Search for the most likely text with a beam of N instead of drawing.",
    )
    draw: DrawConfig = DrawConfig()
