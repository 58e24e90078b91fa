"""The file metrics.jsonl: lines are added, and taken back if the run returns to an earlier state."""

import json
import os
from pathlib import Path
from typing import Any

from ..distributed.ranks import Ranks
from ..files import write_atomically
from ..record import to_dict
from ..storage.run_directory import METRICS
from ..tree import StateDict, take_count, take_list


class MetricsFile:
    """Writes the lines of one run, on the first rank. A line that cannot be written waits for the next one."""

    def __init__(self, run: Path, ranks: Ranks) -> None:
        self._path, self._ranks = run / METRICS, ranks
        self._lines = 0  # in the file
        self._waiting: list[str] = []  # lines that could not be written

    def append(self, record: Any) -> None:
        """Write a record as a line, after those that could not be written before."""
        if self._ranks.first:
            self._waiting.append(json.dumps(to_dict(record)) + "\n")
            self.flush()

    def flush(self, to_disk: bool = False) -> None:
        """Try to write the lines that wait: all, or none with the file unchanged. to_disk: force the file to the disk."""
        if not self._ranks.first or (not self._waiting and not to_disk):
            return
        try:
            with self._path.open("ab") as file:
                size = file.tell()
                try:
                    file.write("".join(self._waiting).encode())
                    file.flush()
                except OSError:
                    file.truncate(size)
                    raise
                if to_disk:
                    os.fsync(file.fileno())
        except OSError:
            return
        self._lines, self._waiting = self._lines + len(self._waiting), []

    def state_dict(self) -> StateDict:
        """Return the number of lines in the file, and the lines that wait."""
        return {"lines": self._lines, "waiting": list(self._waiting)}

    def load_state_dict(self, state: StateDict) -> None:
        """Take over what `state_dict` returned. Raises LeafError."""
        self._lines, self._waiting = take_count(state, "lines"), take_list(state, "waiting", str, "lines")

    def remove_later_lines(self) -> None:
        """Remove the lines that were written after the state that was loaded: they will be written again."""
        self._ranks.on_first(self._remove_later_lines)

    def _remove_later_lines(self) -> None:
        if self._path.exists():
            kept = self._path.read_bytes().split(b"\n")[:-1][: self._lines]
            self._lines = len(kept)
            write_atomically(self._path, lambda file: file.write(b"".join(line + b"\n" for line in kept)))
        else:
            self._lines = 0
