"""Curve codes against the published ones, and against values that were worked out from the definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden import GoldenCase

from ditr.geometry.curves import Curve, encode

POINTS = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 2, 3), (5, 6, 7), (7, 5, 3), (12, 3, 9)]


def test_curves(case_curves: GoldenCase) -> None:
    for depth in case_curves.spec["depths"]:
        grid = torch.from_numpy(case_curves.arrays[f"d{depth}.grid_coord"])
        batch = torch.from_numpy(case_curves.arrays[f"d{depth}.batch"])
        for order in case_curves.spec["orders"]:
            code = (batch << 3 * depth) | encode(grid, Curve(order), depth)
            np.testing.assert_array_equal(code, case_curves.arrays[f"d{depth}.{order}"], err_msg=f"{depth} {order}")


@pytest.mark.parametrize(
    ("depth", "order", "codes"),
    [
        (4, "z", [4, 2, 1, 29, 477, 431, 2835]),
        (4, "z-trans", [2, 4, 1, 43, 491, 415, 1701]),
        (4, "hilbert", [7, 3, 1, 36, 368, 165, 3562]),
        (4, "hilbert-trans", [3, 7, 1, 20, 358, 177, 1276]),
        (5, "hilbert", [3, 1, 7, 22, 356, 401, 2300]),
        (5, "hilbert-trans", [1, 3, 7, 50, 340, 391, 3422]),
        (9, "hilbert", [1, 7, 3, 48, 342, 305, 1116]),
    ],
)
def test_known_codes(depth: int, order: str, codes: list[int]) -> None:
    assert encode(torch.tensor(POINTS), Curve(order), depth).tolist() == codes


def test_known_codes_of_a_far_cell() -> None:
    cell = torch.tensor([(300, 200, 100)])
    nine = [encode(cell, curve, 9).item() for curve in Curve]
    assert nine == [72256832, 43355328, 128460818, 66193826]
    assert [encode(cell, curve, 10).item() for curve in (Curve.HILBERT, Curve.HILBERT_TRANS)] == [52519296, 33097122]
