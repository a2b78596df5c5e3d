"""Many scenes by Ray Data: the same labels, and nothing lost or twice where a machine is lost."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from small_world import make_scene, write_model, write_world

from ditr.captures.capture import read_capture
from ditr.cli import execute
from ditr.errors import Finding, Grade, InputError
from ditr.inference.ledger import Outcome
from ditr.inference.many import find_items, items_of, segment_many
from ditr.inference.on_ray import ModelOnRay, _plain, _result
from ditr.inference.scene_work import Failed, Written
from ditr.inference.segmenter import Segmenter


def test_without_ray_the_error_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    write_world(tmp_path / "scenes", 1)
    with pytest.raises(InputError, match=r"Ray is not installed. Install it: pip install 'ditr\[ray\]'"):
        execute(["segment", str(tmp_path / "scenes"), "--ray", "--model", "none", "--out", str(tmp_path / "out")])
    for more in (["--ray", "auto"], ["--ray", "head:6379"], ["--ray", "ray://head:10001"]):
        with pytest.raises(InputError, match="Ray is not installed"):
            execute(["segment", *more, str(tmp_path / "scenes" / "scene_0"), "--model", "none"])


def test_results_come_back_as_they_were() -> None:
    finding = Finding(Grade.WARNED, "scale", "it is odd", "Look", {"unit": 0.1}, is_broken=True)
    sent = json.loads(json.dumps(_plain(Written({"points": 3}, (finding,), {"read": 0.5}))))
    back = _result(sent)
    assert isinstance(back, Written) and back.findings == (finding,) and back.summary == {"points": 3}
    for error in (InputError("a", "b", "C"), OSError(28, "No space left on device", "out/x")):
        failed = _result(json.loads(json.dumps(_plain(Failed(error)))))
        assert isinstance(failed, Failed) and type(failed.error) is type(error) and str(failed.error) == str(error)


def test_scenes_in_memory_stay_here(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    segmenter = Segmenter.from_pretrained(tmp_path / "model", device="cpu")
    with pytest.raises(InputError, match="cannot be given to other machines"):
        list(segment_many(segmenter, items_of([make_scene()]), tmp_path, ray=ModelOnRay("model")))


@pytest.mark.slow
def test_a_machine_that_is_lost_takes_nothing_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="Ray is not installed (ditr[ray])")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    write_world(tmp_path / "scenes", 30)
    (tmp_path / "scenes" / "scene_7" / "points.ply").write_bytes(b"ply\nformat ascii 1.0\nend_header\n")
    write_model(tmp_path / "model")
    torch.set_num_threads(1)
    segmenter = Segmenter.from_pretrained(tmp_path / "model", device="cpu")
    items, outcomes = find_items([tmp_path / "scenes"]), list[Outcome]()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        second = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, log_to_driver=False)
        model = ModelOnRay(str(tmp_path / "model"), "cpu")
        for outcome in segment_many(segmenter, items, tmp_path / "out", ray=model):
            outcomes.append(outcome)
            if len(outcomes) == 5:
                cluster.remove_node(second, allow_graceful=False)
    finally:
        ray.shutdown()
        cluster.shutdown()
    lines = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert len(outcomes) == 30
    assert Counter(line["scene"] for line in lines) == Counter(item.name for item in items)
    assert {line["scene"]: line["status"] for line in lines if line["status"] != "labelled"} == {"scene_7": "failed"}
    for item in items[:3]:
        assert isinstance(item.source, Path)
        alone = segmenter(read_capture(item.source))
        assert np.array_equal(np.load(tmp_path / "out" / item.name / "label.npy"), alone.label)
        assert np.array_equal(np.load(tmp_path / "out" / item.name / "confidence.npy"), alone.confidence)
