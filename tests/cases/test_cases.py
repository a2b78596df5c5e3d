"""The table of small inputs of people (``../shared/cases``): every command does with each what is right for it.

A row says, for a folder, what ``ditr features`` and ``ditr segment`` do with it: go on or refuse, and what they say. A
folder without a row has to be labelled without a warning. Add rows here; nothing else has to change.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from golden import SHARED
from small_world import RULE, tiny_encoding, write_model

from ditr.cli import main
from ditr.data.preparation import Attribute
from ditr.io.ply import read_ply

CASES = SHARED / "cases"
NAMES = sorted(path.name for path in CASES.iterdir() if path.is_dir()) if CASES.is_dir() else []


@dataclass(frozen=True)
class Right:
    """What is right for a folder.

    Attributes:
        refused: whether it is refused; then nothing is written.
        says: texts that stand in the refusal, or else in summary.json.
        warns: texts that stand in warnings.
        options: of the commands.
        like: another folder, with the same labels and confidences.
        scenes: its captures, where it is a folder of such; each by itself does what the row says.
    """

    refused: bool = False
    says: tuple[str, ...] = ()
    warns: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    like: str | None = None
    scenes: tuple[str, ...] = ("",)


def refused(*says: str, options: Sequence[str] = (), scenes: Sequence[str] = ("",)) -> Right:
    return Right(refused=True, says=says, options=tuple(options), scenes=tuple(scenes))


def read(*says: str, like: str | None = None, warns: Sequence[str] = (), options: Sequence[str] = ()) -> Right:
    return Right(says=says, like=like, warns=tuple(warns), options=tuple(options))


ALONE = ("a",)
TABLE: dict[str, tuple[Right, ...]] = {
    "01_cloudcompare_scalar": (read("scalar_Label is read as label", "scalar_Intensity is read", like="00_base"),),
    "02_diffuse_colours": (read("diffuse_red diffuse_green diffuse_blue are read as red", like="00_base"),),
    "03_cr_only_ascii": (read(like="00_base"),),
    "03_mixed_eol_binary": (read(like="00_base"),),
    "04_blank_line_element_before": (read(like="00_base"),),
    "04_blank_lines_ascii": (read(like="00_base"),),
    "05_float255_dark_channel": (read(like="00_base"),),
    "05_pdal_ushort": (read("normalx normaly normalz are read", "16 bits", like="00_base"),),
    "06_no_normals_colour": (read(),),
    "06_zero_normals_colour": (read("all 1500 are zero", like="06_no_normals_colour"),),
    "06_splat_ply": (read("all 1500 are zero", "f_dc_0", like="06_no_normals_colour"),),
    "09_nan_labels": (refused("that of point 5 is nan"),),
    "10_instance_bits": (refused("outside the class list"),),
    "11_control_character": (refused("points.ply: the vertices cannot be read"),),
    "12_utm_float": (read(warns=["steps of 0.5"]),),
    "14_camera_angle_only": (read("the middle of the image"),),
    "14_no_principal_point": (read("the middle of the image", like="00_base"),),
    "15_is_fisheye": (read(like="15_fisheye_reference"),),
    "16_no_extension": (read("names without an extension", like="00_base"),),
    "17_backslashes": (read("backslashes are read as slashes", like="00_base"),),
    "18_inf_poses": (
        refused("3 of 5 frames", "bad0.jpg", "bad1.jpg", "bad2.jpg", "ScanNet", "--skip-bad-views"),
        read(warns=["3 of 5 were left out"], options=["--skip-bad-views"], like="00_base"),
    ),
    "19_depth_npy_metres": (
        refused("0.001 times the distances", "--depth-unit 1"),
        read(options=["--depth-unit", "1"], like="19_depth_npy_millimetres"),
    ),
    "19_depth_exr": (refused("OpenEXR", "Convert depth to .npy"),),
    "20_exif_upright_calibration": (refused("112x140", "EXIF"),),
    "21_mask_path": (read("its mask excludes"),),
    "22_same_photo_twice": (read("more than one frame names the same photograph"),),
    "23_heic": (refused("HEIC"),),
    "24_fractional_w": (refused("w: "),),
    "24_nan_k1": (refused("not finite"),),
    "25_las": (refused("cloud.las: this is a LAS"),),
    "25_no_ply_path": (read("points.ply is used, the only one", like="00_base"),),
    "26_scaled_pose": (refused("not a rotation"),),
    "27_millimetres": (
        refused("3.95 km", "--unit mm"),
        read(options=["--unit", "mm"], like="00_base"),
    ),
    "28_nan_normals": (read(warns=["3 of 1500 are NaN or zero"]),),
    "28_nan_normals_labelled": (read(warns=["3 of 1500 are NaN or zero"]),),
    "34_train_on_cloudcompare": (Right(says=("scalar_Label is read as label",), scenes=ALONE),),
    "37_twice_wall": (refused("two classes are called 'wall'", scenes=ALONE),),
    "40_depth_bool": (refused("bool of shape"),),
    "40_depth_empty": (refused("is empty"),),
    "40_depth_half": (refused("65504"),),
    "40_depth_one": (refused("depth maps"),),
    "40_one_pixel": (refused("cameras"),),
    "40_zero_byte_image": (refused("an empty file"),),
    "43_bad_photo_in_last": (refused("cannot be decoded", scenes=["b"]),),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with images that takes normals; its weights are random and its rule is without a depth test."""
    folder = tmp_path_factory.mktemp("model")
    write_model(folder / "model", tiny_encoding(folder), attributes=(Attribute.COORD, Attribute.NORMAL), rule=RULE)
    return folder


@dataclass(frozen=True)
class Done:
    """What a command did: its exit status, warnings or refusal, and summary.json."""

    status: int
    errors: str
    summary: str
    out: Path


def ran(command: str, capture: Path, out: Path, model: Path, right: Right, capsys: pytest.CaptureFixture[str]) -> Done:
    what = ["--encoder", str(model / "encoder")] if command == "features" else ["--model", str(model / "model")]
    common = ["--out", str(out), "--device", "cpu", "--cache", str(model / "features"), "--no-pictures"]
    status = 0
    try:
        main([command, str(capture), *what, *common, *right.options])
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    errors = capsys.readouterr().err
    told = [line for line in errors.splitlines() if line.startswith("ditr: ") or "Warning" in line]
    summary = (out / "summary.json").read_text() if (out / "summary.json").exists() else ""
    return Done(status, "\n".join(told), summary, out)


def row(name: str) -> list[tuple[Right, str]]:
    rights = TABLE.get(name, ())
    if not rights:
        inner = sorted(path.parent.name for path in (CASES / name).glob("*/transforms.json"))
        rights = (Right(scenes=tuple(inner) or ("",)),)
    return [(right, scene) for right in rights for scene in right.scenes]


@pytest.mark.skipif(not NAMES, reason="the folder of cases is not here")
@pytest.mark.parametrize("command", ["features", "segment"])
@pytest.mark.parametrize("name", NAMES)
def test_a_case_does_what_is_right(
    name: str, command: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, (right, scene) in enumerate(row(name)):
        done = ran(command, CASES / name / scene, tmp_path / str(number), model, right, capsys)
        if right.refused:
            assert done.status == 2 and len(done.errors.splitlines()) == 1
            assert not done.out.exists()
            assert not [text for text in right.says if text not in done.errors], done.errors
            continue
        assert done.status == 0, done.errors
        assert bool(done.errors) == bool(right.warns), done.errors
        for text in right.warns:
            assert text in done.errors and text in done.summary
        strict = json.loads(done.summary, parse_constant=lambda constant: pytest.fail(f"{constant} in summary.json"))
        if command == "features" or "its mask excludes" not in right.says:
            assert not [text for text in right.says if text not in json.dumps(strict, ensure_ascii=False)], strict
        if command == "segment":
            assert np.isfinite(np.load(done.out / "confidence.npy")).all()
            columns = read_ply(done.out / "labels.ply")
            assert all(np.isfinite(columns[name]).all() for name in ("x", "nx", "confidence") if name in columns)
            if right.like is not None:
                other = ran(command, CASES / right.like, tmp_path / "other", model, Right(), capsys)
                for file, tolerance in (("label.npy", 0), ("confidence.npy", 1e-4)):
                    np.testing.assert_allclose(np.load(done.out / file), np.load(other.out / file), atol=tolerance)


def test_every_row_is_one_of_a_folder() -> None:
    if not NAMES:
        pytest.skip("the folder of cases is not here")
    assert not TABLE.keys() - set(NAMES)
