"""No norm."""

from .spec import Norm

NONE = Norm("none")
