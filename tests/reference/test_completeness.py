"""No file of a golden folder goes unnoticed: every case has a subject that is tested here."""

from __future__ import annotations

import re
from pathlib import Path

from golden import golden_cases

HERE = Path(__file__).resolve().parent


def test_every_file_has_a_case_that_is_tested(golden_dir: Path) -> None:
    cases = golden_cases(golden_dir)
    assert {path.stem for path in golden_dir.glob("*.npz")} <= {case.name for case in cases}
    tests = "".join(path.read_text() for path in HERE.glob("test_*.py"))
    tested = {re.sub("_(minkunet|ptv3)$", "", name) for name in re.findall(r"\bcase_(\w+): GoldenCase", tests)}
    assert {case.spec["subject"] for case in cases} <= tested
