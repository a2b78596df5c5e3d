"""``ditr cache`` lists and cleans, and commands go on with caches that they may only read."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cached_features import photographs
from permissions import give_away, give_back, permissions_bind, read_only
from safetensors.numpy import load_file
from small_world import make_scene, tiny_encoding, write_model
from tiny_encoder import write_tiny_encoder

from ditr.captures.capture import write_capture
from ditr.cli import main
from ditr.encoders.encoding import CachedEncoding
from ditr.encoders.feature_cache import FeatureCache, encode_views
from ditr.io.wheel import WHEEL

DAY = 86400.0


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with features in two precisions, a wheel, a model, and things of others, beside the encoder."""
    root = tmp_path_factory.mktemp("caches")
    folder, spec = root / "cache", str(write_tiny_encoder(root / "encoder"))
    for precision, count in (("32-true", 3), ("bf16-mixed", 2)):
        encoder = CachedEncoding(spec, precision=precision).encoder
        encode_views(encoder, photographs(count), cache=FeatureCache(folder / "features"))
    (folder / "wheels").mkdir()
    (folder / "wheels" / WHEEL).write_bytes(b"wheel")
    write_model(folder / "models" / "rooms", tiny_encoding(root))
    others = ("features/ab/holiday.jpg", "wheels/other.whl", "models/rooms/notes.txt", "models/notes/a.txt", "a.txt")
    for other in others:
        (folder / other).parent.mkdir(parents=True, exist_ok=True)
        (folder / other).write_text("of somebody")
    return root


@pytest.fixture
def cache(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it for one test, the user's cache, removable at the end."""
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("DITR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    yield tmp_path / "cache"
    give_back(tmp_path / "cache")


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def ours(folder: Path) -> set[str]:
    return {name for name in files(folder) if "of somebody" not in (folder / name).read_text(errors="replace")}


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    main(["cache", *map(str, arguments)])
    return capsys.readouterr().out


def test_it_lists_by_encoder_and_precision(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(cache)
    text = said(capsys)
    assert str(cache) in text and "20.0 GiB" in text and "DITR_CACHE_LIMIT" in text
    today = time.strftime("%F")
    assert re.search(rf"image features +3 .*{today} +encoder, 32-true", text)
    assert re.search(rf"image features +2 .*{today} +encoder, bf16-mixed", text)
    assert re.search(rf"encoder wheel +1 +5 B +{today} +{re.escape(WHEEL)}", text)
    assert re.search(rf"converted model +4 .*{today} +rooms", text)
    assert files(cache) == before
    assert "encoder, 32-true" in said(capsys, "--folder", cache / "features")


def test_entries_of_before_are_listed_too(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encoder = CachedEncoding(str(cache.parent / "encoder")).encoder
    (view,) = encode_views(encoder, photographs(1, seed=4))
    FeatureCache(cache / "features").put("0" * 64, view)
    (cache / "features" / "11").mkdir(exist_ok=True)
    (cache / "features" / "11" / f"{'1' * 64}.safetensors").write_bytes(b"\xff" * 20)
    text = said(capsys)
    assert re.search(r"image features +1 .* not recorded, 32 channels", text)
    assert re.search(r"image features +1 +20 B .* damaged", text)


def test_all_of_ours_is_removed_and_nothing_else(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, mine = files(cache), ours(cache)
    text = said(capsys, "--clean", "--all", "--dry-run")
    assert "would be removed: 10 files" in text and files(cache) == before
    assert "removed: 10 files" in said(capsys, "--clean", "--all")
    assert files(cache) == before - mine and len(mine) == 10 and len(before) == 15
    assert "nothing to remove" in said(capsys, "--clean", "--all")


def test_what_was_not_used_for_days_is_removed(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = sorted((cache / "features").rglob("*.safetensors"))[:2]
    for path in (*old, cache / "wheels" / WHEEL, cache / "models" / "rooms" / "config.json"):
        os.utime(path, (time.time() - 40 * DAY,) * 2)
    before = files(cache)
    assert "nothing to remove" in said(capsys, "--clean", "--older-than", 41)
    text = said(capsys, "--clean", "--older-than", 30.5)
    assert "removed: 3 files" in text
    gone = {*(str(path.relative_to(cache)) for path in old), f"wheels/{WHEEL}"}
    assert files(cache) == before - gone, "a model that was used in part was used"


def test_clean_alone_removes_remains_and_what_is_over_the_limit(
    cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "nothing to remove" in said(capsys, "--clean")
    entries = sorted((cache / "features").rglob("*.safetensors"))
    os.utime(entries[0], (time.time() - DAY,) * 2)
    rests = [entries[0].with_name(f".{entries[0].stem}.1-ab.part.safetensors")]
    rests += [cache / "models" / ".rooms.1-ab.part" / "model.safetensors", cache / "wheels" / ".download-1" / WHEEL]
    for rest in rests:
        rest.parent.mkdir(exist_ok=True)
        rest.write_bytes(b"rest")
    assert "nothing to remove" in said(capsys, "--clean"), "somebody may be writing them"
    for path in (*rests, *(rest.parent for rest in rests[1:])):
        os.utime(path, (time.time() - DAY,) * 2)
    monkeypatch.setenv("DITR_CACHE_LIMIT", str(sum(path.stat().st_size for path in entries) - 1))
    before = files(cache)
    assert "removed: 4 files" in said(capsys, "--clean")
    assert before - files(cache) == {str(path.relative_to(cache)) for path in (*rests, entries[0])}
    assert not rests[1].parent.exists() and not rests[2].parent.exists()


def test_what_cannot_be_removed_is_passed_over(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(cache)
    give_away(cache / "features")
    with permissions_bind():
        text = said(capsys, "--clean", "--all")
    assert "removed: 5 files" in text and "not removed: 5 files that this user may not remove" in text
    assert {name for name in before - files(cache) if name.startswith("features")} == set()


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("--all",), "these options do nothing without --clean"),
        (("--clean", "--all", "--older-than", "3"), "exclude each other"),
        (("--clean", "--older-than", "-3"), "--older-than"),
        (("--folder", "nowhere"), "there is no such folder"),
    ],
)
def test_impossible_options_are_one_line(
    options: tuple[str, ...], fault: str, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["cache", *options])
    assert ended.value.code == 2
    assert fault in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["read-only", "foreign"])
def test_a_command_with_a_cache_that_it_may_only_read(
    kind: str, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_capture(make_scene(1, views=2), tmp_path / "room", image_format="png")
    command = ["features", str(tmp_path / "room"), "--encoder", str(tmp_path / "encoder"), "--device", "cpu"]
    main([*command, "--out", str(tmp_path / "filled")])
    (read_only if kind == "read-only" else give_away)(cache)
    before = files(cache)
    with permissions_bind():
        main([*command, "--out", str(tmp_path / "read")])
        # Other photographs are misses.
        write_capture(make_scene(2, views=2), tmp_path / "room 2", image_format="png")
        main([command[0], str(tmp_path / "room 2"), *command[2:], "--out", str(tmp_path / "missed")])
    assert files(cache) == before
    one, other = (load_file(tmp_path / name / "features.safetensors") for name in ("filled", "read"))
    assert one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
    assert (tmp_path / "missed" / "summary.json").exists()


def test_where_nothing_can_be_kept_it_lies_elsewhere_until_the_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    code = (
        "from pathlib import Path; from ditr.io.caches import writable_place as at; import sys; "
        "first, second = at(Path(sys.argv[1])), at(Path(sys.argv[1])); "
        "(first / 'a').write_text('a'); assert first == second; print(first); print(at(Path(sys.argv[2])))"
    )
    arguments = [str(tmp_path / "file" / "models"), str(tmp_path / "cache" / "models")]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    first, good = done.stdout.splitlines()
    assert good == arguments[1] and Path(good).is_dir() and not list(Path(good).iterdir())
    assert first != arguments[0] and not Path(first).exists(), "gone with the process"
    assert done.stderr.count("nothing can be stored in") == 1 and arguments[0] in done.stderr
