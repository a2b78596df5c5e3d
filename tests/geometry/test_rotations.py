"""Rotations against those of scipy, with their edges: no turn, half a turn, and quaternions of either sign."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from ditr.geometry.rotations import between, inverse, poses_of, rotations_of, turns_of


def random_turns(count: int = 200) -> np.ndarray:
    """Axes times angles up to just under half a turn, the first ones tiny or none."""
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(count, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    angles = rng.uniform(0, np.pi, count)
    angles[:3] = (0.0, 1e-12, np.pi - 1e-9)
    return axes * angles[:, None]


def test_axes_times_angles_are_scipys() -> None:
    turns = random_turns()
    np.testing.assert_allclose(turns_of(turns), Rotation.from_rotvec(turns).as_matrix(), atol=1e-14)


def test_quaternions_of_any_length_and_sign_are_scipys() -> None:
    x, y, z, w = Rotation.from_rotvec(random_turns()).as_quat().T
    wanted = Rotation.from_rotvec(random_turns()).as_matrix()
    for factor in (1.0, -1.0, 7.5):
        found = rotations_of(factor * np.stack([w, x, y, z], axis=1))
        np.testing.assert_allclose(found, wanted, atol=1e-14)
    assert np.isnan(rotations_of(np.zeros(4))).all()


def test_the_way_between_is_the_short_one() -> None:
    turns = random_turns(40)
    share = np.linspace(0, 1, 40)
    first, second = Rotation.from_rotvec(turns), Rotation.from_rotvec(turns[::-1])
    a, b = (np.roll(rotation.as_quat(), 1, axis=1) for rotation in (first, second))
    wanted = [
        Slerp([0, 1], Rotation.concatenate([one, other]))(t).as_matrix()
        for one, other, t in zip(first, second, share, strict=True)
    ]
    np.testing.assert_allclose(rotations_of(between(a, b, share)), wanted, atol=1e-12)
    np.testing.assert_allclose(rotations_of(between(a, -b, share)), wanted, atol=1e-12)
    np.testing.assert_allclose(rotations_of(between(a, -a, share)), first.as_matrix(), atol=1e-12)


def test_poses_are_inverted() -> None:
    poses = poses_of(turns_of(random_turns(30)), np.random.default_rng(1).normal(size=(30, 3)))
    np.testing.assert_allclose(inverse(poses) @ poses, np.tile(np.eye(4), (30, 1, 1)), atol=1e-14)
    np.testing.assert_allclose(inverse(inverse(poses)), poses, atol=1e-14)
