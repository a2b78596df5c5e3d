"""A sweep without colours and depth maps: borders of things in the photographs, and jumps of the points' depths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ditr.errors import Grade
from ditr.geometry.projection import OUTDOOR
from ditr.plausibility.swapped_images import check_images
from ditr.scene import Camera, Scene, View

WIDTH, HEIGHT, FOCAL = 160, 120, 100.0


@pytest.fixture(scope="module")
def sweep() -> Scene:
    """Four cameras that look around; before a far wall each has boards of its own, brighter or darker than the wall."""
    random = np.random.default_rng(0)
    camera = Camera(WIDTH, HEIGHT, FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2)
    points, views = [], []
    for number in range(4):
        depth = np.full((HEIGHT, WIDTH), 9.0)
        image = np.full((HEIGHT, WIDTH, 3), 120, dtype=np.uint8)
        for _ in range(12):
            row, column = random.integers(0, HEIGHT - 30), random.integers(0, WIDTH - 30)
            board = np.s_[row : row + random.integers(8, 30), column : column + random.integers(8, 30)]
            depth[board], image[board] = random.uniform(3, 6), random.integers(0, 255)
        v, u = np.mgrid[0:HEIGHT:2, 0:WIDTH:2]
        z = depth[v, u].ravel()
        seen = np.stack(
            [(u.ravel() + 0.5 - WIDTH / 2) / FOCAL * z, (v.ravel() + 0.5 - HEIGHT / 2) / FOCAL * z, z], axis=1
        )
        angle = np.pi / 2 * number
        right, ahead = (np.cos(angle), np.sin(angle), 0.0), (-np.sin(angle), np.cos(angle), 0.0)
        pose = np.eye(4)
        pose[:3, :3] = [right, (0.0, 0.0, -1.0), ahead]
        points.append(seen @ pose[:3, :3])
        views.append(View(f"camera_{number}", camera, pose, image))
    return Scene("sweep", np.concatenate(points), tuple(views))


def with_images(scene: Scene, order: list[int]) -> Scene:
    pairs = zip(scene.views, order, strict=True)
    return replace(scene, views=tuple(replace(view, image=scene.views[number].image) for view, number in pairs))


def test_swapped_images_of_a_bare_sweep_are_warned_of_and_named(sweep: Scene) -> None:
    (finding,) = check_images(with_images(sweep, [1, 2, 3, 0]), OUTDOOR)
    assert finding.grade is Grade.WARNED and "jumps of the points' depths" in finding.text
    assert "the pose of camera_0 fits the image of camera_3" in finding.text
    assert finding.evidence["fit_otherwise"] > finding.evidence["fit"] + 0.15


def test_a_sound_sweep_and_one_whose_photographs_show_nothing_get_no_finding(sweep: Scene) -> None:
    assert check_images(sweep, OUTDOOR) == []
    grey = np.full((HEIGHT, WIDTH, 3), 120, dtype=np.uint8)
    assert check_images(replace(sweep, views=tuple(replace(v, image=grey) for v in sweep.views)), OUTDOOR) == []


def test_cameras_of_different_sizes_are_not_compared(sweep: Scene) -> None:
    swapped = with_images(sweep, [1, 2, 3, 0])
    small = replace(
        swapped.views[0], image=np.zeros((60, 80, 3), dtype=np.uint8), camera=Camera(80, 60, 50, 50, 40, 30)
    )
    assert check_images(replace(swapped, views=(small, *swapped.views[1:])), OUTDOOR) == []
