"""Labels of points in the pixels of photographs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_world import look_at

from ditr.geometry.projection import project
from ditr.geometry.upright_views import turned
from ditr.pictures.label_images import label_image, unlabelled_index, write_label_image
from ditr.pictures.render import DrawnCloud
from ditr.scene import Camera, CameraModel, Scene, View

FAR, NEAR = 0, 1
CAMERA = Camera(80, 60, 60.0, 60.0, 40.0, 30.0)
SIGHT = look_at((0.0, -2.0, 0.0), (0.0, 1.0, 0.0))


def two_walls() -> tuple[Scene, np.ndarray]:
    """A large wall at y = 2, one of 1 x 1 m before it at y = 0, and the labels of their points."""
    rng = np.random.default_rng(3)
    far, near = rng.uniform((-6, 2, -5), (6, 2, 5), (60_000, 3)), rng.uniform((-0.5, 0, -0.5), (0.5, 0, 0.5), (4000, 3))
    return Scene("walls", np.concatenate([far, near])), np.repeat([FAR, NEAR], [60_000, 4000])


def view(camera: Camera = CAMERA, **more: object) -> View:
    return View("a", camera, SIGHT, np.zeros((camera.height, camera.width, 3), np.uint8), **more)  # type: ignore[arg-type]


def expected(camera: Camera) -> np.ndarray:
    """What each pixel shows: the near wall where a dense grid of its points lies."""
    x, z = np.meshgrid(np.linspace(-0.5, 0.5, 800), np.linspace(-0.5, 0.5, 800))
    pixel = project(np.stack([x.ravel(), np.zeros(x.size), z.ravel()], axis=1), camera, SIGHT).pixel
    shown = np.full((camera.height, camera.width), FAR)
    shown[tuple(np.floor(pixel).astype(int).T[::-1])] = NEAR
    return shown


@pytest.mark.parametrize(
    "camera",
    [
        CAMERA,
        replace(CAMERA, model=CameraModel.OPENCV, distortion=(-0.2, 0.05, 0.01, -0.01)),
        replace(CAMERA, model=CameraModel.OPENCV_FISHEYE, distortion=(0.05, -0.01, 0.0, 0.0)),
    ],
    ids=["pinhole", "opencv", "fisheye"],
)
def test_a_pixel_has_the_label_of_what_it_shows(camera: Camera) -> None:
    scene, label = two_walls()
    image = label_image(DrawnCloud.of(scene), label, view(camera))
    assert image.shape == (60, 80) and image.dtype == np.int32
    assert (image >= 0).mean() > 0.97
    assert (image == expected(camera))[image >= 0].mean() > 0.98


def test_depth_maps_and_masks_are_heeded() -> None:
    scene, label = two_walls()
    cloud = DrawnCloud.of(scene)
    depth = np.where(expected(CAMERA) == NEAR, 2.0, 4.0).astype(np.float32)
    sharp = label_image(cloud, label, view(depth=depth))
    assert (sharp == expected(CAMERA))[sharp >= 0].all()
    nothing_near = label_image(cloud, label, view(depth=np.full((30, 40), 4.0, np.float32)))
    assert (nothing_near != NEAR).all() and (nothing_near == FAR).mean() > 0.9
    mask = np.ones((60, 80), dtype=bool)
    mask[:20] = False
    masked = label_image(cloud, label, view(mask=mask))
    assert (masked[:20] == -1).all() and (masked[20:] >= 0).mean() > 0.97


def test_the_image_lies_as_its_photograph_does() -> None:
    """Also for a view that was turned upright, and for one whose file has rows that are cut off."""
    scene, label = two_walls()
    cloud = DrawnCloud.of(scene)
    plain = label_image(cloud, label, view())
    np.testing.assert_array_equal(label_image(cloud, label, turned(view(), 1)), plain)
    cut = label_image(cloud, label, view(cut_top=12))
    assert cut.shape == (72, 80) and (cut[:12] == -1).all()
    np.testing.assert_array_equal(cut[12:], plain)


def test_indices_and_colours_are_those_of_the_classes(tmp_path: Path) -> None:
    label = np.array([[0, 1, -1], [2, 2, 0]], dtype=np.int32)
    colors = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
    write_label_image(tmp_path / "a.png", label, 3, colors)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P" and image.size == (3, 2)
        np.testing.assert_array_equal(np.array(image), np.where(label < 0, 255, label))
        assert np.array(image.convert("RGB"))[0].tolist() == [[255, 0, 0], [0, 255, 0], [150, 150, 150]]
    assert (unlabelled_index(255), unlabelled_index(256)) == (255, 65535)
    many = label.copy()
    many[0, 0] = 299
    write_label_image(tmp_path / "b.png", many, 300)
    with Image.open(tmp_path / "b.png") as image:
        np.testing.assert_array_equal(np.array(image), np.where(many < 0, 65535, many))
