"""SigLIP 2, AIMv2 and ViT: equal to ``transformers`` on files it wrote, by other names too, and refused where needed.

Real weights take no part: what is compared are made-up networks of the published shapes in small.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from transformers.models.siglip import configuration_siglip, modeling_siglip
from transformers.models.vit import configuration_vit, modeling_vit

from ditr.encoders.image_encoder import ImageEncoder, load_image_encoder
from ditr.encoders.weights import FAMILIES, EncoderWeights, from_timm, known_variant, load_weights
from ditr.errors import InputError

SHAPE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def save(network: Any, folder: Path) -> Any:
    """``network`` with weights that all show in its outputs, saved as ``transformers`` does."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(torch.randn_like(parameter) * (0.2 if parameter.ndim > 1 else 0.5) + ("norm" in name))
    network.eval().save_pretrained(folder)
    return network


def write_siglip(folder: Path, **changes: Any) -> Any:
    values = {**SHAPE, "image_size": 64, **changes}
    config = configuration_siglip.SiglipVisionConfig(**values)
    return save(modeling_siglip.SiglipVisionModel(config), folder)


def write_aimv2(folder: Path, **changes: Any) -> Any:
    modeling = pytest.importorskip("transformers.models.aimv2.modeling_aimv2", reason="transformers is too old")
    from transformers.models.aimv2.configuration_aimv2 import Aimv2VisionConfig

    values = {**SHAPE, "image_size": 56, "use_head": False, **changes}
    return save(modeling.Aimv2VisionModel(Aimv2VisionConfig(**values)), folder)


def write_vit(folder: Path, **changes: Any) -> Any:
    config = configuration_vit.ViTConfig(**{**SHAPE, "image_size": 64, **changes})
    return save(modeling_vit.ViTModel(config), folder)


WRITERS = {"siglip": write_siglip, "aimv2": write_aimv2, "vit": write_vit}
every = pytest.mark.parametrize("kind", WRITERS)


Expected = Callable[[Tensor], tuple[Tensor, Tensor]]
"""What a reference gives for images: patch tokens (V, rows * columns, D) and the token of the image (V, D)."""


def check(folder: Path, reference: Any, expected: Expected, images: Tensor, rounding: float = 1e-5) -> None:
    """The encoder in ``folder`` gives what is expected, and other images give others.

    In float64, where the sums are the same whatever their order, and in float32, as it is used, up to ``rounding``.
    """
    for dtype, bound in ((torch.float64, 1e-5), (torch.float32, rounding)):
        reference.to(dtype)
        with torch.no_grad():
            patches, image = expected(images.to(dtype))
        encoder = load_image_encoder(str(folder), dtype=dtype)
        encoded, other = encoder(images), encoder(images.flip(3))
        rows, columns = images.shape[2] // encoder.patch_size, images.shape[3] // encoder.patch_size
        assert encoded.patch.shape == (len(images), rows, columns, 32)
        assert (encoded.patch.flatten(1, 2) - patches).abs().max() <= bound
        assert (encoded.cls - image).abs().max() <= bound
        # Positions take part: the same patches elsewhere give other tokens.
        assert (other.patch.flatten(1, 2) - patches).abs().max() > 1e-2
        assert (other.cls - image).abs().max() > 1e-3


# transformers' own float32 outputs are 1.2e-5 from its float64 outputs here: two gated MLPs multiply what they round.
AIMV2_ROUNDING = 5e-5


@pytest.fixture
def antialiased(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, Tensor], Any]:
    """Outputs of a network of ``transformers``, its table resampled as it does, but antialiased as timm does it."""

    def run(reference: Any, images: Tensor) -> Any:
        with monkeypatch.context() as changed:
            changed.setattr(torch.nn.functional, "interpolate", partial(F.interpolate, antialias=True))
            return reference(images, interpolate_pos_encoding=True)

    return run


@pytest.mark.parametrize("size", [(64, 64), (48, 112), (96, 32)], ids=["square", "wide", "tall"])
@pytest.mark.parametrize("head", [True, False], ids=["head", "headless"])
def test_siglip_equals_transformers(
    tmp_path: Path, antialiased: Callable[[Any, Tensor], Any], head: bool, size: tuple[int, int]
) -> None:
    reference = write_siglip(tmp_path, vision_use_head=head)

    def expected(images: Tensor) -> tuple[Tensor, Tensor]:
        outputs = antialiased(reference, images)
        return outputs.last_hidden_state, outputs.pooler_output if head else outputs.last_hidden_state.mean(1)

    check(tmp_path, reference, expected, torch.randn(2, 3, *size))


@pytest.mark.parametrize("size", [(64, 64), (48, 112), (96, 32)], ids=["square", "wide", "tall"])
@pytest.mark.parametrize("epsilon", [1e-12, 1e-6])
def test_vit_equals_transformers(
    tmp_path: Path, antialiased: Callable[[Any, Tensor], Any], epsilon: float, size: tuple[int, int]
) -> None:
    reference = write_vit(tmp_path, layer_norm_eps=epsilon)

    def expected(images: Tensor) -> tuple[Tensor, Tensor]:
        tokens = antialiased(reference, images).last_hidden_state
        return tokens[:, 1:], tokens[:, 0]

    check(tmp_path, reference, expected, torch.randn(2, 3, *size))


@pytest.mark.parametrize("size", [(56, 56), (42, 98), (84, 28)], ids=["square", "wide", "tall"])
@pytest.mark.parametrize("native", [True, False], ids=["native", "table"])
def test_aimv2_equals_transformers(tmp_path: Path, native: bool, size: tuple[int, int]) -> None:
    reference = write_aimv2(tmp_path, is_native=native)
    if not native and size != (56, 56):
        # transformers resamples nothing here, so its table is made for this size.
        grid, embeddings = [side // 14 for side in size], reference.embeddings
        square = embeddings.position_embedding.weight.detach().T.reshape(1, 32, 4, 4)
        table = F.interpolate(square, grid, mode="bicubic", antialias=True)[0].flatten(1).T
        embeddings.position_embedding = torch.nn.Embedding.from_pretrained(table.contiguous())
        embeddings.position_ids = torch.arange(grid[0] * grid[1])[None]
    check(tmp_path, reference, partial(with_mean, reference), torch.randn(2, 3, *size), AIMV2_ROUNDING)


def with_mean(reference: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    tokens = reference(images).last_hidden_state
    return tokens, tokens.mean(1)


def test_the_head_of_aimv2_is_left_out(tmp_path: Path) -> None:
    reference = write_aimv2(tmp_path, use_head=True)
    check(tmp_path, reference, partial(with_mean, reference), torch.randn(1, 3, 56, 56), AIMV2_ROUNDING)


def test_the_text_half_of_siglip_is_left_out(tmp_path: Path) -> None:
    text = {**SHAPE, "vocab_size": 10, "bos_token_id": 1, "eos_token_id": 1}
    config = configuration_siglip.SiglipConfig(text_config=text, vision_config={**SHAPE, "image_size": 64})
    pair = save(modeling_siglip.SiglipModel(config), tmp_path)

    def expected(images: Tensor) -> tuple[Tensor, Tensor]:
        outputs = pair.vision_model(images)
        return outputs.last_hidden_state, outputs.pooler_output

    check(tmp_path, pair, expected, torch.randn(1, 3, 64, 64))


# --------------------------------------------------------------------------------------------------------- all of them


@every
def test_images_are_refused_and_encoded_alike(tmp_path: Path, kind: str) -> None:
    WRITERS[kind](tmp_path)
    encoder = load_image_encoder(str(tmp_path))
    side = encoder.patch_size
    for shape in ((1, 3, side, side + 2), (1, 3, 0, side), (3, side, side), (1, 4, side, side)):
        with pytest.raises(InputError):
            encoder(torch.zeros(shape))
    images = torch.randn(3, 3, 3 * side, 5 * side, requires_grad=True)
    together = encoder(images)
    assert not together.patch.requires_grad and not together.cls.requires_grad
    for index in range(3):
        alone = encoder(images[index : index + 1])
        assert torch.equal(alone.patch[0], together.patch[index]) and torch.equal(alone.cls[0], together.cls[index])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(encoder(images).patch, together.patch)
    assert encoder(images[:0]).patch.shape == (0, 3, 5, 32) and encoder(images[:0]).cls.shape == (0, 32)


@every
def test_computes_in_half_precision_when_asked(tmp_path: Path, kind: str) -> None:
    WRITERS[kind](tmp_path)
    half = load_image_encoder(str(tmp_path), dtype=torch.bfloat16)
    images = torch.randn(1, 3, 3 * half.patch_size, 5 * half.patch_size)
    encoded = half(images)
    weights = load_weights(str(tmp_path))
    tensors = {name: value.bfloat16().float() for name, value in weights.tensors.items()}
    rounded = ImageEncoder(EncoderWeights("rounded", "test", weights.architecture, tensors))(images)
    for given, expected in ((encoded.patch, rounded.patch), (encoded.cls, rounded.cls)):
        assert given.dtype is torch.bfloat16
        assert ((given.float() - expected).square().mean() / expected.square().mean()).sqrt() < 0.04


def test_the_token_grids_are_the_published_ones(tmp_path: Path) -> None:
    for kind, write in WRITERS.items():
        write(tmp_path / kind)
        encoder = load_image_encoder(str(tmp_path / kind))
        for native, grid in (((968, 1296), (30, 40)), ((900, 1600), (27, 48)), ((1080, 1080), (37, 37))):
            assert tuple(side // encoder.patch_size for side in encoder.image_size(*native)) == grid


def test_a_cache_can_tell_encoders_apart(tmp_path: Path) -> None:
    identities = set()
    for kind, write in WRITERS.items():
        folder = tmp_path / kind
        write(folder)
        plain = load_image_encoder(str(folder))
        assert load_image_encoder(str(folder)).identity == plain.identity
        # The number of heads shows in no weight.
        config = folder / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"num_attention_heads": 4}))
        other = load_image_encoder(str(folder))
        assert other.digest == plain.digest
        identities |= {plain.identity, other.identity, load_image_encoder(str(folder), dtype=torch.bfloat16).identity}
    write_vit(tmp_path / "timm", layer_norm_eps=1e-6)
    write_aimv2(tmp_path / "native", is_native=True)
    identities |= {load_image_encoder(str(tmp_path / name)).identity for name in ("timm", "native")}
    assert len(identities) == 3 * 3 + 2
    assert [family.title for family in FAMILIES] == list(dict.fromkeys(family.title for family in FAMILIES))


@every
def test_prepare_normalises_as_the_network_was_trained(tmp_path: Path, kind: str) -> None:
    WRITERS[kind](tmp_path)
    encoder, gray = load_image_encoder(str(tmp_path)), 255 * torch.ones(1, 1, 3, dtype=torch.uint8).numpy()
    side = encoder.patch_size
    white = encoder.prepare([gray.astype("uint8").repeat(side, 0).repeat(side, 1)], (side, side))[0, :, 0, 0]
    expected = [1.9303, 2.0749, 2.1459] if kind == "aimv2" else [1.0, 1.0, 1.0]
    torch.testing.assert_close(white, torch.tensor(expected), rtol=0, atol=1e-3)


# --------------------------------------------------------------------------------------------------------------- names


def siglip_in_timm_names(hub: dict[str, Tensor]) -> dict[str, Tensor]:
    timm = {
        "pos_embed": hub["embeddings.position_embedding.weight"][None],
        "attn_pool.latent": hub["head.probe"],
    }
    for kind in ("weight", "bias"):
        timm[f"patch_embed.proj.{kind}"] = hub[f"embeddings.patch_embedding.{kind}"]
        timm[f"norm.{kind}"] = hub[f"post_layernorm.{kind}"]
        joint = hub[f"head.attention.in_proj_{kind}"]
        width = len(joint) // 3
        timm[f"attn_pool.q.{kind}"], timm[f"attn_pool.kv.{kind}"] = joint[:width], joint[width:]
        timm[f"attn_pool.proj.{kind}"] = hub[f"head.attention.out_proj.{kind}"]
        timm[f"attn_pool.norm.{kind}"] = hub[f"head.layernorm.{kind}"]
        for layer in ("fc1", "fc2"):
            timm[f"attn_pool.mlp.{layer}.{kind}"] = hub[f"head.mlp.{layer}.{kind}"]
        for index in range(2):
            block, layer = f"blocks.{index}.", f"encoder.layers.{index}."
            parts = [hub[f"{layer}self_attn.{part}_proj.{kind}"] for part in "qkv"]
            timm[f"{block}attn.qkv.{kind}"] = torch.cat(parts)
            timm[f"{block}attn.proj.{kind}"] = hub[f"{layer}self_attn.out_proj.{kind}"]
            for number in "12":
                timm[f"{block}norm{number}.{kind}"] = hub[f"{layer}layer_norm{number}.{kind}"]
                timm[f"{block}mlp.fc{number}.{kind}"] = hub[f"{layer}mlp.fc{number}.{kind}"]
    return timm


def vit_in_timm_names(hub: dict[str, Tensor]) -> dict[str, Tensor]:
    timm = {
        "cls_token": hub["embeddings.cls_token"],
        "pos_embed": hub["embeddings.position_embeddings"],
        "head.weight": torch.zeros(10, 32),
        "head.bias": torch.zeros(10),
    }
    for kind in ("weight", "bias"):
        timm[f"patch_embed.proj.{kind}"] = hub[f"embeddings.patch_embeddings.projection.{kind}"]
        timm[f"norm.{kind}"] = hub[f"layernorm.{kind}"]
        for index in range(2):
            block, layer = f"blocks.{index}.", f"encoder.layer.{index}."
            parts = [hub[f"{layer}attention.attention.{part}.{kind}"] for part in ("query", "key", "value")]
            timm[f"{block}attn.qkv.{kind}"] = torch.cat(parts)
            for theirs, ours in (
                ("attn.proj", "attention.output.dense"),
                ("norm1", "layernorm_before"),
                ("norm2", "layernorm_after"),
                ("mlp.fc1", "intermediate.dense"),
                ("mlp.fc2", "output.dense"),
            ):
                timm[f"{block}{theirs}.{kind}"] = hub[f"{layer}{ours}.{kind}"]
    return timm


def aimv2_in_timm_names(hub: dict[str, Tensor]) -> dict[str, Tensor]:
    timm = {
        "pos_embed": hub["embeddings.position_embedding.weight"][None],
        "patch_embed.proj.weight": hub["embeddings.patch_embed.weight"],
        "patch_embed.proj.bias": hub["embeddings.patch_embed.bias"],
        "patch_embed.norm.weight": hub["embeddings.rms_norm.weight"],
        "norm.weight": hub["rms_norm.weight"],
    }
    for index in range(2):
        block, layer = f"blocks.{index}.", f"encoder.layers.{index}."
        timm[f"{block}attn.qkv.weight"] = torch.cat([hub[f"{layer}attention.{part}_proj.weight"] for part in "qkv"])
        for theirs, ours in (
            ("attn.proj", "attention.out_proj"),
            ("norm1", "rms_norm1"),
            ("norm2", "rms_norm2"),
            ("mlp.fc1_g", "ffn.gate_proj"),
            ("mlp.fc1_x", "ffn.up_proj"),
            ("mlp.fc2", "ffn.down_proj"),
        ):
            timm[f"{block}{theirs}.weight"] = hub[f"{layer}{ours}.weight"]
    return timm


def aimv2_in_old_names(hub: dict[str, Tensor]) -> dict[str, Tensor]:
    """As in the files that Apple published at first."""
    old = {}
    for name, value in aimv2_in_timm_names(hub).items():
        name = name.replace("patch_embed.", "preprocessor.patchifier.").replace("pos_embed", "preprocessor.pos_embed")
        name = re.sub(r"^norm\.", "trunk.post_trunk_norm.", re.sub(r"^blocks\.", "trunk.blocks.", name))
        name = re.sub(r"\.norm([12])\.", r".norm_\1.", name).replace("fc1_g", "fc1").replace("fc1_x", "fc3")
        old[name] = value
    return old


TIMM = {"siglip": siglip_in_timm_names, "aimv2": aimv2_in_timm_names, "vit": vit_in_timm_names}


@every
def test_timm_names_give_the_same_weights(tmp_path: Path, kind: str) -> None:
    WRITERS[kind](tmp_path)
    weights = load_weights(str(tmp_path))
    # Before transformers 5 the image half of SigLIP has the prefix even where it is alone.
    hub = {name.removeprefix("vision_model."): value for name, value in weights.tensors.items()}
    renamed = weights.architecture.from_timm(TIMM[kind](hub))
    assert set(renamed) == set(weights.tensors)
    for name, value in weights.tensors.items():
        assert torch.equal(renamed[name], value), name


@pytest.mark.parametrize("native", [True, False], ids=["native", "table"])
def test_reads_the_older_files_of_aimv2(tmp_path: Path, native: bool) -> None:
    write_aimv2(tmp_path)
    weights = load_weights(str(tmp_path))
    config = {**SHAPE, "model_type": "aimv2", "patch_size": 14, "rms_norm_eps": 1e-5, "use_bias": False}
    old = aimv2_in_old_names(dict(weights.tensors))
    if native:
        del old["preprocessor.pos_embed"]
    (tmp_path / "config.json").write_text(json.dumps(config if native else config | {"image_size": 56}))
    save_file({name: value.contiguous() for name, value in old.items()}, tmp_path / "model.safetensors")
    again = load_weights(str(tmp_path))
    assert again.architecture.rule.startswith("aimv2 sinusoidal" if native else "aimv2 antialiased")
    assert (again.digest == weights.digest) is not native
    assert set(weights.tensors) - set(again.tensors) == ({"embeddings.position_embedding.weight"} if native else set())


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        # The number of weights that the hub shows, for SigLIP that of timm's networks without a head.
        ("siglip2-base", 86.4),
        ("siglip2-so400m-384", 413.0),
        ("aimv2-large", 308.935680),
        ("aimv2-large-224", 309.197824),
        ("aimv2-large-448", 309.984256),
        ("vit-base-in21k", 85.8),
        ("vit-large-augreg-in21k", 303.3),
    ],
)
def test_sizes_have_the_published_number_of_weights(name: str, millions: float) -> None:
    variant = known_variant(name)
    assert variant is not None and variant.name == name
    shapes = {key: shape for key, shape in variant.architecture.shapes().items() if ".head." not in key}
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) / 1e6 == pytest.approx(millions, rel=2e-3)


@pytest.mark.parametrize(
    ("spec", "hub"),
    [
        ("siglip2-base", "google/siglip2-base-patch16-512"),
        ("siglip2-large", "google/siglip2-large-patch16-512"),
        ("siglip2-giant", "google/siglip2-giant-opt-patch16-384"),
        ("vit_giantopt_patch16_siglip_256.v2_webli", "google/siglip2-giant-opt-patch16-256"),
        ("aimv2-large", "apple/aimv2-large-patch14-native"),
        ("timm/aimv2_large_patch14_336.apple_pt", "apple/aimv2-large-patch14-336"),
        ("vit-base-in21k", "google/vit-base-patch16-224-in21k"),
        ("vit-large-in21k", "google/vit-large-patch16-224-in21k"),
        ("vit_large_patch16_224", "timm/vit_large_patch16_224.augreg_in21k"),
    ],
)
def test_names_stand_for_repositories(spec: str, hub: str) -> None:
    variant = known_variant(spec)
    assert variant is not None and variant.hub == hub


def test_untrained_weights_are_encoded_with() -> None:
    default, other = load_weights("random:vit-base-in21k"), load_weights("random:vit-base-in21k:1")
    assert default.digest != other.digest and default.origin == "untrained, seed 0"
    encoded = ImageEncoder(default)(torch.randn(1, 3, 32, 48))
    assert encoded.patch.shape == (1, 2, 3, 768) and encoded.patch.std() > 0.1


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("kind", "lost", "bent"),
    [
        ("siglip", "head.probe", "encoder.layers.0.mlp.fc1.weight"),
        ("aimv2", "encoder.layers.1.rms_norm2.weight", "embeddings.position_embedding.weight"),
        ("vit", "embeddings.cls_token", "embeddings.position_embeddings"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, kind: str, lost: str, bent: str) -> None:
    WRITERS[kind](tmp_path)
    tensors, file = load_file(tmp_path / "model.safetensors"), tmp_path / "model.safetensors"
    # Some versions of transformers put a prefix before them.
    lost, bent = (next(name for name in tensors if name.endswith(part)) for part in (lost, bent))
    damages: list[tuple[Callable[[dict[str, Tensor]], object], str]] = [
        (lambda damaged: damaged.pop(lost), f"{re.escape(lost)} is missing"),
        (lambda damaged: damaged.update({bent: torch.zeros(7, 32)}), r"has shape \(7, 32\) instead of"),
        (lambda damaged: damaged.update({f"{bent}.strange": torch.zeros(1)}), r"\.strange is unknown"),
    ]
    for damage, message in damages:
        damaged = dict(tensors)
        damage(damaged)
        save_file(damaged, file)
        with pytest.raises(InputError, match=message):
            load_weights(str(tmp_path))


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        *((kind, "hidden_act", "relu") for kind in WRITERS),
        *((kind, "num_attention_heads", 3) for kind in WRITERS),
        *((kind, "image_size", 8) for kind in WRITERS),
        *((kind, "hidden_size", "32") for kind in WRITERS),
        ("siglip", "layer_norm_eps", 1e-5),
        ("siglip", "model_type", "siglip2"),
        ("aimv2", "rms_norm_eps", 1e-6),
        ("aimv2", "qkv_bias", True),
        ("aimv2", "vision_config", {}),
        ("vit", "layer_norm_eps", [1e-6]),
        ("vit", "qkv_bias", False),
    ],
)
def test_networks_it_cannot_compute_are_refused(tmp_path: Path, kind: str, key: str, value: object) -> None:
    WRITERS[kind](tmp_path)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {key: value}))
    with pytest.raises(InputError, match=re.escape(str(config))):
        load_weights(str(tmp_path))


@every
def test_weights_for_other_colors_are_refused(tmp_path: Path, kind: str) -> None:
    WRITERS[kind](tmp_path)
    described = tmp_path / "preprocessor_config.json"
    described.write_text(json.dumps({"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}))
    with pytest.raises(InputError, match=r"image_mean is \[0\.485"):
        load_weights(str(tmp_path))
    architecture = known_variant({"siglip": "siglip2-base", "aimv2": "aimv2-large", "vit": "vit-base-in21k"}[kind])
    assert architecture is not None
    mean, std = architecture.architecture.mean, architecture.architecture.std
    described.write_text(json.dumps({"image_mean": list(mean), "image_std": list(std)}))
    assert load_weights(str(tmp_path)).architecture.mean == mean


@pytest.mark.parametrize("name", ["vit_base_patch16_siglip_512", "aimv2_large_patch14_448", "vit_large_patch16_224"])
def test_timm_weights_must_be_complete(name: str) -> None:
    with pytest.raises(InputError, match=r"embeddings\.\S+ is missing \(and \d+ more\)"):
        from_timm(name, {}, "test")


def test_an_old_transformers_is_told_to_be_renewed() -> None:
    code = """if True:
        import sys
        sys.modules["transformers.models.aimv2"] = None  # as in a version that lacks it
        from ditr.errors import InputError
        from ditr.encoders import aimv2
        import torch
        tiny = aimv2.Architecture(width=8, depth=0, heads=1, hidden=8)
        try:
            tiny.build({}, torch.device("cpu"), torch.float32)
        except InputError as fault:
            print(fault)
    """
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "AIMv2: the installed transformers cannot build it, 4.54" in result.stdout
    assert "pip install -U transformers" in result.stdout
