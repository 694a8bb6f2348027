from __future__ import annotations

from unittest import mock

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hopscope.wire import identity

RANGES = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(0, 140)), max_size=20)


@given(st.integers(0, 2**32), RANGES, st.lists(st.integers(0, 439), max_size=3), st.sampled_from([0, 256]))
def test_bytes_are_compared_as_slices_are(
    seed: int, ranges: list[tuple[int, int, int]], changed: list[int], few: int
) -> None:
    left = np.random.default_rng(seed).integers(0, 2, 440, np.uint8)
    right = left.copy()
    right[changed] ^= 1
    one, other, length = (np.array([each[n] for each in ranges], np.int64) for n in range(3))
    other = np.where(other % 2 == 0, one, other)  # half of them the same place, where little is changed
    expected = [
        left[a : a + n].tobytes() == right[b : b + n].tobytes() for a, b, n in zip(one, other, length, strict=True)
    ]
    with mock.patch.object(identity, "_FEW", few):
        assert identity.same(left, one, right, other, length).tolist() == expected
