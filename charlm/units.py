"""Units of losses: computed in nats, told in bits as well."""

from typing import Any

_LN2 = 0.6931471805599453  # written out: C libraries might round math.log(2) differently


def to_bits(nats: Any) -> Any:
    """Return losses in bits: a number for a number in nats, an array for an array."""
    return nats / _LN2
