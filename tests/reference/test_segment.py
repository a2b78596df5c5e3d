"""Networks against the published implementation: logits, every stored stage, and the geometry of every level."""

from __future__ import annotations

from golden import GoldenCase
from published import prepare, x2d_of
from stages import check_segmentation


def test_segment(case_segment_ptv3: GoldenCase) -> None:
    check_segmentation(case_segment_ptv3, prepare(case_segment_ptv3), x2d_of(case_segment_ptv3))
