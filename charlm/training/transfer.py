"""Parameters for a new run that start from another run's."""

from typing import NamedTuple

from ..config.run import RunConfig
from ..corpus.corpus import Corpus
from ..errors import CheckpointError
from ..nn.parameters import Parameters
from ..storage.checkpoint import Checkpoint


class Adopted(NamedTuple):
    """Parameters that start from another run's. known: how many characters it shares with the corpus; new: the others."""

    parameters: Parameters
    known: int
    new: list[str]


def adopt(source: Checkpoint, config: RunConfig, corpus: Corpus) -> Adopted:
    """Return parameters for a new run that start from another's of the same shape.

    Characters that the other run did not know keep their random values. Raises CheckpointError.
    """
    if source.vocabulary.uses_bytes != corpus.vocabulary.uses_bytes:
        theirs, ours = ("bytes", "characters") if source.vocabulary.uses_bytes else ("characters", "bytes")
        advice = "give --bytes" if theirs == "bytes" else "leave --bytes out"
        raise CheckpointError(f"{source.path}: its model reads {theirs}, this run {ours}: {advice}")
    parameters = Parameters(config.model, len(corpus.vocabulary))
    parameters.initialise(config.seed)
    arrays, old = parameters.state_dict(), source.parameters.state_dict()
    there = source.vocabulary.encode_each(corpus.vocabulary)
    known = there >= 0
    for name, array in old.items():
        if name == "rnn.weight_ih_l0":
            arrays[name][:, known] = array[:, there[known]]
        elif name.startswith("out."):
            arrays[name][known] = array[there[known]]
        else:
            arrays[name] = array
    parameters.load_state_dict(arrays)
    new = [character for character, is_known in zip(corpus.vocabulary.characters or [], known, strict=False) if not is_known]
    return Adopted(parameters, int(known.sum()), new)
