"""``ditr doctor``: healthy machines, models that compute something else, damaged files, missing packages."""

from __future__ import annotations

import ast
import json
import shutil
import socket
import subprocess
import sys
import threading
import tomllib
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_world import ditr, tiny_encoding, write_model

from ditr.doctor import examine as doctor
from ditr.doctor import packages as parts
from ditr.doctor.self_check import NETWORKS, OUTPUTS, build_network, compute, read_outputs, write_outputs
from ditr.errors import InputError
from ditr.io import hub
from ditr.io.settings_json import to_json_values
from ditr.weights.contract import FILE, compare, contract_output, sha256
from ditr.weights.saved_model import EncoderConfig

REPOSITORY = Path(__file__).resolve().parents[2]


WITHOUT_TORCH = """
import sys
from importlib.abc import MetaPathFinder

class Hidden(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hidden())
from ditr.cli import main
main(sys.argv[1:])
"""


def change_a_weight(folder: Path) -> None:
    """A model whose head is other than when its contract was written."""
    path = folder / "model.safetensors"
    state = load_file(path)
    state["head.weight"][0, 0] += 1
    save_file(state, path)


def rewrite_hash(folder: Path) -> None:
    """The contract then says that these are the weights it was written for."""
    path = folder / FILE
    with safe_open(path, framework="pt") as file:
        metadata = {**file.metadata(), "weights_sha256": sha256(folder / "model.safetensors")}
    save_file(load_file(path), path, metadata=metadata)


def is_readable(output: str) -> bool:
    return all(len(line) <= 80 and line == line.rstrip() for line in output.splitlines()) and "Traceback" not in output


def test_a_healthy_machine(tmp_path: Path) -> None:
    """With a converted model in the cache, which is found without being named."""
    cache = tmp_path / "cache"
    encoding = tiny_encoding(tmp_path)
    write_model(cache / "models" / "some-model", encoding)
    out = tmp_path / "out" / "doctor.json"
    done = ditr("doctor", "--json", out, DITR_CACHE=str(cache), HF_HUB_CACHE=str(tmp_path / "hub"))
    assert is_readable(done.stdout), done.stdout
    lines = done.stdout.splitlines()
    devices = 1 + torch.cuda.device_count()
    assert lines[-1] == f"No problems found: {4 * devices} outputs were recomputed and match the stored ones."
    assert "Traceback" not in done.stderr
    found = json.loads(out.read_text())
    assert found["problems"] == [] and found["hub"] is None
    assert {item["package"]: item["version"] for item in found["versions"]}["torch"] == torch.__version__
    assert found["machine"]["threads"] == 1 and found["machine"]["omp_num_threads"] == "1"
    assert found["devices"][0]["name"] == "cpu"
    assert [check["what"] for check in found["self_check"]][:3] == list(NETWORKS)
    assert all(check["holds"] and check["repeatable"] for check in found["self_check"] if check["device"] == "cpu")
    (model,) = found["models"]
    assert model["fault"] is None and all(check["holds"] for check in model["checks"])
    assert model["encoder"]["here"] and model["encoder"]["name"] == encoding.spec
    sizes = {item["what"]: item for item in found["caches"]}
    assert sizes["converted models"]["size"] == sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    assert sizes["converted models"]["writable"] and not sizes["hub"]["exists"]
    # It looks, and leaves nothing behind.
    assert not (tmp_path / "hub").exists() and not (cache / "wheels").exists()


def test_models_that_are_not_what_they_were(tmp_path: Path) -> None:
    """Another weight under a matching hash, another weight, a folder without a model, and a name that means nothing."""
    good, changed, damaged, empty = (tmp_path / name for name in ("good", "changed", "damaged", "empty"))
    for folder in (good, changed, damaged):
        write_model(folder)
    empty.mkdir()
    change_a_weight(changed)
    rewrite_hash(changed)
    change_a_weight(damaged)
    out = tmp_path / "doctor.json"
    models = (good, changed, damaged, empty, "ditr-nuscenes-dinov2-x", "ditr-nuscenes-dinov2-s", "nobody/nothing")
    done = ditr("doctor", *models, "--json", out, check=False, DITR_CACHE=str(tmp_path), HF_HUB_CACHE=str(tmp_path))
    assert done.returncode == 1 and is_readable(done.stdout), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"{5 + 1 + torch.cuda.device_count()} problems: changed on cpu; ")
    found = json.loads(out.read_text())
    checks = {Path(model["name"]).name: model for model in found["models"]}
    assert checks["good"]["fault"] is None and checks["good"]["checks"][0]["holds"]
    check = checks["changed"]["checks"][0]
    assert checks["changed"]["fault"] is None and not check["holds"]
    assert check["difference"] > 1000 * check["tolerance"]
    said = " ".join(done.stdout.split())
    assert f"the largest difference is {check['difference']:.2g}, but only 1e-04 is allowed" in said
    assert done.stdout.count("NOT LOADED") == 5
    assert "its SHA-256 differs from the one in contract.safetensors" in said
    assert "there is no trained model here" in said
    assert "Did you mean 'ditr-nuscenes-dinov2-" in said
    assert "ditr-nuscenes-dinov2-s: it has not been converted on this machine yet" in said
    assert "nobody/nothing: neither a folder nor complete in the hub's cache" in said


def test_a_model_whose_output_is_no_number(tmp_path: Path) -> None:
    write_model(tmp_path)
    path = tmp_path / "model.safetensors"
    state = load_file(path)
    state["head.bias"][0] = float("nan")
    save_file(state, path)
    rewrite_hash(tmp_path)
    found = doctor.examine([str(tmp_path)])
    assert found.models[0].checks[0].difference is None and not found.models[0].checks[0].holds
    assert "not a finite number" in found.problems[0].text


def test_a_missing_encoder_is_a_note(tmp_path: Path) -> None:
    encoding = tiny_encoding(tmp_path)
    write_model(tmp_path / "model", encoding)
    shutil.rmtree(encoding.spec)
    found = doctor.examine([str(tmp_path / "model")])
    assert not found.problems and any("its image encoder" in note and "not here" in note for note in found.notes)


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("dinov2-small-reg", "facebook/dinov2-with-registers-small"),
        ("facebook/dinov2-small", "facebook/dinov2-small"),
        ("vit_small_patch14_dinov2", "timm/vit_small_patch14_dinov2.lvd142m"),
    ],
)
def test_encoders_are_looked_for_where_they_are_fetched_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, repository: str
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    config = EncoderConfig(name, 14, 384, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    assert not doctor._encoder(config).here
    folder = tmp_path / f"models--{repository.replace('/', '--')}"
    (folder / "snapshots" / ("a" * 40)).mkdir(parents=True)
    for file in ("config.json", "model.safetensors"):
        (folder / "snapshots" / ("a" * 40) / file).touch()
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("a" * 40)
    assert doctor._encoder(config).here
    assert not doctor._encoder(replace(config, revision="b" * 40)).here


def test_a_model_in_the_cache_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found there without asking the hub, by branch and by commit, and so is its encoder; half a one is not."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    encoding = tiny_encoding(tmp_path)

    def place(repository: str, source: Path) -> Path:
        folder = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
        shutil.copytree(source, folder / "snapshots" / ("a" * 40))
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text("a" * 40)
        return folder / "snapshots" / ("a" * 40)

    config = write_model(tmp_path / "model", encoding)
    assert config.encoder is not None
    named = replace(config, encoder=replace(config.encoder, name="someone/encoder"))
    (tmp_path / "model" / "config.json").write_text(json.dumps(to_json_values(named)))
    folder = place("someone/rooms", tmp_path / "model")
    found = doctor.examine(["someone/rooms", "someone/rooms@" + "a" * 40])
    assert not found.problems and [model.folder for model in found.models] == [str(folder)] * 2
    assert found.models[0].encoder is not None and not found.models[0].encoder.here

    place("someone/encoder", Path(encoding.spec))
    encoder = doctor.examine(["someone/rooms"]).models[0].encoder
    assert encoder is not None and encoder.here
    (folder / FILE).unlink()
    assert "nor complete in the hub's cache" in doctor.examine(["someone/rooms"]).problems[0].text


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("DITR_CACHE", str(tmp_path / "file" / "cache"))
    found = doctor.examine()
    assert [problem.short for problem in found.problems] == [
        "cache of image features",
        "cache of encoder wheel",
        "cache of converted models",
        "cache of octrees of clouds",
    ]
    assert "Set DITR_CACHE" in found.problems[0].text
    # One that is there and may only be read serves, and is not problem.
    there = replace(found.caches[0], exists=True)
    assert doctor._faults((there,), None, (), None, ()) == ()
    assert "is computed again" in doctor._notes(found.machine, (), (there,), (), ())[-1]


def test_a_hub_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A place where nothing listens, and a hub that is switched off."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    found = doctor.examine(online=True)
    assert [problem.short for problem in found.problems] == ["the hub does not answer"]
    assert "refused" in found.problems[0].text
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "is set" in doctor.examine(online=True).problems[0].text


def test_a_hub_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the question and never answers."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(hub, "PATIENCE", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        found = doctor.examine(online=True)
    assert found.hub is not None and not found.hub.answers
    assert "no answer in 0.4 s" in found.hub.text


def test_a_hub_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """That it refuses this question is an answer too; one that is at fault itself is none."""
    monkeypatch.setenv("no_proxy", "*")
    for status, answers, text in ((200, True, "1 files"), (401, True, "401"), (503, False, "503")):

        class Hub(BaseHTTPRequestHandler):
            code = status

            def do_GET(self) -> None:
                self.send_response(self.code)
                self.end_headers()
                told = {"id": "rwthvision/ditr", "sha": "0" * 40, "siblings": [{"rfilename": "README.md"}]}
                self.wfile.write(json.dumps(told).encode())

            def log_message(self, *_: object) -> None:
                pass

        with HTTPServer(("127.0.0.1", 0), Hub) as server:
            threading.Thread(target=server.handle_request, daemon=True).start()
            monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
            found = doctor.examine(online=True).hub
        assert found is not None and found.answers is answers and text in found.text


@pytest.mark.parametrize("damage", ["missing", "truncated", "one bit", "other networks"])
def test_a_damaged_file_of_outputs(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "self_check.safetensors"
    content = bytearray(OUTPUTS.read_bytes())
    if damage == "truncated":
        path.write_bytes(content[:-100])
    elif damage == "one bit":
        content[-5] ^= 1
        path.write_bytes(content)
    elif damage == "other networks":
        save_file({"PTv3": torch.zeros(2)}, path)
    with pytest.raises(InputError, match=r"self_check.safetensors: the stored outputs .* Install ditr again"):
        read_outputs(path)


@pytest.mark.slow
def test_an_installation_with_a_damaged_file_of_outputs(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "src" / "ditr", tmp_path / "ditr", ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "ditr" / "doctor" / OUTPUTS.name
    path.write_bytes(path.read_bytes()[:1000])
    done = ditr("doctor", check=False, PYTHONPATH=str(tmp_path), DITR_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 1 and is_readable(done.stdout), done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "1 problem: the self-check's file"
    assert "Install ditr again" in " ".join(done.stdout.split())


def test_without_torch_it_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, "doctor", "--json", str(tmp_path / "doctor.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stdout.splitlines()[-1] == "1 problem: torch is missing"
    assert "pip install torch" in done.stdout
    assert json.loads((tmp_path / "doctor.json").read_text()) == {"missing": ["torch"]}


def test_a_missing_optional_part_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "embreex", None)
    assert [part.module for part in parts.missing_parts()] == ["embreex"]
    found = doctor.examine()
    assert not found.problems
    assert any("embreex" in note and "pip install 'ditr[rooms]'" in note for note in found.notes)


def test_the_list_of_parts_is_complete() -> None:
    """Every package that the code imports, at whatever depth, and every extra for users, is in one of the two lists."""
    known = {module.split(".")[0] for module in (*parts.ESSENTIAL.values(), *(part.module for part in parts.PARTS))}
    imported = set()
    for path in (REPOSITORY / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add((node.module or "").split(".")[0])
    # The program itself does not start without tyro, which needs docstring_parser.
    assert imported - sys.stdlib_module_names - {"ditr", "tyro", "docstring_parser"} <= known
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = {extra for extra in project["optional-dependencies"] if extra not in ("dev", "docs", "all")}
    assert all(any(f"ditr[{extra}]" in part.install for part in parts.PARTS) for extra in extras)


def test_outputs_are_those_of_the_code(tmp_path: Path) -> None:
    """Whoever changes a network on purpose makes the file again, as the module says."""
    write_outputs(tmp_path / "again.safetensors")
    again, stored = read_outputs(tmp_path / "again.safetensors"), read_outputs()
    assert stored.keys() == NETWORKS.keys() and OUTPUTS.stat().st_size < 100_000
    assert all(compare(again[name], stored[name], 1e-4).holds for name in NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_follow_from_the_formula_alone(name: str) -> None:
    torch.manual_seed(1)
    first = compute(name, "cpu")
    torch.manual_seed(2)
    assert torch.equal(first, compute(name, "cpu"))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_shows_in_the_output(name: str) -> None:
    """A tensor that is wrong anywhere is found, also with the tolerance of GPUs."""
    stored = read_outputs()[name]
    state = build_network(name).state_dict()
    for key, value in state.items():
        if not value.is_floating_point():
            continue
        model = build_network(name)
        model.load_state_dict({**state, key: value.flip(0) * 1.1})
        assert not compare(contract_output(model, NETWORKS[name]), stored, 1e-3).holds, key


def test_only_devices_of_ditr_can_have_problems() -> None:
    """A kernel that Apple's GPUs lack is a note, since ditr does not compute there."""
    found = doctor.examine()
    failed = replace(found.self_check[0], device="mps", holds=False, difference=None, fault="no kernel")
    assert doctor._faults(found.caches, None, (failed,), None, ()) == ()
    assert "CPU and CUDA only" in doctor._notes(found.machine, (), (), (failed,), ())[0]
