from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hopscope.wire.number import number

rows = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**64 - 1) | st.integers(0, 2), st.booleans()), max_size=20)


@given(rows)
def test_numbers_are_places_in_the_sorted_set(given: list[tuple[int, int, bool]]) -> None:
    columns = (
        np.array([row[0] for row in given], np.int64),
        np.array([row[1] for row in given], np.uint64),
        np.array([row[2] for row in given], np.bool_),
    )
    order = sorted(set(given))
    assert number(*columns).tolist() == [order.index(row) for row in given]
