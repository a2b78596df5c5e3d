"""Arrays in files of NumPy's (``.npy``), whoever made them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError

__all__ = ["map_array"]


def map_array(path: Path, what: str, remedy: str) -> NDArray[Any]:
    """An array that is mapped and not read yet: ``np.array`` reads it.

    Mapping fails where the header declares more than the file holds; loading would allocate first.

    Args:
        path: the file.
        what: the array is, for errors: "the depth map".
        remedy: what to do about a damaged one.

    Raises:
        InputError: a missing, empty or damaged file, one with objects, or an archive of arrays.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy runs its parser of Python over the header, which raises almost anything
        raise InputError(path, f"{what} cannot be read ({error or type(error).__name__})", remedy) from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise InputError(path, f"{what} cannot be read (it is an archive of arrays)", remedy)
    return array
