"""Events of a run, as the trainer yields them. metadata["help"] describes each field. Losses are in nats per character."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Note:
    """Something that was found or decided, mostly before training began."""

    message: str = field(metadata={"help": "What to tell the user."})


@dataclass(frozen=True)
class Progress:
    """The state of training after a few updates."""

    updates: int = field(metadata={"help": "Updates made so far."})
    epochs: float = field(metadata={"help": "Epochs made so far."})
    share: float = field(metadata={"help": "Share of the whole run that is done, 0 to 1."})
    seconds: float = field(
        metadata={"help": "Time of training so far, without start-up, compilation, validation and saving."}
    )
    chars_per_second: float = field(metadata={"help": "Characters trained per second of that time."})
    nats: float = field(metadata={"help": "Mean loss of the newest updates."})
    learning_rate: float = field(metadata={"help": "Learning rate of the last update."})
    gradient_norm: float = field(metadata={"help": "Global norm of the last update's gradient, before clipping."})
    validating: float = field(
        default=0.0,
        metadata={"help": "Estimated time of all of the run's validations as a share of the time of its training."},
    )


@dataclass(frozen=True)
class Validation:
    """An evaluation on the held-out text, or on a sample of it."""

    updates: int = field(metadata={"help": "Updates made so far."})
    epochs: float = field(metadata={"help": "Epochs made so far."})
    train_nats: float = field(metadata={"help": "Mean loss of the updates since the last validation; NaN without any."})
    val_nats: float = field(metadata={"help": "Mean loss on the held-out text."})
    best_val_nats: float = field(metadata={"help": "Lowest loss of a validation so far, this one included."})
    improved: bool = field(metadata={"help": "Whether this loss is lower than all before."})
    sample: str = field(metadata={"help": "A short text that the model generated now."})


@dataclass(frozen=True)
class Adaptation:
    """A measurement of how far errors reach, and the k2 chosen by it (--truncation adaptive)."""

    updates: int = field(metadata={"help": "Updates made so far."})
    k2_before: int = field(metadata={"help": "The k2 used so far."})
    k2: int = field(metadata={"help": "The k2 used from now on."})
    relative_bias: float = field(metadata={"help": "Upper bound of the gradient's relative bias with this k2."})
    within: bool = field(metadata={"help": "Whether that is within the tolerance (--bias-tolerance)."})
    rate: float = field(metadata={"help": "Factor by which the norm of errors changes per step."})


@dataclass(frozen=True)
class Alarm:
    """Something that the user should know. Each kind of trouble with the network is told once a run."""

    updates: int = field(metadata={"help": "Updates made so far."})
    kind: str = field(
        metadata={
            "help": "Kind of alarm: explodes, vanishes, saturates or diverges; rolled back; unsaved, and saved when that is "
            "over."
        }
    )
    message: str = field(metadata={"help": "What happened, and what to try."})


Event = Note | Progress | Validation | Adaptation | Alarm
