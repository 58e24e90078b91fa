"""What happens in a run, as the trainer tells it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Note:
    """Something that was found or decided, mostly before training began."""

    message: str


@dataclass(frozen=True)
class Progress:
    """Where training is. nats: mean loss of the newest updates, per character; share: of the whole run.

    validating: roughly, the time of all of the run's validations as a share of the time of its training.
    """

    updates: int
    epochs: float
    share: float
    seconds: float
    chars_per_second: float
    nats: float
    learning_rate: float
    gradient_norm: float
    validating: float = 0.0


@dataclass(frozen=True)
class Validation:
    """A look at the held-out text. train_nats: mean loss of the updates since the last one, NaN where there were none.

    sample: a short text as the model now writes it.
    """

    updates: int
    epochs: float
    train_nats: float
    val_nats: float
    best_val_nats: float
    improved: bool
    sample: str


@dataclass(frozen=True)
class Adaptation:
    """A measurement of how far errors reach, and the k2 chosen by it.

    within: whether its bias is within the tolerance. rate: what the norm of errors is multiplied by a step.
    """

    updates: int
    k2_before: int
    k2: int
    relative_bias: float
    within: bool
    rate: float


@dataclass(frozen=True)
class Alarm:
    """Something that the user should know.

    kind: explodes, vanishes, saturates or diverges, each once a run; rolled back; unsaved, and saved when that is over.
    """

    updates: int
    kind: str
    message: str


Event = Note | Progress | Validation | Adaptation | Alarm
