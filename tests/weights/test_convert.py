"""Checkpoints that cannot be converted: refused with file, fault and remedy, and nothing is written.

What converts, and what it then gives, is in ``reference/test_published_checkpoints.py``.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from malicious_checkpoints import malicious_files
from published_checkpoints import (
    ROWS,
    Layout,
    Sizes,
    assert_same_bytes,
    published_shapes,
    published_values,
    write_checkpoint,
)
from safetensors.torch import load_file
from torch import Tensor

from ditr.cli import main
from ditr.errors import InputError
from ditr.weights.convert import Provenance, convert, published_state, read_checkpoint
from ditr.weights.pretrained import from_pretrained
from ditr.weights.published import published_model
from ditr.weights.recognize import recognize
from ditr.weights.saved_model import FILES, load_model, read_config

NORMS = ("ScanNet", "S3DIS", "Structured3D")
SMALLEST = {
    "PTv3": Sizes((16, 32), (1, 1), (32,), (1,)),
    "MinkUNet": Sizes((8, 16), (1, 1), (12, 16), (1, 1), stem=8),
}
NAME = "backbone.enc.enc1.block0.attn.qkv.weight"

State = dict[str, Tensor]


def state_of(layout: Layout) -> State:
    return published_values(published_shapes(layout, SMALLEST[layout.network]))


def row_named(name: str) -> tuple[Layout, Provenance]:
    return next(row for row in ROWS if row.name == name), Provenance.of(published_model(name))


@pytest.fixture(scope="module")
def kitti() -> State:
    """A model of points alone, 19 classes; not to be changed in place."""
    return state_of(Layout("", 4, 19))


KITTI = Provenance(dataset="SemanticKITTI")


def refused(folder: Path, content: Any, origin: Provenance, message: str) -> None:
    """The content of a file is refused, and nothing but the file is there afterwards."""
    checkpoint = folder / "model_best.pth"
    if content is not None:
        torch.save(content, checkpoint)
    with pytest.raises(InputError, match=message) as caught:
        convert(checkpoint, folder / "out", origin)
    assert caught.value.fault and caught.value.remedy
    assert {path.name for path in folder.iterdir()} <= {"model_best.pth"}


# ---- what is in the file --------------------------------------------------------------------------------------------


def renamed(state: State, old: str, new: str) -> State:
    return {name.replace(old, new): value for name, value in state.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {k: v for k, v in s.items() if k != NAME}, rf"model_best.pth: .*lacks \[{NAME}\] and has \[\]"),
        (lambda s: s | {"backbone.extra": torch.ones(1)}, r"lacks \[\] and has \[backbone.extra\]"),
        (lambda s: s | {"backbone.enc.enc1.block0.ls1.0.gamma": torch.ones(32)}, "has .*enc1.block0.ls1.0.gamma"),
        (lambda s: s | {NAME: s[NAME].t()}, rf"{NAME} has the shape \(32, 96\), but this network needs \(96, 32\)"),
        (lambda s: s | {NAME: s[NAME].flatten()}, rf"{NAME} has the shape \(3072,\)"),
        (lambda s: s | {NAME: s[NAME].half()}, f"{NAME} is torch.float16, not torch.float32.*single precision"),
        (lambda s: s | {NAME: s[NAME].double()}, f"{NAME} is torch.float64, not torch.float32"),
        (lambda s: {k: v.bfloat16() if v.is_floating_point() else v for k, v in s.items()}, "is torch.bfloat16"),
        (
            lambda s: s | {"backbone.embedding.stem.norm.num_batches_tracked": torch.tensor(3.0)},
            "num_batches_tracked is torch.float32, not torch.int64",
        ),
        (lambda s: s | {NAME: s[NAME] / 0}, "not all numbers are finite in " + NAME),
        (lambda s: s | {"seg_head.bias": torch.full((19,), torch.nan)}, "not all numbers are finite in seg_head.bias"),
        (lambda s: {k: v * torch.nan if v.is_floating_point() else v for k, v in s.items()}, r"and \d+ more"),
        (lambda s: s | {"module.seg_head.bias": s["seg_head.bias"]}, "with and without the prefix 'module.'"),
        (lambda s: renamed(s, "seg_head", "cls_head"), "either a segmentation head .* or a projection"),
        (lambda s: s | {"proj.weight": torch.ones(8, 32), "proj.bias": torch.ones(8)}, "either a segmentation head"),
        (lambda s: renamed(s, "backbone.", "encoder."), "neither a Point Transformer V3 nor a MinkUNet"),
        (lambda s: renamed(s, "backbone.", "backbone.net."), "neither a Point Transformer V3 nor a MinkUNet"),
        (lambda s: {"conv1.weight": torch.ones(64, 3, 7, 7)}, "it has conv1.weight"),
        (lambda s: renamed(s, "enc.enc1.", "enc.enc3."), "enc1.block0.attn.proj.weight is missing"),
        (lambda s: renamed(s, "enc1.block0.", "enc1.block1."), "enc1.block0.attn.proj.weight is missing"),
        (lambda s: {k: v for k, v in s.items() if ".dec." not in k}, "without blocks in its decoder"),
    ],
)
def test_tensors_that_do_not_make_the_network(
    tmp_path: Path, kitti: State, change: Callable[[State], State], message: str
) -> None:
    refused(tmp_path, {"epoch": 1, "state_dict": change(kitti)}, KITTI, message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3, "state_dict": None}, "holds more than tensors by name: epoch, state_dict"),
        ({"epoch": 3, "model": {"weight": torch.ones(2)}}, "holds more than tensors by name: epoch, model"),
        ({"state_dict": {}}, "it has no state dict"),
        ({}, "it has no state dict"),
        ([torch.ones(2)], "it has no state dict"),
        (torch.ones(2), "it has no state dict"),
        (3, "it has no state dict"),
        ({"state_dict": {"weight": 1.5}}, "holds more than tensors by name: weight"),
        ({"state_dict": {1: torch.ones(2)}}, "holds more than tensors by name: 1"),
    ],
)
def test_files_without_a_state_dict(tmp_path: Path, content: Any, message: str) -> None:
    refused(tmp_path, content, KITTI, message)


def test_files_that_are_none_of_torch_save(tmp_path: Path, kitti: State) -> None:
    path = tmp_path / "model_best.pth"
    refused(tmp_path, None, KITTI, "model_best.pth: ")
    path.write_bytes(b"")
    refused(tmp_path, None, KITTI, "the file is empty")
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    refused(tmp_path, None, KITTI, "not a file of torch.save")
    write_checkpoint(path, kitti)
    path.write_bytes(path.read_bytes()[:-1000])
    refused(tmp_path, None, KITTI, "model_best.pth: ")
    write_checkpoint(path, kitti)
    content = bytearray(path.read_bytes())
    content[content.find(kitti[NAME].numpy().tobytes()) + 5] ^= 1
    path.write_bytes(content)
    refused(tmp_path, None, KITTI, "the checksum does not match")
    path.unlink()
    path.mkdir()
    refused(tmp_path, None, KITTI, "model_best.pth: ")


def test_a_bare_state_dict_converts(tmp_path: Path, kitti: State) -> None:
    """As some publish it: without the dictionary around it."""
    torch.save({f"module.{name}": value for name, value in kitti.items()}, tmp_path / "bare.pth")
    assert read_checkpoint(tmp_path / "bare.pth").keys() == kitti.keys()
    config = convert(tmp_path / "bare.pth", tmp_path / "out", KITTI)
    assert config.source == "bare.pth"
    assert_same_bytes(published_state(load_model(tmp_path / "out")[1], config), kitti)


def test_objects_beside_the_weights_are_left_unread_and_named(
    tmp_path: Path, kitti: State, capsys: pytest.CaptureFixture[str]
) -> None:
    optimizer = torch.optim.AdamW([torch.ones(3, requires_grad=True)])
    beside = {"epoch": 3, "optimizer": optimizer, "folder": tmp_path, "scheduler": {"last_epoch": 4}}
    torch.save({"state_dict": kitti, **beside}, tmp_path / "model_best.pth")
    main(["convert", str(tmp_path / "model_best.pth"), str(tmp_path / "out"), "--dataset", "SemanticKITTI"])
    (said,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("left unread")]
    assert said == ("left unread: optimizer (torch.optim.AdamW, collections.defaultdict), folder (pathlib.PosixPath)")
    assert_same_bytes(published_state(load_model(tmp_path / "out")[1], read_config(tmp_path / "out")), kitti)


@pytest.mark.parametrize("name", [NAME, "module.extra"])
def test_objects_among_the_weights_are_refused(tmp_path: Path, kitti: State, name: str) -> None:
    for content in (state := {**kitti, name: Path("x")}), {"state_dict": state}:
        refused(tmp_path, content, KITTI, f"holds more than tensors by name: {name}")


LAYOUTS = (
    (Layout("", 4, 22, 1024, missing=True), Provenance(dataset="Waymo", encoder="dinov2-large-reg")),
    (
        Layout("", 6, None, teacher=1024, norms=3, heads=3, context=8),
        Provenance(dataset="ScanNet", encoder="dinov2-large-reg", norms=NORMS),
    ),
    (Layout("", 9, 20, network="MinkUNet"), Provenance(dataset="ScanNet")),
    (
        Layout("", 6, None, teacher=1024, network="MinkUNet", norms=3),
        Provenance(dataset="ScanNet", encoder="dinov2-large-reg", norms=NORMS),
    ),
)


def changed_shapes(layout: Layout, *sizes: int) -> Iterator[dict[str, tuple[int, ...]]]:
    """One tensor at a time: gone, without dimensions, or with other numbers or sizes of them."""
    shapes = published_shapes(layout, SMALLEST[layout.network])
    for name, shape in shapes.items():
        if re.search(r"(norm|bns)\.[12]\.\w+$", name) and len(shape) < 2:
            continue  # as those of the first dataset
        yield {key: value for key, value in shapes.items() if key != name}
        others = {(), (*shape, 1), shape[:-1] + tuple(2 * size for size in shape[-1:])}
        others |= {(size,) * len(shape) for size in sizes}
        for other in others - {shape}:
            yield shapes | {name: other}


@pytest.mark.parametrize(("layout", "origin"), LAYOUTS)
def test_any_changed_shape_is_refused_or_recognised(layout: Layout, origin: Provenance) -> None:
    count = 0
    for shapes in changed_shapes(layout, 1):
        with contextlib.suppress(ValueError):
            assert recognize(shapes, datasets=origin.norms).network.pyramid
        count += 1
    assert count > 200


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "origin"), LAYOUTS)
def test_any_changed_shape_is_refused_and_nothing_written(tmp_path: Path, layout: Layout, origin: Provenance) -> None:
    """All but those that make another network of the kind, which has no embedding or another one."""
    converted = 0
    for shapes in changed_shapes(layout, 1):
        state = {
            name: torch.zeros(shape, dtype=torch.int64 if name.endswith("tracked") else torch.float32)
            for name, shape in shapes.items()
        }
        torch.save(state, tmp_path / "x.pth")
        try:
            convert(tmp_path / "x.pth", tmp_path / "out", origin)
        except InputError:
            assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]
        else:
            converted += 1
            for path in (tmp_path / "out").iterdir():
                path.unlink()
            (tmp_path / "out").rmdir()
    assert converted <= 4


def test_networks_that_no_geometry_serves(tmp_path: Path, kitti: State) -> None:
    """Sizes that fit one another and yet make no network."""
    wide = {name: torch.zeros(16, 4, 4, 4, 4) if "stem.conv" in name else value for name, value in kitti.items()}
    refused(tmp_path, wide, KITTI, "kernels of 3 and 4")
    refused(tmp_path, kitti, replace(KITTI, patch_size=0), "at least one level, one curve and one cell per patch")
    narrow = published_values(published_shapes(Layout("", 4, 19), Sizes((8, 32), (1, 1), (32,), (1,))))
    refused(tmp_path, narrow, KITTI, "8 channels, which do not make whole attention heads")
    positions = {
        name.replace("qkv.weight", "rpe.rpe_table"): torch.zeros(9, 2) for name in kitti if "qkv.weight" in name
    }
    refused(tmp_path, {**kitti, **positions}, KITTI, r"belong to no usual patch size.*--patch-size")


# ---- what is said of it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        (Provenance(), "does not say which dataset it is for. Give the short name .* or --dataset"),
        (Provenance(dataset="nuScenes"), "it has 19 classes but nuScenes has 16"),
        (Provenance(dataset="ScanNet200"), "it has 19 classes but ScanNet200 has 200"),
        (Provenance(dataset="SemanticKITI"), "no dataset called 'SemanticKITI'. Did you mean 'SemanticKITTI'"),
        (Provenance(dataset="ScanNet++"), r"the classes of ScanNet\+\+ are in a file of the dataset"),
        (replace(KITTI, norms=NORMS), r"norms of no datasets.* and 3 are given"),
        (replace(KITTI, norms_of="ScanNet"), "no norms of the dataset 'ScanNet'; the network has those of none"),
    ],
)
def test_origins_that_do_not_fit(tmp_path: Path, kitti: State, origin: Provenance, message: str) -> None:
    refused(tmp_path, kitti, origin, message)


@pytest.mark.parametrize("name", ["ditr-nuscenes-dinov2-l", "distilled-nuscenes-dinov2-l"])
def test_encoders_that_do_not_fit(tmp_path: Path, name: str) -> None:
    layout, origin = row_named(name)
    state = state_of(layout)
    for encoder, message in (
        (None, r"which encoder gives its image features of 1024 channels. Give .* or --encoder"),
        ("dinov2-small-reg", "it takes image features of 1024 channels, but dinov2-small-reg has 384"),
        ("dinov2-large-regg", "'dinov2-large-regg' is not a known encoder"),
    ):
        refused(tmp_path, state, replace(origin, encoder=encoder), message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norms": (), "norms_of": None}, r"norms of 3 datasets, whose names and order are not in the file.*--norms"),
        ({"norms": ("ScanNet",)}, "norms of 3 datasets.* and 1 are given"),
        ({"norms": (*NORMS, "nuScenes")}, "norms of 3 datasets.* and 4 are given"),
        ({"norms": ("ScanNet", "ScanNet", "S3DIS")}, "names of datasets, each once"),
        ({"norms_of": "Waymo"}, "no norms of the dataset 'Waymo'; the network has those of ScanNet, S3DIS"),
    ],
)
def test_norms_that_do_not_fit(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    layout, origin = row_named("d-ditr-s3dis")
    refused(tmp_path, state_of(layout), replace(origin, **change), message)


@pytest.mark.parametrize(
    ("channels", "network", "origin", "message"),
    [
        (6, "PTv3", Provenance(dataset="nuScenes"), "it takes 6 input channels, but models of nuScenes take 4"),
        (4, "PTv3", Provenance(dataset="ScanNet"), "it takes 4 input channels, but models of ScanNet take 6 or 9"),
        (7, "MinkUNet", Provenance(dataset="ScanNet"), "it takes 7 input channels, but models of ScanNet take 6 or 9"),
    ],
)
def test_input_channels_of_another_dataset(
    tmp_path: Path, channels: int, network: str, origin: Provenance, message: str
) -> None:
    classes = 16 if origin.dataset == "nuScenes" else 20
    refused(tmp_path, state_of(Layout("", channels, classes, network=network)), origin, message)


def test_no_images_where_no_model_with_images_is_published(tmp_path: Path) -> None:
    state = state_of(Layout("", 6, None, 1024, teacher=1024))
    origin = Provenance(dataset="ScanNet++", encoder="dinov2-large-reg")
    refused(tmp_path, state, origin, r"ScanNet\+\+: no model that uses photographs is published")


# ---- where it goes --------------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_only_a_model_is_replaced(tmp_path: Path, kitti: State) -> None:
    checkpoint = write_checkpoint(tmp_path / "model_best.pth", kitti)
    photos = tmp_path / "photos"
    (photos / "deeper").mkdir(parents=True)
    (photos / "deeper" / "photo.png").write_bytes(b"photo")
    project = tmp_path / "project"
    project.mkdir()
    (project / "config.json").write_text("{}")
    (project / "README.md").write_text("years of work")
    run = tmp_path / "run"
    convert(checkpoint, run, KITTI)
    (run / "log.jsonl").write_text("days of training")
    before = contents(tmp_path)
    for out, message in (
        (photos, "photos: it exists and is not a model. Name a new folder"),
        (project, "project: it exists and is not a model. Name a new folder"),
        (run, "run: it holds more than a model: log.jsonl. Name a new folder"),
        (checkpoint, "model_best.pth: it exists and is not a model"),
    ):
        with pytest.raises(InputError, match=message):
            convert(checkpoint, out, KITTI)
        assert contents(tmp_path) == before


def test_a_model_is_replaced_when_the_new_one_is_whole(tmp_path: Path, kitti: State) -> None:
    checkpoint, out = tmp_path / "model_best.pth", tmp_path / "out"
    out.mkdir()  # an empty folder is as good as none
    write_checkpoint(checkpoint, kitti)
    convert(checkpoint, out, KITTI)
    first = contents(out)
    torch.save(kitti | {"seg_head.bias": torch.full((19,), torch.inf)}, checkpoint)
    with pytest.raises(InputError, match="finite"):
        convert(checkpoint, out, KITTI)
    assert contents(out) == first
    other = kitti | {"seg_head.bias": torch.arange(19.0)}
    write_checkpoint(checkpoint, other)
    config = convert(checkpoint, out, KITTI)
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    assert_same_bytes(published_state(load_model(out)[1], config), other)
    assert {path.name for path in tmp_path.iterdir()} == {"model_best.pth", "out"}


def test_links_lead_to_the_model(tmp_path: Path, kitti: State) -> None:
    """One to a model, which is replaced where it is, and one to nowhere yet."""
    checkpoint = write_checkpoint(tmp_path / "model_best.pth", kitti)
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    for source in ("first", "second"):
        convert(checkpoint, tmp_path / "link", replace(KITTI, source=source))
        assert read_config(tmp_path / "real").source == source
        assert (tmp_path / "link").is_symlink()
        assert {path.name for path in tmp_path.iterdir()} == {"model_best.pth", "link", "real"}


def test_a_checkpoint_beside_the_model_survives(tmp_path: Path, kitti: State) -> None:
    """Converting into the folder of the checkpoint, a second time too, must not take the checkpoint away."""
    out = tmp_path / "model"
    out.mkdir()
    write_checkpoint(out / "model_best.pth", kitti)
    convert(out / "model_best.pth", tmp_path / "first", KITTI)
    for file in (tmp_path / "first").iterdir():
        file.rename(out / file.name)
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"holds more than a model: model_best\.pth"):
        convert(out / "model_best.pth", out, KITTI)
    assert contents(tmp_path) == before


# ---- the card and the config ----------------------------------------------------------------------------------------


def test_what_is_known_of_a_checkpoint_is_written_down(tmp_path: Path) -> None:
    layout, origin = row_named("ditr-nuscenes-dinov3-l")
    write_checkpoint(tmp_path / "model_best.pth", state_of(layout), layout)
    convert(tmp_path / "model_best.pth", tmp_path / "out", replace(origin, source="of the authors", license="agpl-3.0"))
    config = read_config(tmp_path / "out")
    assert config.source == "of the authors" and config.license == "agpl-3.0" and config.dataset == "nuScenes"
    assert config.encoder is not None and config.encoder.patch_size == 16 and config.encoder.width == 1024
    assert config.class_names[0] == "barrier" and config.class_colors is not None
    card = (tmp_path / "out" / "README.md").read_text()
    assert "agpl-3.0" in card and "nuScenes" in card and config.encoder.name in card
    assert load_file(tmp_path / "out" / "model.safetensors")["head.weight"].shape == (16, 32)


# ---- the command ----------------------------------------------------------------------------------------------------


def command(*arguments: object) -> list[str]:
    return ["convert", *map(str, arguments)]


def test_the_command_converts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout, _ = row_named("ditr-nuscenes-dinov2-s")
    checkpoint = write_checkpoint(tmp_path / "model_best.pth", state_of(layout), layout)
    main(command(checkpoint, tmp_path / "a", "--name", "ditr-nuscenes-dinov2-s", "--license", "agpl-3.0"))
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "Point Transformer V3, photographs by facebook/dinov2-with-registers-small; 16 classes of nuScenes",
        f"written to {tmp_path / 'a'}",
    ]
    main(command(checkpoint, tmp_path / "b", "--dataset", "nuscenes", "--encoder", "dinov2-small-reg"))
    assert replace(read_config(tmp_path / "b"), license="agpl-3.0") == read_config(tmp_path / "a")
    assert contents(tmp_path / "a")["model.safetensors"] == contents(tmp_path / "b")["model.safetensors"]


def test_the_command_converts_students_and_joint_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout, _ = row_named("distilled-scannet-structured3d-dinov2-l")
    checkpoint = write_checkpoint(tmp_path / "model_last.pth", state_of(layout), layout)
    options = ("--dataset", "ScanNet", "--encoder", "dinov2-large-reg", "--norms", ",".join(NORMS))
    main(command(checkpoint, tmp_path / "out", *options, "--norms-of", "Structured3D", "--patch-size", 128))
    assert "Point Transformer V3; a student, without classes of ScanNet" in capsys.readouterr().out
    config, model = from_pretrained(tmp_path / "out")
    assert config.norms_of == model.dataset == "Structured3D" and config.network.pyramid.patch_size == 128


def test_the_command_refuses_in_one_line(
    tmp_path: Path, kitti: State, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_checkpoint(Path("kitti.pth"), kitti)
    Path("page.pth").write_text("<html>not found</html>")
    Path("full").mkdir()
    Path("full", "notes.txt").write_text("notes")
    before = contents(tmp_path)
    for arguments, message in (
        (("kitti.pth", "out"), "kitti.pth: a checkpoint does not say which dataset"),
        (("kitti.pth", "out", "--name", "d-ditr-nuscenes"), "19 classes but nuScenes has 16"),
        (("kitti.pth", "out", "--name", "d-ditr-nuscene"), "Did you mean 'd-ditr-nuscenes'?"),
        (("kitti.pth", "out", "--name", "ditr-semantickitti-dinov2-l", "--norms", "a,b"), "and 2 are given"),
        (("kitti.pth", "full", "--dataset", "SemanticKITTI"), "full: it exists and is not a model"),
        (("kitti.pth", "page.pth", "--dataset", "SemanticKITTI"), "page.pth: it exists and is not a model"),
        (("kitti.pth", "page.pth/out", "--dataset", "SemanticKITTI"), "page.pth"),
        (("page.pth", "out", "--dataset", "ScanNet"), "page.pth: this is not a file of torch.save"),
        (("nowhere.pth", "out", "--dataset", "ScanNet"), "nowhere.pth"),
        (("full", "out", "--dataset", "ScanNet"), "full: "),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(command(*arguments))
        assert stopped.value.code == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("ditr: ") and message in lines[0], lines
        assert re.search(r": .+\. .+[.?]$", lines[0]), lines[0]
        assert contents(tmp_path) == before


def test_the_program_refuses(tmp_path: Path, kitti: State) -> None:
    write_checkpoint(tmp_path / "kitti.pth", kitti)
    program = [sys.executable, "-m", "ditr", *command("kitti.pth", "out")]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout.startswith("ditr convert kitti.pth out")
    (line,) = done.stderr.splitlines()
    assert line.startswith("ditr: kitti.pth: a checkpoint does not say")
    assert [path.name for path in tmp_path.iterdir()] == ["kitti.pth"]


# ---- files that mean harm, and sudden ends --------------------------------------------------------------------------

# Converts every file named on its input, under a limit of memory, and writes what happened.
CONVERTER = """
import json, resource, sys
from pathlib import Path
from ditr.weights.convert import Provenance, convert
from ditr.errors import InputError

used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (400 << 20),) * 2)
for path in json.load(sys.stdin):
    try:
        convert(Path(path), Path(sys.argv[1]), Provenance(dataset="ScanNet", encoder="dinov2-large-reg"))
        outcome = "converted"
    except BaseException as error:
        outcome = type(error).__name__ if type(error) is not InputError else f"InputError {error}"
    print(json.dumps(outcome))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by a call of Linux")
def test_malicious_files_are_not_converted(tmp_path: Path) -> None:
    canary, out = tmp_path / "canary", tmp_path / "models" / "out"
    out.parent.mkdir()
    cases = list(malicious_files(tmp_path / "bad", canary))
    assert len(cases) > 600
    done = subprocess.run(
        [sys.executable, "-c", CONVERTER, str(out)],
        input=json.dumps([str(path) for _, path in cases]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for (name, path), line in zip(cases, done.stdout.splitlines(), strict=True):
        assert json.loads(line).startswith(f"InputError {path}"), f"{name}: {line}"
    assert not canary.exists() and not any(out.parent.iterdir())


# Converts, and is killed by itself when something is about to be renamed for the n-th time.
KILLED = """
import os, signal, sys
from ditr.cli import main

def watch(event, arguments):
    if event == "os.rename":
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

left = [int(sys.argv[1])]
sys.addaudithook(watch)
main(["convert", *sys.argv[2:], "--dataset", "SemanticKITTI", "--overwrite"])
"""


def models_in(folder: Path) -> set[str]:
    """The folders that load; the others are refused."""
    found = set()
    for inner in folder.iterdir():
        with contextlib.suppress(InputError):
            load_model(inner)
            found.add(inner.name)
    return found


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("existing", [False, True])
def test_a_conversion_killed_between_two_files_leaves_no_half_model(
    tmp_path: Path, kitti: State, existing: bool
) -> None:
    """Before each of the four files takes its name, and before the folder does."""
    checkpoint, out = tmp_path / "model_best.pth", tmp_path / "models" / "out"
    write_checkpoint(checkpoint, kitti)
    if existing:
        convert(checkpoint, out, replace(KITTI, source="the first"))
    for count in range(1, 6):
        done = subprocess.run([sys.executable, "-c", KILLED, str(count), str(checkpoint), str(out)], check=False)
        assert done.returncode == -signal.SIGKILL
        assert out.exists() == existing
        # Before the last step the new model is whole, still under a hidden name.
        visible = {name for name in models_in(out.parent) if not name.startswith(".") or count < 5}
        assert visible == ({"out"} if existing else set())
        if existing:
            assert read_config(out).source == "the first"
        for folder in out.parent.glob(".*"):
            shutil.rmtree(folder)
    done = subprocess.run([sys.executable, "-c", KILLED, "7", str(checkpoint), str(out)], check=False)
    assert done.returncode == 0
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert read_config(out).source == "model_best.pth" and models_in(out.parent) == {"out"}


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_conversion_killed_while_it_writes_weights_leaves_no_model(tmp_path: Path) -> None:
    checkpoint, out = tmp_path / "model_best.pth", tmp_path / "models" / "out"
    write_checkpoint(checkpoint, published_values(published_shapes(Layout("", 4, 19))))
    out.parent.mkdir()
    program = [sys.executable, "-m", "ditr", *command(checkpoint, out, "--dataset", "SemanticKITTI")]
    for moment in (".out.*.part", ".out.*.part/.model.*"):
        running = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while running.poll() is None and not any(out.parent.glob(moment)):
            time.sleep(0.0005)
        running.send_signal(signal.SIGKILL)
        assert running.wait() == -signal.SIGKILL
        assert not out.exists() and not models_in(out.parent)
        for folder in out.parent.iterdir():
            shutil.rmtree(folder)
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    assert "19 classes of SemanticKITTI" in done.stdout
    assert models_in(out.parent) == {"out"}
