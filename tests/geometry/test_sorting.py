"""Sorting by sixteen bits after sixteen is the sort that compares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ditr.geometry.sorting import beginnings, stable_order


@given(bits=st.integers(0, 62), data=st.data())
def test_rows_are_those_of_a_stable_sort(bits: int, data: st.DataObject) -> None:
    numbers = st.integers(0, (1 << bits) - 1)
    few = st.sampled_from(sorted({0, (1 << bits) // 2, (1 << bits) - 1}))
    codes = np.array(data.draw(st.lists(st.one_of(numbers, few), max_size=60)), dtype=np.int64)
    order = stable_order(codes, bits)
    assert order.dtype == np.int64
    assert order.tolist() == np.argsort(codes, kind="stable").tolist()


@pytest.mark.parametrize(
    ("codes", "expected"), [([], []), ([4], [0]), ([4, 4, 4], [0]), ([0, 1, 1, 7, 9, 9], [0, 1, 3, 4])]
)
def test_beginnings_are_where_a_new_number_stands(codes: list[int], expected: list[int]) -> None:
    assert beginnings(np.array(codes, dtype=np.int64)).tolist() == expected
