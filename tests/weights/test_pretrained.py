"""Models by name, over a real local server that speaks the hub's protocol: fetched, converted once, found again."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_server import HubServer
from small_world import tiny_config, write_model

from ditr.datasets.table import by_name
from ditr.errors import InputError
from ditr.inference.segmenter import Segmenter
from ditr.models.ptv3 import PTv3Config
from ditr.models.segmentation import Segmentation
from ditr.weights.convert import Provenance
from ditr.weights.names import to_published
from ditr.weights.pretrained import find_model, from_pretrained, save_pretrained
from ditr.weights.published import REPOSITORY
from ditr.weights.saved_model import FILES

NETWORK = PTv3Config(
    in_channels=4,
    encoder_depths=(1, 1),
    encoder_channels=(16, 32),
    encoder_heads=(1, 2),
    decoder_depths=(1,),
    decoder_channels=(16,),
    decoder_heads=(1,),
)
SHORT, DIRECTORY = "d-ditr-nuscenes", "nuscenes/semseg-ptv3_weight=distill-ptv3_nuscenes_dino-L"

CLIENT = """
import sys
from ditr.errors import InputError
from ditr.weights.pretrained import find_model, from_pretrained
try:
    config, model = from_pretrained(sys.argv[1])
except InputError as error:
    print("refused:", error)
else:
    print(find_model(sys.argv[1]))
    print(config.dataset, len(config.class_names), config.license, sum(p.sum().item() for p in model.parameters()))
"""


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The authors' repository with one checkpoint of a small network, as their training code writes it."""
    torch.manual_seed(0)
    folder = tmp_path / "published"
    checkpoint = folder / DIRECTORY / "model" / "model_best.pth"
    checkpoint.parent.mkdir(parents=True)
    model = Segmentation(NETWORK, len(by_name("nuScenes").classes))
    state = {f"module.{name}": value for name, value in to_published(model.state_dict(), NETWORK).items()}
    torch.save({"epoch": 50, "state_dict": state, "best_metric_value": np.float64(0.809)}, checkpoint)
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n# DITR\n")
    return folder


def start(server: HubServer, home: Path, name: str, **variables: str) -> subprocess.Popen[str]:
    environment = os.environ | server.environment(home) | {"DITR_CACHE": str(home / "ditr")} | variables
    command = [sys.executable, "-c", CLIENT, name]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(server: HubServer, home: Path, name: str, **variables: str) -> list[str]:
    process = start(server, home, name, **variables)
    output, log = process.communicate(timeout=120)
    assert process.returncode == 0, log
    return output.splitlines()


def test_a_published_model_is_fetched_and_converted_once(published: Path, tmp_path: Path) -> None:
    with HubServer({REPOSITORY: published}) as server:
        first = run(server, tmp_path / "home", SHORT)
        fetched = len(server.bodies(".pth"))
        second = run(server, tmp_path / "home", SHORT)
        assert fetched == 1 and len(server.bodies(".pth")) == 1, "the second call needs no download"
    assert first == second
    folder = Path(first[0])
    assert folder == tmp_path / "home" / "ditr" / "models" / SHORT
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert first[1].startswith("nuScenes 16 cc-by-nc-4.0 ")
    assert "license: cc-by-nc-4.0" in (folder / "README.md").read_text()


def test_the_last_checkpoint_serves_where_there_is_no_best_one(published: Path, tmp_path: Path) -> None:
    best = published / DIRECTORY / "model" / "model_best.pth"
    best.rename(published / DIRECTORY / "model_last.pth")
    with HubServer({REPOSITORY: published}) as server:
        assert run(server, tmp_path / "home", SHORT)[1].startswith("nuScenes 16")
        (published / DIRECTORY / "model_last.pth").unlink()
        server.commit(REPOSITORY)
        said = "\n".join(run(server, tmp_path / "other", SHORT))
    assert said.startswith(
        f"refused: {SHORT}: its checkpoint is not on this machine, and is not available: {REPOSITORY}: it has"
    )
    assert "model_last.pth" in said and "ditr convert" in said


@pytest.mark.slow
def test_interrupted_at_random_moments_it_goes_on(published: Path, tmp_path: Path) -> None:
    """Killed in download or conversion: no half model is ever found, and the last run gives the right one."""
    chance = random.Random(0)
    home = tmp_path / "home"
    with HubServer({REPOSITORY: published}) as server:
        expected = run(server, tmp_path / "reference", SHORT)[1]
        server.faults.speed = 100_000
        for _ in range(12):
            process = start(server, home, SHORT)
            time.sleep(chance.uniform(1.0, 6.0))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            folder = home / "ditr" / "models" / SHORT
            if folder.exists():
                from_pretrained(folder)
        server.faults.speed = None
        found = run(server, home, SHORT)
    assert found[1] == expected


def test_a_checkpoint_file_is_a_model_where_it_is_known_or_told_whose(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DITR_CACHE", str(tmp_path / "cache"))
    checkpoint = published / DIRECTORY / "model" / "model_best.pth"
    config, model = from_pretrained(checkpoint)  # the folder says which of the published ones it is
    assert config.dataset == "nuScenes" and len(config.class_names) == 16
    folder = find_model(str(checkpoint))
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert find_model(checkpoint) == folder and (folder / "model.safetensors").stat().st_mtime_ns == before

    elsewhere = checkpoint.rename(tmp_path / "mine.pth")
    told = r"(?s)mine.pth: a checkpoint does not say which dataset .*--name d-ditr.*--dataset NAME.*--encoder.*--norms"
    with pytest.raises(InputError, match=told):
        from_pretrained(elsewhere)
    again, same = from_pretrained(elsewhere, origin=Provenance(dataset="nuScenes"))
    assert again.class_names == config.class_names
    assert all(value.equal(same.state_dict()[name]) for name, value in model.state_dict().items())
    with pytest.raises(InputError, match="16 classes but SemanticKITTI has 19"):
        Segmenter.from_pretrained(elsewhere, origin=Provenance(dataset="SemanticKITTI"))
    (tmp_path / "page.pth").write_text("<html>")
    with pytest.raises(InputError, match=r"page\.pth: "):
        from_pretrained(tmp_path / "page.pth")
    assert len(list((tmp_path / "cache" / "models").iterdir())) == 2


def test_a_repository_of_ours_is_found_by_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    write_model(folder)
    with HubServer({"someone/rooms": folder}) as server:
        lines = run(server, tmp_path / "home", "someone/rooms")
        commit = server.commit("someone/rooms")
        pinned = run(server, tmp_path / "home", f"someone/rooms@{commit}")
        offline = run(server, tmp_path / "home", "someone/rooms", HF_HUB_OFFLINE="1")
    assert lines == pinned == offline
    assert "someone--rooms" in lines[0] and lines[1].startswith("None 3 None")


def test_weights_that_were_changed_on_the_way_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    write_model(folder)
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(bytes(content))
    with HubServer({"someone/rooms": folder}) as server:
        (line,) = run(server, tmp_path / "home", "someone/rooms")
    assert "its SHA-256 differs from the one in contract.safetensors" in line


@pytest.mark.slow
def test_a_hub_that_is_not_there(tmp_path: Path) -> None:
    with HubServer({}) as server:
        pass
    for name in (SHORT, "someone/rooms"):
        said = "\n".join(run(server, tmp_path / "home", name))
        assert said.startswith("refused:") and f"`ditr weights {name} --download`" in said
    assert not (tmp_path / "home" / "ditr").exists() or not list((tmp_path / "home" / "ditr").rglob("config.json"))


def test_names_that_stand_for_nothing() -> None:
    with pytest.raises(InputError, match="Did you mean 'ditr-nuscenes-dinov2-g'"):
        find_model("ditr-nuscene-dinov2-g")
    with pytest.raises(InputError, match="not in rwthvision/ditr yet"):
        find_model("ditr-scannet-dinov2-l")
    with pytest.raises(InputError, match="no trained model here"):
        from_pretrained("./nowhere")


def test_a_saved_model_has_a_card_and_comes_back(tmp_path: Path) -> None:
    config = tiny_config()
    model = config.build().eval()
    save_pretrained(tmp_path / "model", config, model)
    found, loaded = from_pretrained(tmp_path / "model")
    assert found == config
    assert all(value.equal(loaded.state_dict()[name]) for name, value in model.state_dict().items())
    card = (tmp_path / "model" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: ditr\n") and "| Classes | 3: floor, wall, box |" in card
    assert re.search(r"[\d,]+ parameters", card)


def test_norms_of_another_dataset_are_chosen_by_name(tmp_path: Path) -> None:
    from dataclasses import replace

    from ditr.nn.norms import DatasetNorms

    config = tiny_config()
    joint = replace(config, network=replace(config.network, norms=DatasetNorms(("rooms", "streets"))), norms_of="rooms")
    save_pretrained(tmp_path, joint, joint.build())
    assert json.loads((tmp_path / "config.json").read_text())["norms_of"] == "rooms"
    config, model = from_pretrained(tmp_path, dataset="streets")
    assert config.norms_of == "streets" and model.dataset == "streets"
    with pytest.raises(InputError, match="no norms of the dataset 'street'; the network has those of rooms, streets"):
        from_pretrained(tmp_path, dataset="street")
