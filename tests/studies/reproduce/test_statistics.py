"""Paired differences and verdicts, against numbers worked out by hand."""

from __future__ import annotations

import pytest

from ditr.studies.reproduce.statistics import Verdict, mean_and_spread, paired_difference, verdict


def test_interval_is_that_of_student_with_paired_seeds() -> None:
    # Differences 1, 2 and 3: mean 2, standard deviation 1; t(0.975, 2) = 4.30265 and 4.30265 / sqrt(3) = 2.48414.
    difference = paired_difference([11.0, 22.0, 33.0], [10.0, 20.0, 30.0])
    assert difference.mean == pytest.approx(2.0)
    assert difference.spread == pytest.approx(1.0)
    assert difference.low == pytest.approx(-0.48414, abs=1e-4)
    assert difference.high == pytest.approx(4.48414, abs=1e-4)
    assert difference.seeds == 3


def test_spread_is_that_of_a_sample() -> None:
    assert mean_and_spread([1.0, 2.0, 3.0]) == (2.0, 1.0)
    assert mean_and_spread([4.0]) == (4.0, None)


def test_what_seeds_share_does_not_widen_the_interval() -> None:
    """Worlds differ in difficulty much more than the variants do."""
    difference = paired_difference([12.1, 45.0, 82.0], [10.0, 43.1, 80.0])
    assert difference.low is not None and difference.low > 1.5


@pytest.mark.parametrize(
    ("better", "worse", "at_least", "expected"),
    [
        ([11.0, 12.1, 13.0], [10.0, 11.0, 12.0], 0.0, Verdict.MET),
        ([10.0, 11.0, 12.0], [11.0, 12.1, 13.0], 0.0, Verdict.NOT_MET),
        ([11.0, 22.0, 33.0], [10.0, 20.0, 30.0], 0.0, Verdict.NOT_RESOLVED),
        # Half a point lost, where one may be lost and where none may.
        ([9.5, 10.51, 11.5], [10.0, 11.0, 12.0], -1.0, Verdict.MET),
        ([9.5, 10.51, 11.5], [10.0, 11.0, 12.0], -0.3, Verdict.NOT_MET),
        ([99.0], [1.0], 0.0, Verdict.NOT_RESOLVED),
        ([5.0, 6.0], [4.0, 5.0], 0.0, Verdict.MET),
        ([5.0, 6.0], [5.0, 6.0], 0.0, Verdict.NOT_RESOLVED),
    ],
)
def test_verdicts(better: list[float], worse: list[float], at_least: float, expected: Verdict) -> None:
    assert verdict(paired_difference(better, worse), at_least) is expected


def test_other_seeds_are_not_paired() -> None:
    with pytest.raises(ValueError, match="same seeds"):
        paired_difference([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="same seeds"):
        paired_difference([], [])
