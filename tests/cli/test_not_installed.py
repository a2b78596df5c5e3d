"""Libraries that only some of the work needs: without one, a command ends with one line that says how to install it."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_world import make_scene

from ditr.captures.capture import write_capture
from ditr.cli import main
from ditr.cli.faults import reported
from ditr.runtime import worker_pool

ROOT = Path(__file__).resolve().parents[2]


def refused(capsys: pytest.CaptureFixture[str], *command: object) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([str(part) for part in command])
    assert stopped.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_worlds_are_refused_before_any_process_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "embreex", None)
    monkeypatch.chdir(tmp_path)
    for command in (
        ("rooms", "rooms", "--train", 2, "--test", 2, "--workers", 2),
        ("streets", "streets", "--count", 2, "--workers", 2),
        ("demo", "--out", "demo"),
        ("reproduce", "table1", "--quick"),
        ("bench", "--voxels", 1000),
        ("bench", "--what", "loader"),
    ):
        line = refused(capsys, *command)
        assert line.startswith("ditr: embreex: it is not installed") and "pip install 'ditr[rooms]'" in line, command
        assert not multiprocessing.active_children()


def test_an_example_without_its_library_ends_with_a_sentence(tmp_path: Path) -> None:
    script = ROOT / "examples" / "01_features_of_a_capture.py"
    program = f"import runpy, sys; sys.modules['embreex'] = None; sys.path.insert(0, {str(script.parent)!r}); "
    program += f"sys.argv = ['example']; runpy.run_path({str(script)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.splitlines()[-1].endswith("pip install 'ditr[rooms]'.")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("module", "name", "extra"),
    [
        ("laspy", "cloud.las", "las"),
        ("pye57", "cloud.e57", "e57"),
        ("lzf", "cloud.pcd", "pcd"),
        ("trimesh", "cloud.obj", "mesh"),
        ("rosbags", "cloud.bag", "ros"),
        ("fsspec", "https://127.0.0.1:9/cloud.ply", "remote"),
        ("viser", "view", "view"),
        ("ray", "--ray", "ray"),
    ],
)
def test_each_library_is_named_with_its_command(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    module: str,
    name: str,
    extra: str,
) -> None:
    """Some readers ask for theirs only after they know the file by its first bytes."""
    first = {
        "cloud.las": b"LASF" + bytes(400),
        "cloud.e57": b"ASTM-E57" + bytes(100),
        "cloud.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        "cloud.bag": b"#ROSBAG V2.0\n" + bytes(100),
        "cloud.pcd": b"VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 1\nHEIGHT 1\n"
        b"VIEWPOINT 0 0 0 1 0 0 0\nPOINTS 1\nDATA binary_compressed\n" + (14).to_bytes(4, "little") * 2 + bytes(14),
    }
    write_capture(make_scene(), tmp_path / "capture")
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.chdir(tmp_path)
    if name in first:
        Path(name).write_bytes(first[name])
    commands = {"view": ("view", "capture"), "--ray": ("segment", "capture", "--ray")}
    line = refused(capsys, *commands.get(name, ("check", name)))
    assert f"pip install 'ditr[{extra}]'" in line and "not installed" in line


def test_what_is_always_installed_and_yet_missing_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for module, command in (("scipy.spatial", "pip install scipy"), ("lightning_fabric", "pip install lightning-fab")):
        with pytest.raises(SystemExit) as stopped, reported():
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
        (line,) = capsys.readouterr().err.splitlines()
        assert stopped.value.code == 2 and command in line
    with pytest.raises(ImportError, match="a mistake"), reported():
        raise ImportError("a mistake", name="ditr.nothing")


def test_a_process_that_dies_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped, reported(), worker_pool(1) as pool:
        pool.submit(os._exit, 1).result()
    (line,) = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2 and line.startswith("ditr: workers: a process ended before its work")
