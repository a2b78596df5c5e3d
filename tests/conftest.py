"""Options and fixtures that all tests share.

A test that asks for ``case_<subject>`` runs once for every golden case of that subject, those of the repository first;
``case_<subject>_minkunet`` and ``case_<subject>_ptv3`` for those of one kind of network only.
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
from golden import BUNDLED, SHARED, golden_cases
from hypothesis import HealthCheck, settings

settings.register_profile("ditr", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ditr")


NETWORKS = {"minkunet": ("minkunet",), "ptv3": ("ptv3", "ditr")}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden-dir",
        type=Path,
        default=SHARED / "reference" / "golden",
        help="folder of golden .npz files with cases.json (default: ../shared/reference/golden)",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    folder: Path = metafunc.config.getoption("--golden-dir")
    for fixture in metafunc.fixturenames:
        if not fixture.startswith("case_"):
            continue
        subject, networks = fixture.removeprefix("case_"), None
        for family in NETWORKS:
            if subject.endswith(f"_{family}"):
                subject, networks = subject.removesuffix(f"_{family}"), NETWORKS[family]
        parameters = []
        for source, prefix in ((BUNDLED, "bundled-"), (folder, "")):
            for case in golden_cases(source):
                if case.spec["subject"] == subject and (networks is None or case.spec["network"] in networks):
                    missing = [] if case.file.exists() else [pytest.mark.skip(reason=f"{case.file.name} is not here")]
                    parameters.append(pytest.param(case, id=prefix + case.name, marks=missing))
        if not parameters:
            reason = pytest.mark.skip(reason=f"no golden case of subject {subject!r} here")
            parameters.append(pytest.param(None, id="absent", marks=reason))
        metafunc.parametrize(fixture, parameters)


@pytest.fixture
def golden_dir(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.config.getoption("--golden-dir")
    if not (folder / "cases.json").exists():
        pytest.skip(f"no golden folder at {folder.name}")
    return folder


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of real captures."""
    folder = SHARED / "captures"
    if not folder.exists():
        pytest.skip("the real captures are not on this machine")
    return folder
