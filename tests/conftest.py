"""Tests keep compiled kernels and encoded corpora in the checkout's own cache, never in the user's."""

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent
os.environ["CHARLM_CACHE"] = str(ROOT / ".cache")
for name in [n for n in os.environ if n.startswith("CHARLM_") and n != "CHARLM_CACHE"]:
    del os.environ[name]
