"""Networks against the published implementation: logits, every stored stage, and the geometry of every level."""

from __future__ import annotations

import pytest

from golden import GoldenCase
from published import missing_feature, prepare, x2d_of
from stages import check_segmentation


def test_segment(case_segment: GoldenCase) -> None:
    if feature := missing_feature(case_segment.spec):
        pytest.skip(f"not built yet: {feature}")
    check_segmentation(case_segment, prepare(case_segment), x2d_of(case_segment))
