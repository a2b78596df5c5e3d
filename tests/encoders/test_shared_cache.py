"""A feature cache that is read-only, another user's, full or shared serves as it is."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from cached_features import LAST_USED, features, key, keys, photographs, same
from numpy.typing import NDArray
from permissions import give_away, give_back, permissions_bind, read_only
from tiny_encoder import write_tiny_encoder

from ditr.encoders.feature_cache import FeatureCache, encode_views
from ditr.encoders.image_encoder import ImageEncoder, load_image_encoder
from ditr.errors import InputError
from ditr.io.caches import cache_folder, feature_limit


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> ImageEncoder:
    return load_image_encoder(str(write_tiny_encoder(tmp_path_factory.mktemp("encoder"))))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Of a cache, removable whatever the test makes of it."""
    yield tmp_path / "cache"
    give_back(tmp_path / "cache")


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """All files, with mode and content."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mode, path.read_bytes()) for path in files}


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("close", [read_only, give_away], ids=["read-only", "another user's"])
def test_what_is_there_is_read_and_the_rest_computed(
    encoder: ImageEncoder, folder: Path, caplog: pytest.LogCaptureFixture, close: Callable[[Path], None]
) -> None:
    images = [*photographs(3), *photographs(3, seed=1)]
    encode_views(encoder, images[:3], cache=FeatureCache(folder))
    close(folder)
    before, calls = snapshot(folder), []
    with permissions_bind(), caplog.at_level(logging.WARNING):
        cache = FeatureCache(folder, max_bytes=1)  # eviction would have to remove all of it
        found = encode_views(
            encoder, images, cache=cache, batch_size=1, progress=lambda done, total: calls.append((done, total))
        )
        with pytest.raises(PermissionError):
            (folder / "00").mkdir()
    assert calls[0] == (3, 6), "the first three were in the cache"
    expected = [view.rounded() for view in encode_views(encoder, images)]
    assert all(same(one, other) for one, other in zip(found, expected, strict=True))
    assert snapshot(folder) == before
    (said,) = messages(caplog)
    assert "cannot be kept" in said and str(folder) in said and "Permission denied" in said


def test_entries_that_this_user_may_not_read_are_no_damage(
    encoder: ImageEncoder, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images: list[NDArray] = photographs(3)
    first = encode_views(encoder, images, cache=FeatureCache(folder))
    for path in folder.rglob("*.safetensors"):
        path.chmod(0)
    with permissions_bind(), caplog.at_level(logging.WARNING):
        again = encode_views(encoder, images, cache=FeatureCache(folder))
    (said,) = messages(caplog)
    assert "cannot be read" in said and "damaged" not in said
    assert all(map(same, first, again))
    with permissions_bind():
        assert all(FeatureCache(folder).get(name) is not None for name in keys(FeatureCache(folder))), "written again"


def test_entries_that_cannot_be_removed_are_passed_over(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = FeatureCache(folder)
    names = [f"{index:02x}".ljust(64, "0") for index in range(6)]
    for name in names[:4]:
        cache.put(name, features(0))
    entry = cache.path(names[0]).stat().st_size
    for name in names[:4]:
        os.utime(cache.path(name), (LAST_USED, LAST_USED))
    for name in names[:2]:
        read_only(cache.path(name).parent)
    with permissions_bind(), caplog.at_level(logging.WARNING):
        small = FeatureCache(folder, max_bytes=3 * entry + entry // 2)
        small.put(names[4], features(0))
        assert keys(small) == {names[0], names[1], names[4]}, "the others were older"
        assert not caplog.records
        tiny = FeatureCache(folder, max_bytes=entry)
        tiny.put(names[5], features(0))
        tiny.put(names[3], features(0))
        assert keys(tiny) == {names[0], names[1]}
        assert tiny.get(names[0]) is not None
    (said,) = messages(caplog)
    assert "cannot remove" in said


def test_only_entries_are_ever_removed(folder: Path) -> None:
    cache = FeatureCache(folder)
    cache.put(key(1), features(1))
    others = ["ab/holiday.jpg", "ab/notes.safetensors", f"ab/{key(1)}.safetensors", "xy/.a.part.safetensors", "a.txt"]
    for name in others:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"of somebody")
        os.utime(folder / name, (LAST_USED, LAST_USED))
    outside = folder.parent / "outside.safetensors"
    outside.write_bytes(b"of somebody")
    linked = cache.path(f"ab{key(2)[2:]}")
    linked.symlink_to(outside)
    FeatureCache(folder, max_bytes=1).put(key(3), features(3))
    assert not keys(FeatureCache(folder)) - {linked.stem, key(1), "notes"}
    assert all((folder / name).exists() for name in others) and linked.is_symlink() and outside.exists()


def test_a_cache_is_for_whom_its_folder_is(folder: Path) -> None:
    folder.mkdir()
    before = os.umask(0o077)
    try:
        for mode, subfolder, file in ((0o2775, 0o2775, 0o664), (0o700, 0o700, 0o600), (0o755, 0o755, 0o644)):
            folder.chmod(mode)
            cache = FeatureCache(folder)
            name = f"{mode:02x}".rjust(64, "0")[::-1]
            cache.put(name, features(0))
            assert cache.path(name).parent.stat().st_mode & 0o7777 == subfolder
            assert cache.path(name).stat().st_mode & 0o777 == file
            give_back(folder)
    finally:
        os.umask(before)


def test_place_and_limit_are_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DITR_CACHE", "XDG_CACHE_HOME", "DITR_CACHE_LIMIT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "ditr"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / ".cache" / "ditr"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "ditr"
    monkeypatch.setenv("DITR_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "mine"
    assert feature_limit() == FeatureCache(tmp_path).max_bytes == 20 * 2**30
    for text, size in (("1000", 1000), ("500MB", 5 * 10**8), ("1.5 gib", 3 * 2**29), ("2TB", 2 * 10**12)):
        monkeypatch.setenv("DITR_CACHE_LIMIT", text)
        assert feature_limit() == FeatureCache(tmp_path).max_bytes == size
    for text in ("0", "much", "-1GB", "1 PB", "0.1B"):
        monkeypatch.setenv("DITR_CACHE_LIMIT", text)
        with pytest.raises(InputError, match="DITR_CACHE_LIMIT"):
            FeatureCache(tmp_path)


def test_precisions_never_meet(tmp_path: Path) -> None:
    spec, image, cache = str(write_tiny_encoder(tmp_path / "encoder")), photographs(1), FeatureCache(tmp_path / "cache")
    plain, half = (load_image_encoder(spec, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    first = encode_views(plain, image, cache=cache)[0]
    second = encode_views(half, image, cache=cache)[0]
    assert len(keys(cache)) == 2 and not same(first, second)
    assert same(first, encode_views(plain, image, cache=cache)[0])
    assert same(second, encode_views(half, image, cache=cache)[0])
