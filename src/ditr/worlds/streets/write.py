"""Streets on disk: captures, one folder per scan."""

from __future__ import annotations

import os
from dataclasses import asdict
from functools import partial
from pathlib import Path

from ditr.worlds.common.writing import SceneJob, as_stored, write_jobs
from ditr.worlds.streets.config import StreetsConfig
from ditr.worlds.streets.generate import make_scan, scan_name

__all__ = ["write_streets"]


def write_streets(
    folder: str | os.PathLike[str], config: StreetsConfig, *, workers: int | None = None, progress: bool = False
) -> list[Path]:
    """Write all scans of a configuration as captures ``folder/scan_0000``, ...

    Scans that are there already and come from the same configuration are kept; what an interrupted call left
    unfinished is removed. The result does not depend on ``workers``.

    Args:
        workers: number of processes, by default one per processor; with 1 everything runs in this process.
        progress: show a progress bar with the time left.

    Returns:
        The folders of all scans.

    Raises:
        InputError: a scan's folder holds something else than this configuration's scan, or embreex is not
            installed.
    """
    settings = {key: value for key, value in asdict(config).items() if key != "count"}
    jobs = [
        SceneJob(
            Path(folder) / scan_name(index),
            partial(make_scan, config, index),
            as_stored({"world": "streets", "index": index, "config": settings}),
        )
        for index in range(config.count)
    ]
    return write_jobs("scan", jobs, workers=workers, progress=progress)
