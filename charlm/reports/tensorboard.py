"""TensorBoard event files, written during training: metrics and samples."""

import time
from pathlib import Path
from typing import Any

from ..events import Event, Progress, Validation
from ..units import to_bits


class TensorBoard:
    """An `on_event` for charlm.train that writes to the run directory. Show it with `tensorboard --logdir runs`.

    The package tensorboard is required: pip install "charlm[tensorboard]".
    """

    def __init__(self, run: Path) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        run.mkdir(parents=True, exist_ok=True)
        self._writer = EventFileWriter(str(run), flush_secs=10)

    def __call__(self, event: Event) -> None:
        """Write one training event."""
        if isinstance(event, Progress) and event.seconds > 0:
            self._write(
                event.updates,
                {
                    "bits_per_char/training": to_bits(event.nats),
                    "learning_rate": event.learning_rate,
                    "gradient_norm": event.gradient_norm,
                    "chars_per_second": event.chars_per_second,
                    "epochs": event.epochs,
                },
            )
        elif isinstance(event, Validation):
            self._write(event.updates, {"bits_per_char/validation": to_bits(event.val_nats)}, event.sample)

    def _write(self, step: int, scalars: dict[str, float], sample: str | None = None) -> None:
        from tensorboard.compat.proto.event_pb2 import Event as Record
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        if sample is not None:
            values.append(_text("sample", sample))
        self._writer.add_event(Record(wall_time=time.time(), step=step, summary=Summary(value=values)))

    def close(self) -> None:
        """Write all pending events and close the file."""
        self._writer.close()


def _text(tag: str, text: str) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING

    plugin = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
    fenced = f"```\n{text}\n```"  # TensorBoard shows text as Markdown
    return Summary.Value(tag=tag, metadata=plugin, tensor=TensorProto(dtype=DT_STRING, string_val=[fenced.encode()]))
