"""How benchmarks take the mean."""

from __future__ import annotations

import pytest

from ditr.datasets.counting import Absent
from ditr.datasets.table import by_name


def test_groups_of_scannet200() -> None:
    benchmark = by_name("ScanNet200")
    counting, labels = benchmark.counting, benchmark.labels
    assert counting is not None and labels is not None
    sizes = {name: len(classes) for name, classes in counting.groups.items()}
    assert sizes == {"head": 66, "common": 68, "tail": 66}
    assert sorted(index for classes in counting.groups.values() for index in classes) == list(range(200))
    unseen = [labels.to_raw[index] for index in counting.unseen]
    assert unseen == [121, 221, 286, 331, 399, 572, 581, 1174, 1178, 1183, 1190]


@pytest.mark.parametrize(("name", "absent"), [("nuScenes", Absent.LEFT_OUT), ("SemanticKITTI", Absent.ZERO)])
def test_absent_classes(name: str, absent: Absent) -> None:
    counting = by_name(name).counting
    assert counting is not None and counting.absent is absent
