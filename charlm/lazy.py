"""NumPy, imported at its first use: help texts and usage errors read specs and settings without waiting for it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
else:

    class _Lazy:
        """Stands for a module until one of its attributes is asked for."""

        def __getattr__(self, name: str) -> Any:
            import numpy

            return getattr(numpy, name)

    np = _Lazy()

__all__ = ["np"]
