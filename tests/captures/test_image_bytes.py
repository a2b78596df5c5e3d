"""Photographs that are the bytes of a file: read, checked, cached and written as the file would be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_world import make_scene, tiny_encoding

from ditr.captures.capture import read_capture, write_capture
from ditr.captures.images import image_size, read_image
from ditr.captures.whole import file_faults
from ditr.errors import InputError
from ditr.scene import View


def in_both_ways(folder: Path, suffix: str) -> tuple[View, View]:
    """A view of a file, and the same of its bytes."""
    view = make_scene(views=1).views[0]
    path = folder / f"photo{suffix}"
    Image.fromarray(np.asarray(view.image)).save(path)
    return replace(view, image=path), replace(view, image=path.read_bytes())


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_bytes_are_read_as_the_file(tmp_path: Path, suffix: str) -> None:
    file, content = in_both_ways(tmp_path, suffix)
    np.testing.assert_array_equal(read_image(content), read_image(file))
    assert isinstance(content.image, bytes) and image_size(content.image) == (56, 42)
    assert file_faults([content]) == []
    write_capture(replace(make_scene(views=1), views=(content,)), tmp_path / "written")
    (view,) = read_capture(tmp_path / "written").views
    assert isinstance(view.image, Path) and view.image.suffix == suffix
    assert view.image.read_bytes() == content.image


def test_a_cache_knows_them_as_the_file(tmp_path: Path) -> None:
    file, content = in_both_ways(tmp_path, ".jpg")
    encoding = tiny_encoding(tmp_path)
    encoding.encode([file])
    entries = sorted((tmp_path / "features").rglob("*.safetensors"))
    encoding.encode([content])
    assert sorted((tmp_path / "features").rglob("*.safetensors")) == entries


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_damage_names_the_view(tmp_path: Path, suffix: str) -> None:
    _, content = in_both_ways(tmp_path, suffix)
    assert isinstance(content.image, bytes)
    (fault,) = file_faults([replace(content, image=content.image[:-40])])
    assert fault.where == "view photo_0" and "cannot be decoded" in fault.fault
    with pytest.raises(InputError, match="view photo_0: the image cannot be decoded"):
        read_image(replace(content, image=b"nothing"))
    with pytest.raises(InputError, match="view photo_0: the image is 56x42, its camera 28x42"):
        read_image(replace(content, camera=replace(content.camera, width=28)))
