"""The held-out text of a run, read together by all ranks."""

from collections.abc import Callable

from ..distributed.ranks import Ranks
from ..inference.evaluation import Evaluation, Evaluator
from ..nn.parameters import Parameters
from ..tbptt.resets import Resets
from ..tbptt.streams import Ids
from .validation_plan import streams_for


class HeldOut:
    """A held-out text, on a sample of which the parameters of a run are evaluated as they are at that moment."""

    def __init__(self, parameters: Parameters, text: Ids, resets: Resets, threads: int, ranks: Ranks) -> None:
        """text: with an opening character before its first one. ranks: they read it together."""
        self._parameters, self._text, self._resets, self._threads, self._ranks = parameters, text, resets, threads, ranks
        self._evaluators: dict[int, Evaluator] = {}  # by their streams

    def __len__(self) -> int:
        """Return the number of characters."""
        return len(self._text) - 1

    def prepare(self) -> None:
        """Compile what is needed, or load it. Reads nothing."""
        self._evaluator(1).prepare()

    def _evaluator(self, streams: int) -> Evaluator:
        if streams not in self._evaluators:
            own = Evaluator(self._parameters, streams, self._threads, self._ranks.rank, self._ranks.size)
            self._evaluators = {streams: own}
        return self._evaluators[streams]

    def evaluate(self, chars: int, on_done: Callable[[int], None]) -> Evaluation:
        """Evaluate this rank's part of a sample of so many characters, always the same, spread over all of the text.

        on_done: as for Evaluator.evaluate.
        """
        streams = streams_for(chars)
        return self._evaluator(streams).evaluate(self._text, self._resets, on_done, -(-chars // streams))
