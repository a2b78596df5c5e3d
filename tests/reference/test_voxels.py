"""Voxels against the published grid sampling: cells, membership, and the fragments of the tester."""

from __future__ import annotations

import numpy as np
from golden import GoldenCase

from ditr.geometry.voxels import voxelize


def test_voxels(case_voxels: GoldenCase) -> None:
    spec, arrays = case_voxels.spec, case_voxels.arrays
    coord = arrays[spec["input_keys"]["coord"]]
    voxels = voxelize(coord, spec["grid_size"])
    cell_of_point = voxels.grid[voxels.inverse].numpy()
    ours = {tuple(cell) for cell in voxels.grid.tolist()}
    for name in spec["hashes"]:
        theirs = arrays[f"train.{name}.grid_coord"]
        assert len(theirs) == len(voxels)
        # Their rows come in the order of a hash, so compare what each point was told about its cell.
        np.testing.assert_array_equal(cell_of_point, theirs[arrays[f"train.{name}.inverse"]])
        fragments = [voxels.fragment(number) for number in range(voxels.fragment_count)]
        assert len(fragments) == arrays[f"test.{name}.n_parts"]
        for part in range(2):
            assert {tuple(cell) for cell in arrays[f"test.{name}.part{part}.grid_coord"].tolist()} == ours
            index = arrays[f"test.{name}.part{part}.index"]
            np.testing.assert_array_equal(np.sort(voxels.inverse[index].numpy()), np.arange(len(voxels)))
        for fragment in fragments:
            np.testing.assert_array_equal(voxels.inverse[fragment], np.arange(len(voxels)))
        assert len(np.unique(np.concatenate(fragments))) == len(coord)
