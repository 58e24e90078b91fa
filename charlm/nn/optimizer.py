"""An optimizer with its memory. The update rules are in nn/optimizers/."""

import numpy as np

from ..config.optimizer import OptimizerConfig
from ..kernels.tasks import OptimizerParams
from ..registry import OPTIMIZERS
from ..tree import StateDict, take_array
from .arrays import aligned_zeros
from .optimizers.spec import OptimizerSpec, compiled
from .parameters import Parameters


class Optimizer:
    """One update rule with its memory, for one set of parameters; `rule` is what the training kernel is handed.

    slots: (n, *flat.shape), zeros at first.
    """

    def __init__(
        self, config: OptimizerConfig, parameters: Parameters, gradients: Parameters, spec: OptimizerSpec | None = None
    ) -> None:
        """spec: the rule, if not the one that config names. Raises ConfigurationError."""
        spec = OPTIMIZERS[config.rule] if spec is None else spec
        self.slots = aligned_zeros((spec.slots(config.momentum), *parameters.flat.shape))
        self.rule = OptimizerParams(
            update=compiled(spec, config.momentum),
            momentum=float(config.momentum),
            nesterov=int(config.nesterov),
            beta1=float(config.beta1),
            beta2=float(config.beta2),
            epsilon=spec.epsilon,
            decay=float(config.weight_decay),
            clip=float(config.clip),
            matrices=parameters.matrices,
            parameters=parameters.flat,
            gradients=gradients.flat,
            slots=self.slots,
            partial=np.zeros(len(parameters.flat)),
        )

    def state_dict(self) -> StateDict:
        """Return the rule's memory: slots (n, R, P)."""
        return {"slots": self.slots}

    def load_state_dict(self, state: StateDict) -> None:
        """Take over what `state_dict` returned. Raises LeafError."""
        self.slots[...] = take_array(state, "slots", self.slots.shape)
