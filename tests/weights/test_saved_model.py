"""Models in folders: the same logits after a round trip, and damaged ones refused before memory is taken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_world import NETWORK, make_scene, tiny_config, tiny_encoding, write_model

from ditr.data.sample import prepare
from ditr.errors import InputError
from ditr.weights.saved_model import FILES, load_model, read_config, save_model


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "config.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_model_survives(tmp_path: Path) -> None:
    config = tiny_config()
    model = config.build().eval()
    save_model(tmp_path / "run", config, model)
    found, loaded = load_model(tmp_path / "run")
    assert found == config and not loaded.training
    state = loaded.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    sample = prepare(make_scene(), config.preparation, NETWORK.pyramid)
    with torch.no_grad():
        assert torch.equal(model(sample.feature, sample.pyramid), loaded(sample.feature, sample.pyramid))
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted(FILES)


def test_configs_from_before_the_training_data_was_kept_are_read(tmp_path: Path) -> None:
    config = write_model(tmp_path / "run")
    edit(tmp_path / "run", lambda content: content.pop("training_data"))
    assert read_config(tmp_path / "run") == config


def test_the_encoder_is_told_by_its_digest_also_where_a_sentence_alone_has_it(tmp_path: Path) -> None:
    encoding = tiny_encoding(tmp_path / "encoder", cache=False)
    write_model(tmp_path / "run", encoding)
    told = read_config(tmp_path / "run").encoder
    assert told is not None and told.digest == encoding.encoder.digest and len(told.digest) == 64
    told.require(encoding.encoder)

    def as_before(config: dict[str, Any]) -> None:
        del config["encoder"]["digest"]
        config["encoder"]["weights"] = f"folder elsewhere; weights SHA-256 {'0' * 64}"

    edit(tmp_path / "run", as_before)
    old = read_config(tmp_path / "run").encoder
    assert old is not None and old.digest == "0" * 64
    with pytest.raises(InputError, match="folder elsewhere"):
        old.require(encoding.encoder)
    edit(tmp_path / "run", lambda config: config["encoder"].update(digest=None, weights=None))
    unknown = read_config(tmp_path / "run").encoder
    assert unknown is not None
    unknown.require(encoding.encoder)


def test_no_model_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no trained model here .* finished run"):
        read_config(tmp_path)
    write_model(tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model.safetensors: the weights cannot be read"):
        load_model(tmp_path / "run")


@pytest.mark.parametrize("kept", [0, 5, 1000, -10])
def test_truncated_weights(tmp_path: Path, kept: int) -> None:
    write_model(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"model.safetensors: the weights cannot be read.*Restore"):
        load_model(tmp_path)


def test_weights_of_another_network(tmp_path: Path) -> None:
    write_model(tmp_path)
    path = tmp_path / "model.safetensors"
    state = load_file(path)
    name = "head.weight"
    for damaged in (
        {**state, name: state[name][:, :-1].contiguous()},
        {key: value for key, value in state.items() if key != name},
        {**state, name + ".more": state[name].clone()},
    ):
        save_file(damaged, path)
        with pytest.raises(InputError, match=f"missing, unknown or of another shape or type: {name}"):
            load_model(tmp_path)


def test_a_damaged_config_is_refused_with_its_place(tmp_path: Path) -> None:
    write_model(tmp_path)
    original = (tmp_path / "config.json").read_text()

    def refused(change: Callable[[dict[str, Any]], None], message: str) -> None:
        (tmp_path / "config.json").write_text(original)
        edit(tmp_path, change)
        with pytest.raises(InputError, match=message) as error:
            load_model(tmp_path)
        assert "config.json" in error.value.where or "model.safetensors" in error.value.where

    refused(lambda c: c.update(clas_names=[]), "there is no setting 'clas_names'. Did you mean 'class_names'")
    refused(lambda c: c["preparation"].update(voxelsize=1), "preparation.voxelsize.*Did you mean 'voxel_size'")
    refused(lambda c: c.pop("network"), "'network' is missing")
    refused(lambda c: c["preparation"].update(voxel_size=-1.0), "voxel size: -1.0 is not a length")
    refused(lambda c: c["network"].update(encoder_depths=[1]), "of one length")
    refused(lambda c: c["network"].update(encoder_heads=[5, 5]), "no network can be built")
    refused(lambda c: c.update(format=7), "its format is 7, but this version reads 2")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json: it is not JSON"):
        load_model(tmp_path)


def test_a_config_that_asks_for_more_memory_than_there_is_is_refused(tmp_path: Path) -> None:
    """Shapes are compared before any tensor is made: this network would take 2,000 GB."""
    write_model(tmp_path)
    edit(tmp_path, lambda c: c["network"].update(encoder_channels=[16, 1 << 18], encoder_heads=[2, 2]))
    with pytest.raises(InputError, match="of another shape"):
        load_model(tmp_path)
