"""The image encoder computes in the run's precision, which the model's config remembers and inference takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from small_world import make_scene, tiny_encoding, tiny_recipe, write_world

from ditr.captures.capture import write_capture
from ditr.cli import main
from ditr.doctor.caches import kept_things
from ditr.encoders.encoding import CachedEncoding
from ditr.encoders.feature_cache import FeatureCache
from ditr.errors import InputError
from ditr.inference.segmenter import Segmenter
from ditr.training.loop import TrainingRun, train
from ditr.weights.saved_model import read_config


def encoded_in(folder: Path) -> dict[str, int]:
    """How many photographs a cache holds in each precision."""
    return {thing.name.rpartition(", ")[2]: len(thing.files) for thing in kept_things(folder)}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two captures, and a model of each precision that learned from them with one cache."""
    root = tmp_path_factory.mktemp("precision")
    captures = write_world(root / "captures", 2)
    encoding = tiny_encoding(root)
    assert encoding.encoder.precision == "32-true", "what suits a CPU"
    for precision in (None, "32-true", "bf16-mixed"):
        how = TrainingRun(root / str(precision), captures, encoding, device="cpu", precision=precision, quiet=True)
        train(tiny_recipe(encoding, steps=2), how)
    return root


def test_the_encoder_follows_the_run_and_the_config_says_so(place: Path) -> None:
    stated = {run: read_config(place / run).encoder for run in ("None", "32-true", "bf16-mixed")}
    assert {run: encoder and encoder.precision for run, encoder in stated.items()} == {
        "None": "32-true",
        "32-true": "32-true",
        "bf16-mixed": "bf16-mixed",
    }
    assert encoded_in(place / "features") == {"32-true": 4, "bf16-mixed": 4}
    weights = [(place / run / "model.safetensors").read_bytes() for run in stated]
    assert weights[0] == weights[1] != weights[2]


def test_inference_takes_the_model_s_precision_or_another(place: Path, tmp_path: Path) -> None:
    def precision(model: str, **options: str) -> torch.dtype:
        segmenter = Segmenter.from_pretrained(place / model, device="cpu", cache=FeatureCache(tmp_path), **options)
        assert segmenter.encoding is not None
        return segmenter.encoding.encoder.dtype

    assert precision("32-true") == torch.float32
    assert precision("bf16-mixed") == torch.bfloat16
    assert precision("bf16-mixed", precision="32-true") == torch.float32
    assert precision("32-true", precision="16-mixed") == torch.float16
    with pytest.raises(InputError, match=r"'half' is not a precision\. Use one of 32-true, bf16-mixed, 16-mixed"):
        precision("32-true", precision="half")


def test_a_model_of_before_computes_in_what_suits_the_device(place: Path, tmp_path: Path) -> None:
    for path in (place / "bf16-mixed").iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    del config["encoder"]["precision"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    segmenter = Segmenter.from_pretrained(tmp_path, device="cpu")
    assert segmenter.encoding is not None and segmenter.encoding.encoder.dtype == torch.float32


def test_commands_have_an_option_for_it(place: Path, tmp_path: Path) -> None:
    write_capture(make_scene(7), tmp_path / "room", image_format="png")
    shared = ["--device", "cpu", "--cache"]

    def done(*arguments: object) -> dict[str, int]:
        cache = tmp_path / f"cache {len(list(tmp_path.iterdir()))}"
        main([*map(str, arguments), *shared, str(cache)])
        return encoded_in(cache)

    def out() -> list[object]:
        return ["--out", tmp_path / f"out {len(list(tmp_path.iterdir()))}"]

    segment = ["segment", tmp_path / "room", "--no-pictures", "--model", place / "bf16-mixed"]
    assert done(*segment, *out()) == {"bf16-mixed": 2}
    assert done(*segment, *out(), "--precision", "32-true") == {"32-true": 2}
    features = ["features", tmp_path / "room", "--no-pictures", "--encoder", place / "encoder"]
    assert done(*features, *out()) == {"32-true": 2}
    assert done(*features, *out(), "--precision", "bf16-mixed") == {"bf16-mixed": 2}
    evaluate = ["evaluate", place / "32-true", "--data", place / "captures", "--out", tmp_path / "figures.json"]
    assert done(*evaluate, "--precision", "16-mixed") == {"16-mixed": 4}


def test_an_encoding_is_not_loaded_anew_for_the_precision_that_it_has(tmp_path: Path) -> None:
    encoding = tiny_encoding(tmp_path, cache=False)
    network = encoding.encoder
    assert encoding.computed_in(None) is encoding and encoding.computed_in("32-true") is encoding
    half = encoding.computed_in("bf16-mixed")
    assert half.encoder.dtype == torch.bfloat16 and encoding.encoder is network
    assert isinstance(half, CachedEncoding) and half.encoder.identity != network.identity
