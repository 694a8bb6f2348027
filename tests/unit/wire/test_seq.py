from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hopscope.wire import seq

numbers = st.integers(0, 2**32 - 1)


@given(numbers, numbers)
def test_adding_what_was_subtracted_gives_the_value_back(a: int, b: int) -> None:
    assert int(seq.add(b, seq.sub(a, b))) == a


@given(numbers, st.integers(-(2**31), 2**31 - 1))
def test_distance_is_signed_and_wraps(origin: int, step: int) -> None:
    assert int(seq.distance((origin + step) % 2**32, origin)) == step


def test_arrays_of_any_width_are_taken() -> None:
    values = np.array([0, 2**32 - 1], np.uint32)
    assert seq.sub(values, np.uint32(1)).tolist() == [2**32 - 1, 2**32 - 2]
    assert seq.before(values, np.array([1, 0])).tolist() == [True, True]
