"""Where texts end, however they are drawn: as str.find finds the stop text."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from charlm.inference.generation import _Batch
from charlm.inference.sampling import Drawn


@given(
    st.integers(1, 3).flatmap(lambda n: st.lists(st.text("ab", min_size=30, max_size=30), min_size=n, max_size=n)),
    st.text("ab", max_size=9),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_texts_end_with_the_stop_texts_first_occurrence(texts: list[str], stop: str, sizes: list[int]) -> None:
    ids = np.array([[ord(c) for c in text] for text in texts], np.int32).T
    code = np.array([ord(c) for c in stop], np.int64)
    whole, single = _Batch(code, len(texts)), _Batch(code, 1)
    at, taken = 0, ""
    while at < len(ids):
        n = sizes[at % len(sizes)]
        whole.add(Drawn(ids[at : at + n], np.zeros((len(ids[at : at + n]), len(texts)))))
        single.add(Drawn(ids[at : at + n, :1], np.zeros((len(ids[at : at + n]), 1))))
        taken += "".join(map(chr, single.take()))
        at += n
    ends = [text.find(stop) + len(stop) if stop and stop in text else None for text in texts]
    for i, end in enumerate(ends):
        assert whole.ended(i) == (end is not None)
        assert whole.length(i) == (len(texts[i]) if end is None else end)
    assert whole.all_ended == all(end is not None for end in ends)
    assert np.array_equal(whole.drawn().ids, ids)
    assert taken == texts[0][: ends[0]]
