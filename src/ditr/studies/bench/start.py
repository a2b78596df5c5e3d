"""Where a measuring process begins: a file that runs by its path, with any revision's ``ditr`` in PYTHONPATH.

The rest of this folder is always that of the revision which measures, under its own name beside the other's modules.
Modules that stood elsewhere in older revisions are found under today's names.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import sys
from contextlib import redirect_stdout, suppress
from pathlib import Path

_MOVED = {
    "ditr.captures.capture": "ditr.data.readers.capture",
    "ditr.captures.images": "ditr.data.readers.images",
    "ditr.data.preparation": "ditr.data.sample",
    "ditr.datasets.table": "ditr.data.readers.source",
    "ditr.encoders.dinov2": "ditr.models.dinov2",
    "ditr.encoders.encoding": "ditr.encoding",
    "ditr.encoders.feature_cache": "ditr.feature_cache",
    "ditr.encoders.image_encoder": "ditr.models.image_encoder",
    "ditr.encoders.weights": "ditr.models.encoder_weights",
    "ditr.errors": "ditr.files",
    "ditr.inference.segmenter": "ditr.segmenter",
    "ditr.nn.image_features": "ditr.models.injection",
    "ditr.runtime": "ditr.memory",
    "ditr.training.fabric": "ditr.training.setup",
    "ditr.weights.saved_model": "ditr.saved_model",
}
"""Names of today, and those of the first published revision (8e2fd6b)."""


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _begin() -> None:
    """Set what the revision's program sets, put this folder in the place of its own ``ditr.studies.bench``, measure."""
    with redirect_stdout(io.StringIO()), suppress(SystemExit, ImportError):
        importlib.import_module("ditr.cli").main(["--version"])
    for today, before in _MOVED.items():
        if not _is_there(today):
            sys.modules[today] = importlib.import_module(before)
    folder = Path(__file__).resolve().parent
    name = "ditr.studies.bench"
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)
    importlib.import_module(f"{name}.measure").main()


if __name__ == "__main__":
    # The folder of a file that runs by its path comes first in the search for modules; `machine` would hide others.
    sys.path.pop(0)
    _begin()
