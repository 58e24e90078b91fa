"""The lines of metrics.jsonl and the summary of a run, as records (charlm/record.py). Losses are in nats per character."""

from dataclasses import dataclass, field

from ..record import INLINE
from ..tbptt.method import Realised

_REALISED = {**INLINE, "help": "Numbers that the truncation method adds, see Truncation methods."}


@dataclass(frozen=True)
class TrainingRecord:
    """A line of metrics.jsonl about training: a stretch of updates that read about 65,000 characters."""

    updates: int = field(metadata={"help": "Updates made so far."})
    epochs: float = field(metadata={"help": "Epochs made so far."})
    chars: int = field(metadata={"help": "Characters trained so far."})
    seconds: float = field(
        metadata={"help": "Time of training so far, without start-up, compilation, validation and saving."}
    )
    train_nats: float = field(metadata={"help": "Mean loss of the stretch, measured before each update."})
    learning_rate: float = field(metadata={"help": "Learning rate of the last update."})
    gradient_norm: float = field(metadata={"help": "Global norm of the last update's gradient, before clipping."})
    clipped: float = field(metadata={"help": "Share of the stretch's updates whose gradient was clipped, 0 to 1."})
    gradient_norms: dict[str, float] = field(
        metadata={"help": "Norm of the last update's gradient by layer: layer1, layer2 and so on, and out for the output."}
    )
    saturated: list[list[float]] = field(
        metadata={
            "help": "Share of saturated values by layer and gate, after the last update; of a tanh cell, of its units."
        }
    )
    realised: Realised = field(metadata=_REALISED)


@dataclass(frozen=True)
class ValidationRecord:
    """A line of metrics.jsonl about a validation."""

    updates: int = field(metadata={"help": "Updates made so far."})
    epochs: float = field(metadata={"help": "Epochs made so far."})
    chars: int = field(metadata={"help": "Characters trained so far."})
    seconds: float = field(metadata={"help": "Time of training so far, as in a TrainingRecord."})
    val_nats: float = field(metadata={"help": "Mean loss on the held-out text, or on a sample of it."})
    sample: str = field(metadata={"help": "A short text that the model generated then."})


@dataclass(frozen=True)
class MeasurementRecord:
    """A line of metrics.jsonl about a choice of k2 (--truncation adaptive)."""

    updates: int = field(metadata={"help": "Number of the first update with this k2, from 1."})
    k2: int = field(metadata={"help": "Steps that errors go back from then on."})
    relative_bias: float | None = field(
        metadata={"help": "Upper bound of the gradient's relative bias with this k2. null: unknown."}
    )
    error_rate: float = field(metadata={"help": "Factor by which the norm of errors changes per step."})


@dataclass(frozen=True)
class TrainSummary:
    """Result of `charlm train`. Checkpoints keep it as progress, without window_bytes.

    code_chars, code_bits and code_bits_per_char are there with --once only.
    """

    updates: int = field(metadata={"help": "Updates made."})
    epochs: float = field(metadata={"help": "Epochs made."})
    seconds: float = field(metadata={"help": "Time of training, without start-up, compilation, validation and saving."})
    chars_per_second: float = field(metadata={"help": "Characters trained per second of that time."})
    train_nats: float | None = field(metadata={"help": "Mean loss of the last stretch that metrics.jsonl has a line for."})
    val_nats: float | None = field(metadata={"help": "Loss at the last validation. null: there was none."})
    best_val_nats: float | None = field(metadata={"help": "Lowest loss of a validation. null: there was none."})
    best_val_bits: float | None = field(metadata={"help": "The same in bits per character."})
    run: str = field(metadata={"help": "The run directory."})
    window_bytes: int = field(metadata={"help": "Memory of the stored activations, on all ranks together."})
    realised: Realised = field(metadata=_REALISED)
    code_chars: int | None = field(default=None, metadata={"help": "Characters coded, the first one included."})
    code_bits: float | None = field(
        default=None, metadata={"help": "Length of the code, in bits: all losses, the first character and the alphabet."}
    )
    code_bits_per_char: float | None = field(default=None, metadata={"help": "The same per character."})
