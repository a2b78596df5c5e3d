"""DINOv3 encoders: equal to ``transformers`` on files it wrote, by timm's names too, and refused where they must be."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ditr.encoders.dinov3 import SIZES
from ditr.encoders.family import random_weights
from ditr.encoders.image_encoder import ImageEncoder, image_size, load_image_encoder
from ditr.encoders.weights import EncoderWeights, from_timm, load_weights
from ditr.errors import InputError

modeling = pytest.importorskip("transformers.models.dinov3_vit.modeling_dinov3_vit", reason="transformers is too old")


def write_encoder(folder: Path, **changes: Any) -> Any:
    """A tiny DINOv3 that ``transformers`` makes up, saves into ``folder``, and that is returned."""
    values = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_register_tokens": 4,
        **changes,
    }
    torch.manual_seed(0)
    network = modeling.DINOv3ViTModel(modeling.DINOv3ViTConfig(**values)).eval()
    with torch.no_grad():
        # As made up, weights are so small that neither attention nor a bias would show in the outputs.
        for name, parameter in network.named_parameters():
            parameter.copy_(torch.randn_like(parameter) * (0.2 if parameter.ndim > 1 else 0.5) + ("norm" in name))
    network.save_pretrained(folder)
    return network


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dinov3")
    write_encoder(path)
    return path


@pytest.fixture(scope="module")
def tiny(folder: Path) -> ImageEncoder:
    return load_image_encoder(str(folder))


def differences(encoder: ImageEncoder, expected: Tensor, images: Tensor) -> tuple[float, float]:
    """Largest differences of the patches' and the [cls] tokens from ``expected``, all tokens of ``images``."""
    encoded = encoder(images)
    rows, columns = images.shape[2] // encoder.patch_size, images.shape[3] // encoder.patch_size
    assert encoded.patch.shape == (len(images), rows, columns, encoder.width)
    patches = (encoded.patch.flatten(1, 2) - expected[:, -rows * columns :]).abs().max()
    return float(patches), float((encoded.cls - expected[:, 0]).abs().max())


@pytest.mark.parametrize("gated", [False, True], ids=["plain", "gated"])
@pytest.mark.parametrize("size", [(64, 64), (48, 112)], ids=["square", "wide"])
def test_equals_transformers_on_its_own_files(tmp_path: Path, gated: bool, size: tuple[int, int]) -> None:
    reference = write_encoder(tmp_path, use_gated_mlp=gated, hidden_act="silu" if gated else "gelu")
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        expected = reference(images).last_hidden_state
    encoder = load_image_encoder(str(tmp_path))
    assert max(differences(encoder, expected, images)) <= 1e-5
    # The positions take part: the same patches elsewhere give other tokens.
    assert min(differences(encoder, expected, images.flip(3))) > 1e-2


def test_patches_and_images_have_the_published_grids() -> None:
    assert image_size(968, 1296, patch_size=16) == (480, 640)  # ScanNet: 30x40 tokens
    assert image_size(900, 1600, patch_size=16) == (432, 768)  # nuScenes: 27x48 tokens
    assert image_size(1080, 1080, patch_size=16) == (592, 592)  # S3DIS: 37x37 tokens
    for native in ((968, 1296), (900, 1600), (1080, 1080)):
        assert [side // 16 for side in image_size(*native, patch_size=16)] == [
            side // 14 for side in image_size(*native)
        ]


def test_the_encoder_asks_for_its_own_sizes(tiny: ImageEncoder) -> None:
    assert tiny.image_size(968, 1296) == (480, 640)
    assert tiny.patch_size == 16 and tiny.width == 32
    with pytest.raises(InputError, match="not a whole number of patches of 16"):
        tiny(torch.zeros(1, 3, 28, 42))


def test_an_image_is_encoded_the_same_in_any_batch_and_again(tiny: ImageEncoder) -> None:
    images = torch.randn(3, 3, 48, 80)
    together, again = tiny(images), tiny(images)
    assert torch.equal(together.patch, again.patch) and torch.equal(together.cls, again.cls)
    for index in range(3):
        alone = tiny(images[index : index + 1])
        assert torch.equal(alone.patch[0], together.patch[index])
        assert torch.equal(alone.cls[0], together.cls[index])
    assert tiny(images[:0]).patch.shape == (0, 3, 5, 32)


def test_is_frozen_and_ignores_autocast(tiny: ImageEncoder) -> None:
    images = torch.randn(1, 3, 32, 48, requires_grad=True)
    plain = tiny(images)
    assert not plain.patch.requires_grad
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(tiny(images).patch, plain.patch)


def test_computes_in_half_precision_when_asked(folder: Path) -> None:
    half = load_image_encoder(str(folder), dtype=torch.bfloat16)
    images = torch.randn(1, 3, 48, 480)
    encoded = half(images)
    assert encoded.patch.dtype is torch.bfloat16
    weights = load_weights(str(folder))
    tensors = {name: value.bfloat16().float() for name, value in weights.tensors.items()}
    rounded = ImageEncoder(EncoderWeights("rounded", "test", weights.architecture, tensors))(images)
    difference = (encoded.patch.float() - rounded.patch).square().mean() / rounded.patch.square().mean()
    assert difference.sqrt() < 0.02


# --------------------------------------------------------------------------------------------------------------- names


def in_timm_names(hub: dict[str, Tensor], depth: int, biased: bool) -> dict[str, Tensor]:
    """What timm's Eva calls the weights of a DINOv3; ``biased`` is its variant ``_qkvb``."""
    timm = {
        "cls_token": hub["embeddings.cls_token"],
        "reg_token": hub["embeddings.register_tokens"],
        "patch_embed.proj.weight": hub["embeddings.patch_embeddings.weight"],
        "patch_embed.proj.bias": hub["embeddings.patch_embeddings.bias"],
        "norm.weight": hub["norm.weight"],
        "norm.bias": hub["norm.bias"],
    }
    mlp = {"fc1_g": "gate_proj", "fc1_x": "up_proj"} if "layer.0.mlp.gate_proj.bias" in hub else {"fc1": "up_proj"}
    for index in range(depth):
        block, layer = f"blocks.{index}.", f"layer.{index}."
        timm[f"{block}attn.qkv.weight"] = torch.cat([hub[f"{layer}attention.{part}_proj.weight"] for part in "qkv"])
        if biased:
            timm[f"{block}attn.q_bias"] = hub[f"{layer}attention.q_proj.bias"]
            timm[f"{block}attn.v_bias"] = hub[f"{layer}attention.v_proj.bias"]
        for kind in ("weight", "bias"):
            timm[f"{block}attn.proj.{kind}"] = hub[f"{layer}attention.o_proj.{kind}"]
            timm[f"{block}norm1.{kind}"] = hub[f"{layer}norm1.{kind}"]
            timm[f"{block}norm2.{kind}"] = hub[f"{layer}norm2.{kind}"]
            timm[f"{block}mlp.fc2.{kind}"] = hub[f"{layer}mlp.down_proj.{kind}"]
            for theirs, ours in mlp.items():
                timm[f"{block}mlp.{theirs}.{kind}"] = hub[f"{layer}mlp.{ours}.{kind}"]
        timm[f"{block}gamma_1"] = hub[f"{layer}layer_scale1.lambda1"]
        timm[f"{block}gamma_2"] = hub[f"{layer}layer_scale2.lambda1"]
    return {name: value.contiguous() for name, value in timm.items()}


@pytest.mark.parametrize("gated", [False, True], ids=["plain", "gated"])
def test_timm_names_give_the_same_tokens(tmp_path: Path, gated: bool) -> None:
    reference = write_encoder(tmp_path, use_gated_mlp=gated, hidden_act="silu" if gated else "gelu")
    hub, images = load_file(tmp_path / "model.safetensors"), torch.randn(1, 3, 32, 64)
    architecture = load_weights(str(tmp_path)).architecture
    with torch.no_grad():
        expected = reference(images).last_hidden_state
    renamed = architecture.from_timm(in_timm_names(hub, depth=2, biased=True))
    encoder = ImageEncoder(EncoderWeights("timm", "test", architecture, renamed))
    assert max(differences(encoder, expected, images)) <= 1e-5


@pytest.mark.parametrize("name", ["vit_small_patch16_dinov3.lvd1689m", "vit_small_patch16_dinov3_qkvb"])
def test_reads_timm_weights_from_a_folder(tmp_path: Path, name: str) -> None:
    # Made up, but with the biases of zero that all published weights have: timm's plain variant leaves them out.
    weights = load_weights("random:dinov3-small:3")
    timm = in_timm_names(dict(weights.tensors), depth=12, biased=name.endswith("qkvb"))
    config = {"architecture": name, "pretrained_cfg": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file(timm, tmp_path / "model.safetensors")
    assert load_weights(str(tmp_path)).digest == weights.digest


def test_sizes_have_the_published_number_of_weights() -> None:
    published = {"small": 21, "small-plus": 29, "base": 86, "large": 300, "huge-plus": 840}  # millions, rounded
    for name, size in SIZES.items():
        count = sum(torch.Size(shape).numel() for shape in size.shapes().values())
        assert count / 1e6 == pytest.approx(published[name], rel=0.035)


def test_untrained_weights_depend_on_the_seed_only() -> None:
    default, again = load_weights("random:dinov3-small"), load_weights("random:dinov3-small:0")
    assert default.digest == again.digest != load_weights("random:dinov3-small:1").digest
    assert default.origin == "untrained, seed 0"


def test_a_cache_can_tell_encoders_apart(tmp_path: Path, tiny: ImageEncoder) -> None:
    write_encoder(tmp_path)
    config = tmp_path / "config.json"
    assert load_image_encoder(str(tmp_path)).identity == tiny.identity
    # The number of heads shows in no weight.
    config.write_text(config.read_text().replace('"num_attention_heads": 2', '"num_attention_heads": 4'))
    other = load_image_encoder(str(tmp_path))
    assert other.digest == tiny.digest
    assert other.identity != tiny.identity
    assert load_image_encoder(str(tmp_path), dtype=torch.bfloat16).identity != other.identity


# ------------------------------------------------------------------------------------------------------------ bad input


def without_a_norm(tensors: dict[str, Tensor]) -> None:
    del tensors["layer.1.norm2.bias"]


def with_another_shape(tensors: dict[str, Tensor]) -> None:
    tensors["layer.0.attention.q_proj.weight"] = torch.zeros(32, 16)


def with_a_key_bias(tensors: dict[str, Tensor]) -> None:
    tensors["layer.0.attention.k_proj.bias"] = torch.zeros(32)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without_a_norm, r"layer\.1\.norm2\.bias is missing"),
        (with_another_shape, r"q_proj\.weight has shape \(32, 16\) instead of \(32, 32\)"),
        (with_a_key_bias, r"k_proj\.bias is unknown"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    tmp_path: Path, damage: Callable[[dict[str, Tensor]], None], message: str
) -> None:
    write_encoder(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    damage(tensors)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=message):
        load_weights(str(tmp_path))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("key_bias", True),
        ("query_bias", False),
        ("rope_theta", 10000.0),
        ("layer_norm_eps", 1e-6),
        ("hidden_act", "relu"),
        ("hidden_size", None),
        ("num_hidden_layers", float("inf")),
        ("patch_size", 0),
        ("num_attention_heads", 3),
    ],
)
def test_networks_it_cannot_compute_are_refused(tmp_path: Path, key: str, value: object) -> None:
    write_encoder(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {key: value}))
    with pytest.raises(InputError, match=re.escape(str(config))):
        load_weights(str(tmp_path))


def test_weights_for_satellites_are_refused(tmp_path: Path) -> None:
    write_encoder(tmp_path)
    described = {"image_mean": [0.430, 0.411, 0.296], "image_std": [0.213, 0.156, 0.143]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(described))
    with pytest.raises(InputError, match=r"image_mean is \[0\.43, 0\.411, 0\.296\]"):
        load_weights(str(tmp_path))
    described = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(described))
    assert load_weights(str(tmp_path)).architecture.patch_size == 16


def test_other_timm_networks_are_refused() -> None:
    with pytest.raises(InputError, match="vit_7b_patch16_dinov3"):
        from_timm("vit_7b_patch16_dinov3.lvd1689m", {}, "test")
    with pytest.raises(InputError, match=r"embeddings\.cls_token is missing"):
        from_timm("vit_base_patch16_dinov3", {}, "test")


def test_random_weights_fit_every_shape() -> None:
    architecture = load_weights("random:dinov3-small").architecture
    weights = random_weights(architecture, 0)
    assert {name: tuple(value.shape) for name, value in weights.items()} == architecture.shapes()


# ------------------------------------------------------------------------------------------------------------------ hub


class Gate(BaseHTTPRequestHandler):
    """A hub that shows every repository to everybody, and gives its files to nobody."""

    def do_GET(self) -> None:
        names = ("config.json", "model.safetensors")
        if "/tree/" in self.path:
            files = [{"type": "file", "path": name, "size": 1, "oid": "0" * 40} for name in names]
            self.reply(200, json.dumps(files).encode())
        elif "/api/models/" in self.path:
            siblings = [{"rfilename": name, "size": 1, "blobId": "0" * 40} for name in names]
            self.reply(200, json.dumps({"id": "some/one", "sha": "0" * 40, "siblings": siblings}).encode())
        else:
            self.reply(401, b"", ("X-Error-Code", "GatedRepo"), ("X-Error-Message", "Access is restricted."))

    do_HEAD = do_GET

    def reply(self, status: int, content: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Length", str(len(content))), ("Content-Type", "application/json"), *headers):
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def gate() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Gate) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_gated_repository_says_how_to_get_in(tmp_path: Path, gate: str) -> None:
    code = """if True:
        from ditr.errors import InputError
        from ditr.encoders.weights import load_weights
        for spec in ("dinov3-small", "vit_base_patch16_dinov3"):
            try:
                load_weights(spec)
            except InputError as fault:
                print(fault)
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    environment |= {"HF_ENDPOINT": gate, "HF_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    first, second = result.stdout.strip().splitlines()
    assert first.startswith("facebook/dinov3-vits16-pretrain-lvd1689m: the Hugging Face hub refuses access")
    assert f"{gate}/facebook/dinov3-vits16-pretrain-lvd1689m" in first
    for part in ("Accept the licence", "hf auth login", "HF_TOKEN"):
        assert part in first
    assert second.startswith("timm/vit_base_patch16_dinov3.lvd1689m: the Hugging Face hub refuses access")
