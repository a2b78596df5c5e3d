"""The octree: each point once, parents above children, within a budget; kept, and made again where it is damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ditr.viewer.octree import LEAF, Octree, build_octree, flat_octree, kept_octree


@pytest.fixture(scope="module")
def hills() -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    plan = rng.random((200_000, 2)) * 100
    return np.column_stack([plan, 3 * np.sin(plan[:, 0] / 5)]).astype(np.float32)


@pytest.fixture(scope="module")
def tree(hills: NDArray[np.float32]) -> Octree:
    return build_octree(hills)


def test_nodes_hold_each_point_once_and_lie_in_their_parents(hills: NDArray[np.float32], tree: Octree) -> None:
    assert np.array_equal(np.sort(tree.order), np.arange(len(hills)))
    assert len(tree) > 20 and tree.parent[0] == -1 and (tree.parent[1:] >= 0).all()
    assert (tree.parent[1:] < np.arange(1, len(tree))).all()
    for node in range(len(tree)):
        points = hills[tree.points(node)]
        assert np.abs(points - tree.center[node]).max() <= 0.5 * tree.edge[node] * 1.001
        if node:
            above = tree.parent[node]
            assert tree.edge[above] == pytest.approx(2 * tree.edge[node])
            assert not tree.whole[above]
    assert np.diff(tree.start)[tree.whole].max() <= LEAF
    # What is drawn of a coarse node has gaps as wide as its cells, and what is drawn of a whole one has not.
    assert tree.drawn_size(0, True) > tree.drawn_size(0, False) > 0


def test_a_camera_gets_near_nodes_first_with_all_above_them(hills: NDArray[np.float32], tree: Octree) -> None:
    eye, down = np.array([20.0, 20.0, 10.0]), np.array([0.0, 0.0, -1.0])
    chosen = tree.chosen(eye, down, 1.0, 1.5, 60_000)
    held = np.diff(tree.start)[chosen].sum()
    assert 30_000 < held <= 60_000
    there = set(chosen.tolist())
    assert all(tree.parent[node] < 0 or int(tree.parent[node]) in there for node in there)
    drawn = np.concatenate([tree.points(node) for node in chosen])
    away = np.linalg.norm(hills - eye, axis=1)
    near, far = away < 15, away > 60
    assert np.isin(np.flatnonzero(near), drawn).mean() > 3 * np.isin(np.flatnonzero(far), drawn).mean()
    assert tree.chosen(eye, down, 1.0, 1.5, 10**9).tolist() == list(range(len(tree)))


def test_a_sweep_is_drawn_in_sizes_that_grow_with_its_gaps() -> None:
    away = np.linspace(2, 80, 4000)
    spacing = 0.01 * away
    tree = flat_octree(np.column_stack([away, away, away]), spacing)
    assert 2 <= len(tree) <= 5 and tree.whole.all()
    assert np.array_equal(np.sort(tree.order), np.arange(4000))
    assert (np.diff(tree.size) > 0).all()
    assert len(flat_octree(np.ones((1, 3)), np.ones(1))) == 1


def test_it_is_kept_and_made_anew_where_it_is_damaged(tmp_path: Path, hills: NDArray[np.float32]) -> None:
    some = hills[:30_000]
    first = kept_octree(some, tmp_path)
    (path,) = tmp_path.iterdir()
    before = path.stat().st_mtime_ns
    again = kept_octree(some, tmp_path)
    assert path.stat().st_mtime_ns == before
    assert np.array_equal(first.order, again.order) and np.array_equal(first.start, again.start)
    path.write_bytes(path.read_bytes()[:1000])
    corrected = kept_octree(some, tmp_path)
    assert np.array_equal(first.order, corrected.order) and path.stat().st_size > 1000
    kept_octree(some + 1, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
