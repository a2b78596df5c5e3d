"""Pickles are read as data: what torch, NumPy and Python write comes back, and everything else is refused."""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import json
import pickle
import struct
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
from malicious_checkpoints import Call, Global, Raw, checkpoint, code, malicious_files, pickled, write_archive

from ditr.errors import InputError
from ditr.io.pickle_names import Placeholder
from ditr.io.pickle_reader import read_pickle, read_pickle_file
from ditr.io.stored_tensor import StoredTensor
from ditr.io.torch_file import read_torch_file

PROTOCOLS = range(6)


def assert_same(read: Any, written: Any) -> None:
    """The same values of the same types, bit for bit; tensors of the file are loaded."""
    if isinstance(written, torch.Tensor):
        assert isinstance(read, StoredTensor)
        loaded = read.load()
        assert (loaded.dtype, loaded.shape) == (written.dtype, written.shape)
        assert loaded.is_contiguous() and loaded.untyped_storage().nbytes() == read.nbytes
        expected = written.detach().contiguous().flatten().view(torch.uint8)
        assert torch.equal(loaded.flatten().view(torch.uint8), expected)
    elif isinstance(written, np.ndarray | np.generic):
        assert type(read) is type(written) and read.dtype == written.dtype and read.shape == written.shape
        assert read.tobytes() == written.tobytes()
    elif isinstance(written, dict):
        assert isinstance(read, dict) and list(read) == list(written)
        for key in written:
            assert_same(read[key], written[key])
    elif isinstance(written, list | tuple):
        assert type(read) is type(written) and len(read) == len(written)
        for one, other in zip(read, written, strict=True):
            assert_same(one, other)
    else:
        assert type(read) is type(written) and repr(read) == repr(written)


def saved(value: Any, folder: Path) -> Path:
    path = folder / "checkpoint.pth"
    torch.save(value, path)
    return path


def test_a_checkpoint_of_a_training_comes_back(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=100)
    network(torch.randn(5, 3)).square().sum().backward()
    optimizer.step()
    scheduler.step()
    written = {
        "epoch": 3,
        "state_dict": network.state_dict(),
        "plain": dict(network.state_dict()),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "scaler": None,
        "best_metric_value": np.float64(-np.inf),
        "parameter": network[0].weight,
    }
    assert_same(read_torch_file(saved(written, tmp_path)), written)


def test_tensors_of_every_kind_come_back(tmp_path: Path) -> None:
    kinds = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16]
    kinds += [torch.int8, torch.uint8, torch.bool]
    table = torch.randn(6, 8)
    written = {
        "kinds": [(torch.randn(5) * 9).to(kind) for kind in kinds],
        "scalar": torch.tensor(3.5),
        "empty": [torch.zeros(0), torch.zeros(0, 3), torch.zeros(2, 0, dtype=torch.int64)],
        "views": [table, table.t(), table[1:3], table[:, 2], table[2:, 1::3].t(), table[5, 7]],
        "expanded": torch.ones(1).expand(9),
        "odd stride": torch.as_strided(torch.randn(4), (1, 4), (999, 1)),
        "not finite": torch.tensor([float("nan"), float("inf"), -0.0]),
    }
    read = read_torch_file(saved(written, tmp_path))
    assert_same(read, written)
    assert read["views"][1].storage.entry == read["views"][0].storage.entry  # type: ignore[index, call-overload, union-attr]


def test_tied_tensors_and_torchs_other_writers(tmp_path: Path) -> None:
    weight = torch.randn(20, 20)
    written = {"a": weight, "b": weight, "c": weight[:10]}
    for protocol in (2, 3, 4, 5):
        path = tmp_path / f"{protocol}.pth"
        torch.save(written, path, pickle_protocol=protocol)
        assert_same(read_torch_file(path), written)


def test_only_what_is_loaded_is_read(tmp_path: Path) -> None:
    numbers = {"weight": torch.full((100,), 1.5), "moment": torch.full((100,), 2.5)}
    path = saved(numbers, tmp_path)
    data = path.read_bytes()
    path.write_bytes(data.replace(numbers["moment"].numpy().tobytes(), bytes(400)))
    read = read_torch_file(path)
    assert isinstance(read, dict)
    weight, moment = read["weight"], read["moment"]
    assert isinstance(weight, StoredTensor) and isinstance(moment, StoredTensor)
    assert_same(weight, numbers["weight"])
    with pytest.raises(InputError, match="checksum"):
        moment.load()


def test_a_damaged_storage_is_found_through_a_view_too(tmp_path: Path) -> None:
    table = torch.arange(100.0)
    path = saved({"view": table[:10], "other": table[20:]}, tmp_path)
    data = bytearray(path.read_bytes())
    data[data.index(table.numpy().tobytes()) + 399] ^= 1
    path.write_bytes(data)
    read = read_torch_file(path)
    assert isinstance(read, dict)
    view = read["view"]
    assert isinstance(view, StoredTensor)
    with pytest.raises(InputError, match="checksum"):
        view.load()


def test_a_file_cut_off_after_it_was_opened(tmp_path: Path) -> None:
    path = saved({"weight": torch.arange(100.0)}, tmp_path)
    read = read_torch_file(path)
    assert isinstance(read, dict)
    weight = read["weight"]
    assert isinstance(weight, StoredTensor)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match="shortened"):
        weight.load()
    path.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        weight.load()


PLAIN = [
    *(None, True, False, 0, -1, 255, 256, 65536, 2**31 - 1, -(2**31), 2**63, -(2**127)),
    *(1.5, -0.0, float("-inf"), float("nan"), 1e-320, "", "aé\n\\u😀", "\ud800", "x" * 300, "x" * 70_000),
    *(b"", b"\x00\xff\n", bytes(range(256)) * 2, b"x" * 70_000, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
    *([], [1], list(range(2000)), {}, {"a": 1, 2: b"", None: None, True: [{}]}),
    collections.OrderedDict(b=1, a=2),
]
ARRAYS = [
    np.arange(6, dtype=">i2").reshape(2, 3).T,
    np.array(["ab", "cde"]),
    np.array([b"ab"]),
    np.zeros((0, 3)),
    np.array(3.5),
    np.array([True, False]),
    np.arange(24, dtype=np.uint8).reshape(2, 3, 4)[:, ::2],
    np.asfortranarray(np.eye(3, dtype=np.float16)),
    *(np.float64(-np.inf), np.float32(1), np.int64(-5), np.bool_(True), np.str_("hé")),
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_values_of_every_protocol(protocol: int) -> None:
    shared = [1, "text", (2.5,)]
    written = [*PLAIN, shared, shared, {"again": shared}]
    assert_same(read_pickle(pickle.dumps(written, protocol), "x"), written)
    # Python's own writer in Python writes other instructions than the one in C.
    assert_same(read_pickle(pickle._dumps(written, protocol), "x"), written)  # type: ignore[attr-defined]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("core", [b"numpy.core.", b"numpy._core."])
def test_arrays_of_every_protocol_and_of_both_numpys(protocol: int, core: bytes) -> None:
    data = pickle.dumps(ARRAYS, protocol)
    mine = b"numpy._core." if b"numpy._core." in data else b"numpy.core."
    if protocol < 4:
        data = data.replace(mine, core)
    else:  # the name's length stands before it, and that of the frame before everything
        for module in (b"multiarray", b"numeric"):
            old, new = mine + module, core + module
            data = data.replace(b"\x8c" + bytes([len(old)]) + old, b"\x8c" + bytes([len(new)]) + new)
        data = data[:3] + (len(data) - 11).to_bytes(8, "little") + data[11:]
    assert_same(read_pickle(data, "x"), ARRAYS)


def test_a_pickle_file_as_nuscenes_has_them(tmp_path: Path) -> None:
    cameras = {name: {"data_path": f"samples/{name}.jpg", "camera_intrinsics": np.eye(3)} for name in ("A", "B")}
    written = [{"lidar_path": f"{i}.bin", "cams": cameras, "gt_names": np.array(["car", "bus"])} for i in range(20)]
    path = tmp_path / "infos.pkl"
    path.write_bytes(pickle.dumps(written))
    assert_same(read_pickle_file(path), written)


def test_a_plain_pickle_and_an_archive_are_told_apart(tmp_path: Path) -> None:
    path = saved({"a": torch.ones(2)}, tmp_path)
    with pytest.raises(InputError, match="archive of torch"):
        read_pickle_file(path)
    path.write_bytes(pickle.dumps([1]))
    with pytest.raises(InputError, match="plain pickle"):
        read_torch_file(path)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (Call(Global("os", "system"), ("true",)), "os.system.*run code"),
        (Call(Global("builtins", "getattr"), ("x", "y")), "builtins.getattr.*run code"),
        (Call(Global("numpy", "load"), ("x",)), "numpy.load.*run code"),
    ],
)
def test_a_refusal_says_what_the_file_wanted(tmp_path: Path, value: Any, wanted: str) -> None:
    path = write_archive(tmp_path / "bad.pth", pickled(checkpoint(value)))
    with pytest.raises(InputError, match=wanted) as caught:
        read_torch_file(path)
    assert caught.value.where == str(path) and "torch.load" in caught.value.remedy


def test_objects_of_training_code_become_placeholders(tmp_path: Path) -> None:
    network = torch.nn.Linear(3, 4)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.25)
    network(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    written = {
        "weight": network.weight,
        "args": argparse.Namespace(out=PurePosixPath("runs/1"), epochs=3),
        "optimizer": optimizer,  # whose state has tensors as keys
        "scheduler": torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5]),
        "class": torch.optim.SGD,
        "function": torch.optim.lr_scheduler.OneCycleLR._annealing_cos,
        "default": collections.defaultdict(list, a=[1]),
    }
    method = "torch.optim.lr_scheduler.OneCycleLR._annealing_cos"
    for protocol in (2, 3, 4, 5):
        path = tmp_path / f"{protocol}.pth"
        torch.save(written, path, pickle_protocol=protocol)
        read: Any = read_torch_file(path)
        assert_same(read["weight"], network.weight)
        names = {key: value.name for key, value in read.items() if isinstance(value, Placeholder)}
        assert names == {
            "args": "argparse.Namespace",
            "optimizer": "torch.optim.AdamW",
            "scheduler": "torch.optim.lr_scheduler.MultiStepLR",
            "default": "collections.defaultdict",
        } | ({"function": method} if protocol < 4 else {})  # one call of getattr, or one name
        assert protocol < 4 or read["function"].text == method
        assert read["class"].text == "torch.optim.SGD"
        (options,) = read["args"].parts
        assert options["epochs"] == 3 and "".join(options["out"].parts) in ("runs1", "runs/1")
        assert read["default"].parts == ["a", [1]]
        with pytest.raises(dataclasses.FrozenInstanceError):
            read["args"].name = "x"


def test_a_placeholder_imports_nothing_and_is_none_of_plain_pickles(tmp_path: Path) -> None:
    data = pickled(checkpoint(Raw(code(Call(Global("torch.optim.no_such_file", "Absent"), (1,))) + b"}b")))
    read: Any = read_torch_file(write_archive(tmp_path / "absent.pth", data))
    assert (read["extra"].name, read["extra"].parts) == ("torch.optim.Absent", [1, {}])
    with pytest.raises(InputError, match=r"pathlib\.PosixPath.*run code"):
        read_pickle(pickled(Call(Global("pathlib", "PosixPath"), ("x",))), "x")


def test_files_of_other_kinds_get_their_remedy(tmp_path: Path) -> None:
    old = tmp_path / "old.pth"
    torch.save({"a": torch.ones(2)}, old, _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match=r"before version 1.6.*current torch"):
        read_torch_file(old)
    script = write_archive(tmp_path / "script.pt", pickled(None), storages=(("constants.pkl", b""), ("code/x.py", b"")))
    with pytest.raises(InputError, match=r"TorchScript.*state_dict"):
        read_torch_file(script)
    with pytest.raises(InputError, match="no such file"):
        read_torch_file(tmp_path / "absent.pth")


def test_attributes_of_an_ordered_dict_are_left_out() -> None:
    ordered = collections.OrderedDict(a=1)
    ordered._metadata = collections.OrderedDict({"": {"version": 2}})  # type: ignore[attr-defined]
    for protocol in PROTOCOLS:
        read = read_pickle(pickle.dumps(ordered, protocol), "x")
        assert read == {"a": 1} and not hasattr(read, "_metadata")


def in_zip64(data: bytes) -> bytes:
    """An archive with every size and place in the fields for more than 4 GB, as torch.save has them in large files."""
    count, length, begin = struct.unpack("<H2L", data[-12:-2])
    directory, position = b"", begin
    for _ in range(count):
        record = bytearray(data[position : position + 46])
        name_size = struct.unpack_from("<H", record, 28)[0]
        sizes = struct.unpack_from("<2L", record, 20)
        wide = struct.pack("<2H3Q", 1, 24, sizes[1], sizes[0], struct.unpack_from("<L", record, 42)[0])
        record[20:28], record[30:32], record[42:46] = b"\xff" * 8, struct.pack("<H", len(wide)), b"\xff" * 4
        directory += bytes(record) + data[position + 46 : position + 46 + name_size] + wide
        position += 46 + name_size
    assert position == begin + length
    end = begin + len(directory)
    last = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(directory), begin)
    last += struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    last += struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(directory), begin, 0)
    return data[:begin] + directory + last


def test_an_archive_with_the_fields_of_large_ones(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "large.pth", pickled(checkpoint()))
    path.write_bytes(in_zip64(path.read_bytes()))
    assert_same(read_torch_file(path), {"epoch": 1, "state_dict": {"weight": torch.zeros(2, 2)}, "extra": None})


def test_sharing_as_much_as_honest_files_do_is_no_bomb() -> None:
    pose = {"rotation": [1.0, 0.0, 0.0, 0.0], "translation": [0.0] * 3}
    written = [{"pose": pose, "token": "x" * 32} for _ in range(3_000)]
    assert_same(read_pickle(pickle.dumps(written), "x"), written)


def test_truncated_anywhere_or_with_any_byte_changed_only_this_error_is_raised() -> None:
    value = {
        "a": [1, 2.5, "x", b"y", (None, True)],
        "b": np.arange(3),
        "c": np.float64(2),
        "d": collections.OrderedDict(),
    }
    for protocol in PROTOCOLS:
        data = pickle.dumps(value, protocol)
        for cut in range(len(data)):
            with pytest.raises(InputError):
                read_pickle(data[:cut], "x")
        for place in range(len(data)):
            for changed in (data[place] ^ 1, data[place] ^ 0x80):
                with contextlib.suppress(InputError):
                    read_pickle(data[:place] + bytes([changed]) + data[place + 1 :], "x")


# Reads every file named on its input, under a limit of memory, and writes what happened.
READER = """
import json, resource, sys, time
from ditr.errors import InputError
from ditr.io.torch_file import StoredTensor, read_torch_file

def load(value):
    if isinstance(value, StoredTensor):
        value.load()
    elif isinstance(value, (dict, list, tuple)):
        for item in value.values() if isinstance(value, dict) else value:
            load(item)

used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (400 << 20),) * 2)
for path in json.load(sys.stdin):
    begin = time.process_time()
    try:
        load(read_torch_file(path))
        outcome = "read"
    except BaseException as error:
        outcome = type(error).__name__ if type(error) is not InputError else f"InputError {error}"
    print(json.dumps([outcome, time.process_time() - begin]))
"""


def outcomes(paths: list[Path]) -> list[tuple[str, float]]:
    names = json.dumps([str(path) for path in paths])
    done = subprocess.run([sys.executable, "-c", READER], input=names, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def test_malicious_files_are_refused(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    count = 0
    for name, path in malicious_files(tmp_path / "bad", canary):
        if name.startswith(("bomb-", "deep-")):
            continue  # these need the limits of the next test
        with pytest.raises(InputError) as caught:
            load(read_torch_file(path))
        assert caught.value.where == str(path), name
        count += 1
    assert count > 600
    assert not canary.exists()


def load(value: Any) -> None:
    if isinstance(value, StoredTensor):
        value.load()
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            load(item)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by a call of Linux")
def test_malicious_files_are_refused_within_little_memory_and_time(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    control = write_archive(tmp_path / "control.pth", pickled(checkpoint()))
    cases = [("control", control), *malicious_files(tmp_path / "bad", canary)]
    names, paths = [name for name, _ in cases], [path for _, path in cases]
    assert len(set(names)) == len(names)
    assert len({path.read_bytes() for path in paths if path.is_file()}) == len(names) - 1
    first, *others = outcomes(paths)
    assert first[0] == "read"
    for name, path, (outcome, seconds) in zip(names[1:], paths[1:], others, strict=True):
        assert outcome.startswith(f"InputError {path}"), f"{name}: {outcome}"
        assert seconds < 30, name  # a bomb that goes off takes hours
    assert not canary.exists()


def test_the_code_in_these_files_would_run(tmp_path: Path) -> None:
    """Otherwise the absence of the canary would say nothing."""
    canary = tmp_path / "canary"
    path = next(path for name, path in malicious_files(tmp_path / "bad", canary) if name == "memo-strings")
    program = f"import pickle, zipfile; pickle.loads(zipfile.ZipFile({str(path)!r}).read('archive/data.pkl'))"
    subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert canary.exists()


def test_parts_of_the_writer_agree_with_pickle() -> None:
    value = {"a": (1, "x", None, True, 2.5), "b": [b"y"]}
    for protocol in (0, 2, 4):
        assert pickle.loads(pickled(value, protocol)) == value
    assert code(()) == b"(t"
