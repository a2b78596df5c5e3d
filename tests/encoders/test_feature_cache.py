from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cached_features import LAST_USED, features, key, keys, photographs, same
from numpy.typing import NDArray
from PIL import Image
from tiny_encoder import write_tiny_encoder

from ditr.encoders.feature_cache import EncodedView, FeatureCache, encode_views
from ditr.encoders.image_encoder import ImageEncoder, load_image_encoder
from ditr.errors import InputError
from ditr.scene import Camera, View


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> ImageEncoder:
    return load_image_encoder(str(write_tiny_encoder(tmp_path_factory.mktemp("encoder"))))


def view_of(image: Path | NDArray[np.uint8], height: int = 42, width: int = 56) -> View:
    return View("v", Camera(width, height, 50.0, 50.0, width / 2, height / 2), np.eye(4), image)


# -------------------------------------------------------------------------------------------------------- encode_views


def test_features_come_in_order_whatever_the_sizes_and_batches(encoder: ImageEncoder) -> None:
    images = [*photographs(3), *photographs(2, 28, 28), *photographs(3, seed=1)]
    steps: list[tuple[int, int]] = []
    encoded = encode_views(encoder, images, batch_size=2, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(0, 8), (2, 8), (4, 8), (6, 8), (8, 8)]
    for image, result in zip(images, encoded, strict=True):
        size = image.shape[:2]
        alone = encoder(encoder.prepare([image], (size[0], size[1])))
        assert same(result, EncodedView(alone.patch[0], alone.cls[0]))  # and so nothing was rounded
        assert result.patch.shape == (size[0] // 14, size[1] // 14, 32)


def test_no_images_give_no_features(encoder: ImageEncoder, tmp_path: Path) -> None:
    assert encode_views(encoder, [], cache=FeatureCache(tmp_path)) == []


def test_filling_run_and_reading_run_agree(encoder: ImageEncoder, tmp_path: Path) -> None:
    images, cache = photographs(3), FeatureCache(tmp_path)
    exact = encode_views(encoder, images)
    first = encode_views(encoder, images, cache=cache)
    second = encode_views(encoder, images, cache=FeatureCache(tmp_path))
    for plain, filled, read in zip(exact, first, second, strict=True):
        assert same(filled, read)
        assert same(filled, plain.rounded())
        assert not same(filled, plain)


PROCESS = """
import hashlib, sys
import numpy as np
from ditr.encoders.feature_cache import FeatureCache, encode_views
from ditr.encoders.image_encoder import load_image_encoder
encoder = load_image_encoder(sys.argv[1])
images = list(np.random.default_rng(5).integers(0, 256, (3, 42, 56, 3), dtype=np.uint8))
digest = hashlib.sha256()
for view in encode_views(encoder, images, cache=FeatureCache(sys.argv[2]), batch_size=int(sys.argv[3])):
    digest.update(view.patch.numpy().tobytes() + view.cls.numpy().tobytes())
print(digest.hexdigest())
"""


@pytest.mark.slow
def test_processes_agree_in_every_bit(tmp_path: Path) -> None:
    folder = str(write_tiny_encoder(tmp_path / "encoder"))
    runs = [
        subprocess.Popen([sys.executable, "-c", PROCESS, folder, str(tmp_path / cache), batch], stdout=subprocess.PIPE)
        for cache, batch in (("shared", "1"), ("shared", "2"), ("own", "3"))
    ]
    filled = [run.communicate()[0] for run in runs]
    read = subprocess.run([sys.executable, "-c", PROCESS, folder, str(tmp_path / "shared"), "3"], capture_output=True)
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert len({*filled, read.stdout}) == 1
    assert len(keys(FeatureCache(tmp_path / "shared"))) == 3


def test_files_are_found_by_their_content(encoder: ImageEncoder, tmp_path: Path) -> None:
    image, cache = photographs(1)[0], FeatureCache(tmp_path / "cache")
    for name in ("a.png", "b.png"):
        Image.fromarray(image).save(tmp_path / name)
    first = encode_views(encoder, [view_of(tmp_path / "a.png")], cache=cache)
    again = encode_views(encoder, [view_of(tmp_path / "b.png")], cache=cache)
    assert same(first[0], again[0])
    assert len(keys(cache)) == 1
    Image.fromarray(255 - image).save(tmp_path / "b.png")
    assert not same(first[0], encode_views(encoder, [view_of(tmp_path / "b.png")], cache=cache)[0])


def test_size_and_encoder_are_part_of_the_key(encoder: ImageEncoder, tmp_path: Path) -> None:
    images, cache = photographs(1), FeatureCache(tmp_path / "cache")
    other = load_image_encoder(str(write_tiny_encoder(tmp_path / "other", seed=1)))
    encode_views(encoder, images, cache=cache)
    encode_views(encoder, images, sizes=[(28, 28)], cache=cache)
    encode_views(other, images, cache=cache)
    assert len(keys(cache)) == 3


def test_a_cached_image_still_has_to_fit_its_camera(encoder: ImageEncoder, tmp_path: Path) -> None:
    Image.fromarray(photographs(1)[0]).save(tmp_path / "a.png")
    cache = FeatureCache(tmp_path / "cache")
    encode_views(encoder, [view_of(tmp_path / "a.png")], sizes=[(28, 28)], cache=cache)
    with pytest.raises(InputError, match=r"a\.png"):
        encode_views(encoder, [view_of(tmp_path / "a.png", 84, 112)], sizes=[(28, 28)], cache=cache)


def test_a_missing_image_is_named(encoder: ImageEncoder, tmp_path: Path) -> None:
    for cache in (None, FeatureCache(tmp_path / "cache")):
        with pytest.raises(InputError, match=r"gone\.png"):
            encode_views(encoder, [view_of(tmp_path / "gone.png")], cache=cache)


def test_sizes_must_match_the_images(encoder: ImageEncoder) -> None:
    with pytest.raises(InputError, match="1 sizes for 2 images"):
        encode_views(encoder, photographs(2), sizes=[(28, 28)])


# -------------------------------------------------------------------------------------------------------- FeatureCache


def cut(content: bytes) -> bytes:
    return content[:-100]


def flip(content: bytes) -> bytes:
    return content[:-40] + bytes([content[-40] ^ 1]) + content[-39:]


@pytest.mark.parametrize("damage", [cut, flip, lambda content: b"", lambda content: b"\xff" * 50])
def test_damaged_entries_are_computed_again_and_replaced(
    encoder: ImageEncoder, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: object
) -> None:
    images, cache = photographs(1), FeatureCache(tmp_path)
    first = encode_views(encoder, images, cache=cache)[0]
    path = cache.path(next(iter(keys(cache))))
    whole = path.read_bytes()
    path.write_bytes(damage(whole))  # type: ignore[operator]
    with caplog.at_level(logging.WARNING):
        again = encode_views(encoder, images, cache=cache)[0]
    assert "damaged" in caplog.text and path.name in caplog.text
    assert same(first, again)
    assert path.read_bytes() == whole


def test_the_least_recently_used_entries_go(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    for index in range(8):
        cache.put(key(index), features(index))
        os.utime(cache.path(key(index)), (LAST_USED + index, LAST_USED + index))
    entry = cache.path(key(0)).stat().st_size
    assert cache.get(key(0)) is not None  # now the most recently used
    small = FeatureCache(tmp_path, max_bytes=4 * entry)
    small.put(key(8), features(8))
    assert keys(small) <= {key(0), key(6), key(7), key(8)}
    assert {key(0), key(8)} <= keys(small)
    for index in range(20, 60):
        small.put(key(index), features(index))
        assert len(keys(small)) <= 4
    assert key(59) in keys(small)


def test_other_writers_are_noticed(tmp_path: Path) -> None:
    first = FeatureCache(tmp_path)
    first.put(key(0), features(0))
    entry = first.path(key(0)).stat().st_size
    limited, other = FeatureCache(tmp_path, max_bytes=20 * entry), FeatureCache(tmp_path)
    limited.put(key(1), features(1))
    for index in range(2, 60):
        other.put(key(index), features(index))
    for index in range(60, 63):
        limited.put(key(index), features(index))
    assert len(keys(limited)) <= 20


WRITER = """
import sys, torch
from ditr.encoders.feature_cache import EncodedView, FeatureCache
cache = FeatureCache(sys.argv[1])
view = EncodedView(torch.randn(64, 64, 384), torch.randn(384))
for index in range(10**6):
    cache.put(f"{index:064x}"[::-1], view)
"""


def test_a_killed_writer_leaves_nothing_that_counts(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)])
    deadline = time.monotonic() + 60
    while len(keys(cache)) < 5 and time.monotonic() < deadline:
        time.sleep(0.005)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    found = keys(cache)
    assert len(found) >= 5
    assert all(cache.get(name) is not None for name in found)
    # The remains of a writer are swept away once they are old.
    remains = tmp_path / "00" / f".{0:064x}.1-00.part.safetensors"
    remains.parent.mkdir(exist_ok=True)
    remains.write_bytes(b"half")
    os.utime(remains, (LAST_USED, LAST_USED))
    FeatureCache(tmp_path).put(key(0), features(0))
    assert not remains.exists()


def test_a_folder_that_cannot_be_written_to_does_not_stop_a_run(
    encoder: ImageEncoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = FeatureCache(tmp_path / "cache")
    (tmp_path / "cache").write_text("in the way")
    images = photographs(2)
    with caplog.at_level(logging.WARNING):
        encoded = encode_views(encoder, images, cache=cache)
    assert same(encoded[0], encode_views(encoder, images)[0].rounded())
    assert sum("cannot be kept" in record.message for record in caplog.records) == 1


def test_impossible_caches_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="max_bytes"):
        FeatureCache(tmp_path, max_bytes=0)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="it is a file"):
        FeatureCache(tmp_path / "file")
