from __future__ import annotations

import contextlib
import io
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.io.onnx_initializers import OnnxNode, read_onnx

CODES = {np.dtype("f4"): 1, np.dtype("i8"): 7, np.dtype("f2"): 10, np.dtype("f8"): 11, np.dtype("u1"): 2}


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def block(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def tensor_message(name: str, array: NDArray[Any], packed_dims: bool = False) -> bytes:
    if packed_dims:
        dims = block(1, b"".join(varint(size) for size in array.shape))
    else:
        dims = b"".join(varint(1 << 3) + varint(size) for size in array.shape)
    kind = varint(2 << 3) + varint(CODES[array.dtype])
    return dims + kind + block(8, name.encode()) + block(9, array.tobytes())


def node_message(node: OnnxNode) -> bytes:
    message = b"".join(block(1, name.encode()) for name in node.inputs)
    message += b"".join(block(2, name.encode()) for name in node.outputs)
    return message + block(3, node.name.encode()) + block(4, node.operation.encode()) + block(5, b"\x0a\x01a")


def model(arrays: dict[str, NDArray[Any]], nodes: tuple[OnnxNode, ...] = (), packed_dims: bool = False) -> bytes:
    graph = b"".join(block(1, node_message(node)) for node in nodes)
    graph += b"".join(block(5, tensor_message(name, array, packed_dims)) for name, array in arrays.items())
    version, opset = varint(1 << 3) + varint(8), block(8, varint(2 << 3) + varint(14))
    fixed = varint(90 << 3 | 5) + b"\0" * 4 + varint(91 << 3 | 1) + b"\0" * 8
    return version + block(2, b"pytorch") + fixed + block(7, graph) + opset


ARRAYS = st.dictionaries(
    st.text(min_size=1, max_size=20),
    st.sampled_from(list(CODES)).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    ),
    max_size=4,
)


@given(ARRAYS, st.booleans())
def test_tensors_are_read_exactly(arrays: dict[str, NDArray[Any]], packed_dims: bool) -> None:
    read = read_onnx(model(arrays, packed_dims=packed_dims), "test.onnx").initializers
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        assert read[name].shape == array.shape
        assert read[name].tobytes() == array.tobytes()


def test_nodes_keep_their_names_and_wiring() -> None:
    nodes = (OnnxNode("/a/MatMul", "MatMul", ("x", "w"), ("y",)), OnnxNode("", "Split", ("y",), ("p", "q")))
    assert read_onnx(model({}, nodes), "test.onnx").nodes == nodes


@given(ARRAYS, st.data())
def test_a_cut_file_is_refused(arrays: dict[str, NDArray[Any]], data: st.DataObject) -> None:
    whole = model(arrays)
    end_of_graph = len(whole) - len(block(8, varint(2 << 3) + varint(14)))
    cut = data.draw(st.integers(0, end_of_graph - 1))
    with pytest.raises(InputError, match=r"test\.onnx"):
        read_onnx(whole[:cut], "test.onnx")


@given(st.binary(max_size=200))
def test_noise_gives_input_errors_only(noise: bytes) -> None:
    with contextlib.suppress(InputError):
        read_onnx(noise, "noise.onnx")


@pytest.mark.parametrize(
    ("tensor", "fault"),
    [
        (varint(1 << 3) + varint(2**50) + varint(2 << 3) + varint(1) + block(9, b"1234"), "has 4 bytes"),
        (varint(2 << 3) + varint(8) + block(8, b"words"), "unsupported data type 8"),
        (block(8, b"far") + varint(14 << 3) + varint(1), "another file"),
    ],
)
def test_tensors_that_cannot_be_read_are_named(tensor: bytes, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        read_onnx(block(7, block(5, tensor)), "test.onnx")


def test_agrees_with_the_onnx_package() -> None:
    onnx = pytest.importorskip("onnx")
    weights = {
        "raw": np.arange(12, dtype=np.float32).reshape(3, 4),
        "listed": np.array([1.5, -2.0], np.float32),
    }
    tensors = [
        onnx.numpy_helper.from_array(weights["raw"], "raw"),
        onnx.helper.make_tensor("listed", onnx.TensorProto.FLOAT, [2], weights["listed"].tolist()),
    ]
    nodes = [onnx.helper.make_node("MatMul", ["x", "raw"], ["y"], name="/fc/MatMul", axis=1)]
    stream = io.BytesIO()
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], [], tensors)), stream)
    graph = read_onnx(stream.getvalue(), "test.onnx")
    for name, expected in weights.items():
        np.testing.assert_array_equal(graph.initializers[name], expected)
    assert graph.nodes == (OnnxNode("/fc/MatMul", "MatMul", ("x", "raw"), ("y",)),)
