"""Layer norm (Ba, Kiros & Hinton 2016) between layers and before the output layer, outside of the recurrence."""

from .spec import Norm

LAYER = Norm("layer", "layer norm", between=True)
