"""Checkpoints that have to be refused: they run code, exhaust memory, or are damaged.

Each file is written by hand, byte for byte, and each must be refused by whoever reads checkpoints: none of them is
merely unusual. Where one can run code, the code creates the file ``canary``.
"""

from __future__ import annotations

import gzip
import io
import itertools
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

__all__ = ["checkpoint", "malicious_files", "write_archive"]

Case = tuple[str, bytes]  # name, data.pkl


@dataclass(frozen=True)
class Global:
    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """``function(*arguments)``, by the instruction REDUCE."""

    function: Any
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Raw:
    """Instructions as they are."""

    code: bytes


def text(value: str, protocol: int = 2) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    if protocol == 0:
        return b"V" + value.encode("raw-unicode-escape") + b"\n"
    return b"X" + struct.pack("<I", len(raw)) + raw


def code(value: Any, protocol: int = 2) -> bytes:
    """The instructions that put ``value`` on the stack."""
    if isinstance(value, Raw):
        return value.code
    if isinstance(value, Global):
        if protocol >= 4:
            return text(value.module, protocol) + text(value.name, protocol) + b"\x93"
        return b"c" + value.module.encode() + b"\n" + value.name.encode() + b"\n"
    if isinstance(value, Call):
        return code(value.function, protocol) + code(value.arguments, protocol) + b"R"
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"I01\n", False: b"I00\n"}[value]
    if isinstance(value, int):
        return b"I%d\n" % value
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        return text(value, protocol)
    if isinstance(value, bytes):
        return b"B" + struct.pack("<I", len(value)) + value
    if isinstance(value, tuple | list):
        return b"(" + b"".join(code(item, protocol) for item in value) + (b"t" if isinstance(value, tuple) else b"l")
    assert isinstance(value, dict)
    return b"(" + b"".join(code(part, protocol) for item in value.items() for part in item) + b"d"


def pickled(value: Any, protocol: int = 2) -> bytes:
    return (b"\x80%c" % protocol if protocol >= 2 else b"") + code(value, protocol) + b"."


FLOAT = Global("torch", "FloatStorage")
ORDERED = Call(Global("collections", "OrderedDict"), ())


def storage(kind: Any = FLOAT, key: Any = "0", place: Any = "cpu", count: Any = 4, tag: Any = "storage") -> Raw:
    return Raw(code((tag, kind, key, place, count)) + b"Q")


def tensor(
    shape: Any = (2, 2),
    stride: Any = (2, 1),
    offset: Any = 0,
    values: Any = None,
    gradient: Any = False,
    hooks: Any = None,
) -> Call:
    """A tensor of the archive's one storage, which holds four numbers."""
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")
    values, hooks = values or storage(), ORDERED if hooks is None else hooks
    return Call(rebuild, (values, offset, shape, stride, gradient, hooks))


def checkpoint(extra: Any = None) -> dict[str, Any]:
    """What a harmless file holds, and ``extra``."""
    return {"epoch": 1, "state_dict": {"weight": tensor()}, "extra": extra}


def write_archive(
    path: Path,
    data: bytes | None,
    *,
    root: str = "archive",
    order: bytes = b"little",
    storages: tuple[tuple[str, bytes], ...] = (("data/0", bytes(16)),),
    method: int = zipfile.ZIP_STORED,
) -> Path:
    """An archive as torch.save lays it out."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
        warnings.simplefilter("ignore")  # of names that occur twice
        if data is not None:
            archive.writestr(f"{root}/data.pkl", data)
        for name, content in (("byteorder", order), *storages, ("version", b"3\n")):
            archive.writestr(f"{root}/{name}", content)
    return path


def _routes(canary: Path) -> Iterator[tuple[str, Any]]:
    """Calls that would create the canary, or take a step towards it."""
    file, shell = str(canary), f"touch '{canary}'"
    program = f"open({file!r}, 'w').close()"
    system = f"__import__('os').system({shell!r})"
    for module in ("os", "posix", "nt", "platform.os", "shutil.os", "torch._utils.os", "numpy.core.os"):
        yield f"{module}.system", Call(Global(module, "system"), (shell,))
    for name in ("popen", "execl", "remove", "mkdir", "open", "putenv", "startfile", "spawnlp"):
        yield f"os.{name}", Call(Global("os", name), (shell if name == "popen" else file, "x"))
    for name in ("run", "call", "check_call", "check_output", "Popen"):
        yield f"subprocess.{name}", Call(Global("subprocess", name), (["touch", file],))
    yield "subprocess.getoutput", Call(Global("subprocess", "getoutput"), (shell,))
    for module in ("builtins", "__builtin__"):
        yield f"{module}.eval", Call(Global(module, "eval"), (program,))
        yield f"{module}.exec", Call(Global(module, "exec"), (program,))
        yield f"{module}.open", Call(Global(module, "open"), (file, "w"))
        yield f"{module}.getattr", Call(Call(Global(module, "getattr"), (Global("os", "path"), "system")), (shell,))
    builtin = {
        name: Global("builtins", name) for name in ("getattr", "__import__", "compile", "map", "setattr", "type")
    }
    yield "builtins.import", Call(builtin["__import__"], ("os",))
    yield "getattr-chain", Call(Call(builtin["getattr"], (Call(builtin["__import__"], ("os",)), "system")), (shell,))
    yield "builtins.compile", Call(builtin["compile"], (program, "x", "exec"))
    yield "builtins.map", Call(builtin["map"], (Global("os", "system"), [shell]))
    yield "builtins.setattr", Call(builtin["setattr"], (Global("collections", "OrderedDict"), "x", 1))
    yield "builtins.type", Call(builtin["type"], ("T", (), {}))
    yield "builtins.bytearray", Call(Global("builtins", "bytearray"), (10**12,))
    yield "builtins.globals", Call(Call(Global("builtins", "globals"), ()), ())
    for name in ("copy", "copyfile", "move", "rmtree"):
        yield f"shutil.{name}", Call(Global("shutil", name), (__file__ if name != "rmtree" else file, file))
    yield "pathlib.touch", Call(Global("pathlib", "Path.touch"), (Call(Global("pathlib", "Path"), (file,)),))
    yield "pathlib.write", Call(Global("pathlib", "PosixPath.write_text"), (file, "x"))
    yield "socket", Call(Global("socket", "create_connection"), (("127.0.0.1", 9),))
    yield "socket.socket", Call(Global("socket", "socket"), ())
    yield "importlib", Call(Global("importlib", "import_module"), ("antigravity",))
    for module, name in (
        ("runpy", "run_path"), ("pty", "spawn"), ("webbrowser", "open"), ("ctypes", "CDLL"),
        ("zipimport", "zipimporter"),
        ("torch", "load"), ("torch.jit", "load"), ("torch.hub", "load"), ("torch", "from_file"), ("torch", "save"),
        ("torch.serialization", "load"), ("torch.ops", "load_library"), ("torch.package", "PackageImporter"),
        ("torch.utils.cpp_extension", "load_inline"), ("torch.hub", "load_state_dict_from_url"),
        ("numpy", "load"), ("numpy", "fromfile"), ("numpy", "memmap"), ("numpy", "save"), ("numpy", "genfromtxt"),
        ("tempfile", "NamedTemporaryFile"), ("urllib.request", "urlopen"), ("logging", "FileHandler"),
    ):  # fmt: skip
        yield f"{module}.{name}", Call(Global(module, name), (file,))
    for module, name in (
        ("timeit", "timeit"), ("cProfile", "run"), ("pdb", "run"), ("profile", "run"), ("trace", "main"),
        ("numpy.testing._private.utils", "runstring"), ("torch.fx.graph_module", "_exec_with_source"),
        ("torch._inductor.codecache", "PyCodeCache.load"), ("code", "InteractiveInterpreter"),
    ):  # fmt: skip
        yield f"{module}.{name}", Call(Global(module, name), (program, {}))
    inner = pickle.dumps(None)
    for module in ("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "marshal"):
        yield f"{module}.loads", Call(Global(module, "loads"), (inner,))
    yield "torch.load_from_bytes", Call(Global("torch.storage", "_load_from_bytes"), (inner,))
    yield "partial", Call(Call(Global("functools", "partial"), (Global("os", "system"), shell)), ())
    yield "reduce", Call(Global("functools", "reduce"), (Global("os", "system"), [shell], 0))
    yield "attrgetter", Call(Call(Global("operator", "attrgetter"), ("system",)), (Global("os", "path"),))
    yield "methodcaller", Call(Call(Global("operator", "methodcaller"), ("system", shell)), (Global("posix", "x"),))
    yield (
        "reconstructor",
        Call(Global("copyreg", "_reconstructor"), (Global("os", "popen"), Global("builtins", "object"))),
    )
    yield "newobj", Call(Global("copyreg", "__newobj__"), (Global("subprocess", "Popen"), shell))
    yield "defaultdict", Call(Global("collections", "defaultdict"), (Global("os", "abort"),))
    yield "namedtuple", Call(Global("collections", "namedtuple"), ("T", system))
    yield "function", Call(Global("types", "FunctionType"), (Global("types", "CodeType"), {}))
    # Names that lie beside those that are allowed.
    for module, name in (
        ("collections", "OrderedDict.fromkeys"), ("collections", "OrderedDict.__init__.__globals__"),
        ("collections", "_sys.modules"), ("torch._utils", "os.system"), ("torch", "_utils._rebuild_tensor_v2"),
        ("torch", "os.system"), ("torch._utils", "_rebuild_tensor_v2.__globals__"), ("numpy", "dtype.__class__"),
        ("numpy", "dtype.__subclasses__"), ("numpy.core.multiarray", "scalar.__self__"), ("builtins", "bytes.fromhex"),
        ("_codecs", "lookup"), ("_codecs", "decode"), ("codecs", "encode"), (" os", "system"), ("\u043es", "system"),
        ("torch._utils", "_rebuild_parameter_with_state"), ("torch._utils", "_rebuild_sparse_tensor"),
        ("torch._tensor", "_rebuild_from_type_v2"), ("torch._utils", "_rebuild_device_tensor_from_numpy"),
        ("torch.storage", "UntypedStorage"), ("torch", "FooStorage"), ("Torch", "FloatStorage"), ("", ""),
    ):  # fmt: skip
        yield f"beside-{module.strip()}.{name}", Call(Global(module, name), (shell,))


def _tricks(canary: Path) -> Iterator[Case]:
    """Code behind other instructions than REDUCE, behind the memo, and behind names that are allowed."""
    shell = text(f"touch '{canary}'")
    system, ordered = b"cos\nsystem\n", b"ccollections\nOrderedDict\n"
    for name, function in (("system", system), ("allowed", ordered), ("subprocess", b"csubprocess\nPopen\n")):
        yield f"obj-{name}", b"\x80\x02(" + function + shell + b"o."
        yield f"newobj-{name}", b"\x80\x02" + function + shell + b"\x85\x81."
        yield f"newobj-ex-{name}", b"\x80\x04" + function + shell + b"\x85}\x92."
    yield "inst", b"(" + shell + b"ios\nsystem\n."
    yield "inst-allowed", b"(icollections\nOrderedDict\n."
    for size, extension in ((1, b"\x82"), (2, b"\x83"), (4, b"\x84")):
        yield f"extension-{size}", b"\x80\x02" + extension + (1).to_bytes(size, "little") + shell + b"\x85R."
    yield "memo-name", b"\x80\x02" + system + b"q\x000h\x00" + shell + b"\x85R."
    yield "memo-swap", b"\x80\x02" + ordered + b"q\x000" + system + b"q\x000h\x00" + shell + b"\x85R."
    yield (
        "memo-strings",
        b"\x80\x04" + text("os") + b"\x94" + text("system") + b"\x940h\x00h\x01\x93" + shell + b"\x85R.",
    )
    yield "stack-name-bytes", b"\x80\x04C\x02osC\x06system\x93" + shell + b"\x85R."
    yield "stack-name-none", b"\x80\x04NN\x93."
    yield (
        "stack-name-built",
        b"\x80\x04" + code(Call(Global("_codecs", "encode"), ("os", "latin1"))) + text("x") + b"\x93.",
    )
    yield "name-as-value", pickled(checkpoint(FLOAT))
    yield "function-as-value", pickled(checkpoint(Global("torch._utils", "_rebuild_tensor_v2")))
    yield "storage-as-value", pickled(checkpoint(storage()))
    yield "call-of-name", pickled(Call(FLOAT, (10**12,)))
    yield "call-of-text", pickled(Call("os.system", ("x",)))
    yield "call-of-result", pickled(Call(ORDERED, ()))
    yield "arguments-no-tuple", b"\x80\x02" + ordered + b"]R."
    state = Raw(code({"__setstate__": Raw(ordered), "__class__": "x"}) + b"b")
    for name, target in (
        ("tensor", tensor()),
        ("name", FLOAT),
        ("list", []),
        ("dict", {}),
        ("text", "x"),
        ("none", None),
    ):
        yield f"build-{name}", b"\x80\x02" + code(target) + state.code + b"."
    for name, value in (("tuple", (None, {"__reduce__": 1})), ("list", []), ("none", None), ("text", "x")):
        yield f"build-state-{name}", b"\x80\x02" + code(ORDERED) + code(value) + b"b."
    yield "build-reduce", b"\x80\x02" + code(ORDERED) + b"}" + text("__reduce__") + system + b"sb."
    yield "ordered-dict-of-values", pickled(Call(Global("collections", "OrderedDict"), ([("a", 1)],)))
    for name, arguments in (
        ("rot13", ("x", "rot13")),
        ("zip", ("x", "zlib")),
        ("one", ("x",)),
        ("wide", ("\u1234", "latin1")),
    ):
        yield f"encode-{name}", pickled(Call(Global("_codecs", "encode"), arguments))
    yield "bytes-of-length", pickled(Call(Global("builtins", "bytes"), (10**12,)))
    yield "persistent-text", b"P0\n."


def _strangers(canary: Path) -> Iterator[Case]:
    """Steps from the names that become placeholders to code, or to memory and time."""
    shell = f"touch '{canary}'"
    path, optimizer = Global("pathlib", "PosixPath"), Global("torch.optim.adamw", "AdamW")
    made, get = Call(path, ("x",)), Global("builtins", "getattr")
    for name, value in (
        ("call-of-object", Call(made, (shell,))),
        ("call-of-method", Call(Call(get, (made, "unlink")), (shell,))),
        ("call-of-qualified", Call(Global("torch.optim.adamw", "AdamW.step"), (shell,))),
        ("getattr-dunder", Call(get, (optimizer, "__init__"))),
        ("getattr-chain", Call(get, (optimizer, "step.__globals__"))),
        ("getattr-of-module", Call(get, (Global("torch.optim", "os"), "system"))),
        ("getattr-name-made", Call(get, (optimizer, made))),
        ("getattr-of-text", Call(get, ("x", "upper"))),
        ("getattr-of-allowed", Call(get, (Global("collections", "OrderedDict"), "fromkeys"))),
        ("getattr-default", Call(get, (optimizer, "step", Global("torch.optim", "SGD")))),
        ("function-of-optim", Call(Global("torch.optim.sgd", "sgd"), (shell,))),
        ("deeper-module", Global("torch.optim.adamw.os", "System")),
        ("dunder", Global("torch.optim.adamw", "AdamW.__init__")),
        ("factory-alone", Global("builtins", "list")),
        ("factory-called", Call(Global("builtins", "list"), ())),
        ("defaultdict-hostile", Call(Global("collections", "defaultdict"), (Global("os", "system"),))),
        ("appended-to", Raw(code(made) + code(shell) + b"a")),
        ("items-of-path", Raw(code(made) + b"K\x00" + code(shell) + b"s")),
        ("as-key", Raw(b"}" + code(made) + b"Ns")),
        ("arguments-no-tuple", Raw(code(path) + b"]R")),
        ("new-arguments-no-tuple", Raw(code(path) + b"]\x81")),
        ("new-of-object", Raw(code(made) + b")\x81")),
        ("as-storage", tensor(values=made)), ("as-shape", tensor(shape=made)), ("as-stride", tensor(stride=made)),
        ("as-hooks", tensor(hooks=made)), ("as-key-of-storage", tensor(values=storage(key=made))),
        ("as-type-of-storage", tensor(values=storage(kind=optimizer))),
    ):  # fmt: skip
        yield f"stranger-{name}", pickled(checkpoint(value))
    yield "stranger-new-below-mark", b"\x80\x02" + code(path) + b"()\x81."
    yield "stranger-as-persistent", b"\x80\x02" + code(made) + b"Q."
    yield "circle-stranger", b"\x80\x02" + code(made) + b"q\x00h\x00b."
    yield "circle-defaultdict", b"\x80\x02" + code(Call(Global("collections", "defaultdict"), ())) + b"q\x00Nh\x00s."
    new = b"q\x000h\x7f(##t\x81"
    first = code(path) + b"q\x7f)\x81"
    steps = (new.replace(b"#", b"h%c" % i).replace(b"q\x00", b"q%c" % i) for i in range(60))
    yield "bomb-strangers", b"\x80\x02" + first + b"".join(steps) + b"."
    yield "bomb-stranger-objects", b"\x80\x02(" + code(path) + b"q\x00" + b"h\x00)\x81" * 400_000 + b"l."
    yield "deep-strangers", b"\x80\x02" + code(path) + b"q\x00)\x81" + b"q\x010h\x00h\x01\x85\x81" * 2_000 + b"."


def _storages_and_tensors() -> Iterator[Case]:
    for name, value in (
        ("function", storage(kind=Global("os", "system"))), ("type-text", storage(kind="FloatStorage")),
        ("type-function", storage(kind=Global("torch._utils", "_rebuild_tensor_v2"))), ("tag", storage(tag="module")),
        ("key-path", storage(key="../0")), ("key-absolute", storage(key="/etc/passwd")),
        ("key-missing", storage(key="7")),
        ("key-number", storage(key=0)), ("key-list", storage(key=["0"])), ("count-negative", storage(count=-4)),
        ("count-large", storage(count=1 << 62)), ("count-float", storage(count=4.0)), ("count-small", storage(count=3)),
        ("place", storage(place=4)), ("dtype-wide", storage(kind=Global("torch", "DoubleStorage"))),
        ("dtype-narrow", storage(kind=Global("torch", "HalfStorage"))), ("text", Raw(text("0") + b"Q")),
        ("none", Raw(b"NQ")), ("short", Raw(code(("storage", FLOAT)) + b"Q")),
        ("dtype", storage(kind=Global("torch", "Foo"))),
    ):  # fmt: skip
        yield f"storage-{name}", pickled(checkpoint(tensor(values=value)))
    for name, value in (
        ("shape", tensor(shape=(3, 2))), ("stride", tensor(stride=(3, 2))), ("offset", tensor(offset=1)),
        ("offset-negative", tensor(offset=-1)), ("offset-large", tensor(offset=1 << 62)),
        ("offset-text", tensor(offset="0")),
        ("shape-negative", tensor(shape=(-2, 2))), ("stride-negative", tensor(stride=(-2, 1))),
        ("shape-text", tensor(shape="22")), ("shape-float", tensor(shape=(2.0, 2))),
        ("shape-list", tensor(shape=[2, 2])),
        ("shape-bool", tensor(shape=(True, 2))), ("stride-none", tensor(stride=None)),
        ("stride-short", tensor(stride=(1,))),
        ("stride-huge", tensor(stride=(1 << 200, 1))), ("shape-huge", tensor(shape=(1 << 200, 0), stride=(0, 0))),
        ("dimensions", tensor(shape=(1,) * 5000, stride=(1,) * 5000)), ("empty-offset", tensor((0,), (1,), 5)),
        ("expanded", tensor(shape=(1 << 40,), stride=(0,))), ("expanded-gigabytes", tensor((1 << 30,), (0,))),
        ("overflow", tensor(shape=(1 << 32, 1 << 32), stride=(0, 0))), ("gradient", tensor(gradient="x")),
        ("hooks", tensor(hooks=[1])), ("hooks-none", tensor(hooks=Raw(b"N"))), ("values", tensor(values="x")),
        ("nested", tensor(values=tensor())),
    ):  # fmt: skip
        yield f"tensor-{name}", pickled(checkpoint(value))
    rebuild = Global("torch._utils", "_rebuild_parameter")
    for name, arguments in (
        ("short", (tensor(),)),
        ("text", ("x", True, ORDERED)),
        ("hooks", (tensor(), True, {1: FLOAT})),
    ):
        yield f"parameter-{name}", pickled(checkpoint(Call(rebuild, arguments)))


def _arrays() -> Iterator[Case]:
    def dtype(name: Any, order: str = "<", size: int = -1, names: Any = None) -> Raw:
        made = Call(Global("numpy", "dtype"), (name, False, True))
        return Raw(code(made) + code((3, order, None, names, None, size, -1, 0)) + b"b")

    core = "numpy._core.multiarray"
    for name, arguments in (
        ("giant", (dtype("U9999999", size=39999996), b"")), ("object", (dtype("O8"), b"x" * 8)),
        ("structure", (dtype("V1000000000"), b"")), ("date", (dtype("M8"), b"x" * 8)),
        ("long", (dtype("f8"), b"x" * 9)),
        ("short", (dtype("f8"), b"x")), ("no-dtype", ("f8", b"x" * 8)), ("text", (dtype("f8"), "x" * 8)),
        ("unknown", (dtype("f99"), b"x" * 99)), ("order", (dtype("f8", order="!"), b"x" * 8)),
        ("size", (dtype("f8", size=1), b"x")), ("names", (dtype("f8", names=("a",)), b"x" * 8)),
        ("dtype-name", (dtype("os.system"), b"")), ("dtype-number", (dtype(8), b"")), ("bool", (dtype("b1"), b"\x07")),
        ("letters", (dtype("U1", size=4), b"\xff" * 4)),
        ("unfilled", (Call(Global("numpy", "dtype"), ("f8", False, True)), b"x" * 8)),
    ):  # fmt: skip
        yield f"scalar-{name}", pickled(checkpoint(Call(Global(core, "scalar"), arguments)))
    array, empty = Global(core, "_reconstruct"), (Global("numpy", "ndarray"), (0,), b"b")
    for name, arguments, state in (
        ("shape", empty, (1, (10**12,), dtype("f8"), False, b"")),
        ("negative", empty, (1, (-1,), dtype("f8"), False, b"")),
        ("objects", empty, (1, (1,), dtype("O8"), False, [FLOAT])),
        ("list", empty, (1, (1,), dtype("f8"), False, [1.0])),
        ("class", (FLOAT, (0,), b"b"), None), ("start", (Global("numpy", "ndarray"), (10**12,), b"b"), None),
        ("version", empty, (7, (1,), dtype("f8"), False, bytes(8))),
        ("order", empty, (1, (1,), dtype("f8"), "x", bytes(8))),
        ("state", empty, {"__setstate__": 1}),
    ):  # fmt: skip
        yield f"array-{name}", pickled(checkpoint(Raw(code(Call(array, arguments)) + code(state) + b"b")))
    yield "array-unfilled", pickled(checkpoint(Call(array, empty)))
    yield "array-direct", pickled(checkpoint(Call(Global("numpy", "ndarray"), ((10**12,),))))
    # NumPy arrays where texts and numbers belong: comparing them gives arrays, which are neither true nor false.
    three = Raw(code(Call(array, empty)) + code((1, (3,), dtype("i1"), False, b"abc")) + b"b")
    yield "array-as-encoding", pickled(checkpoint(Call(Global("_codecs", "encode"), ("x", three))))
    yield "array-as-start", pickled(checkpoint(Call(array, (empty[0], three, b"b"))))
    yield "array-as-flag", pickled(checkpoint(Call(array, (empty[0], (0,), three))))
    yield (
        "array-as-version",
        pickled(checkpoint(Raw(code(Call(array, empty)) + code((three, (3,), dtype("i1"), False, b"abc")) + b"b"))),
    )
    yield "array-as-storage", pickled(checkpoint(tensor(values=storage(tag=three))))
    yield "array-as-shape", pickled(checkpoint(tensor(shape=three)))
    yield "array-as-stride", pickled(checkpoint(tensor(stride=(three, 1))))
    yield "array-as-offset", pickled(checkpoint(tensor(offset=three)))
    yield "array-as-key", b"\x80\x02}" + code(three) + b"Ns."
    shape = (bytes(8), dtype("f8"), (10**12,), "C")
    yield "buffer-shape", pickled(checkpoint(Call(Global("numpy._core.numeric", "_frombuffer"), shape)))


def _bombs() -> Iterator[Case]:
    """Few bytes that stand for much memory or time."""

    def doubling(first: bytes, step: bytes) -> bytes:
        """Each step makes a value of two of the one before, which ``#`` stands for."""
        steps = (step.replace(b"#", b"h%c" % i) + b"q%c0" % (i + 1) for i in range(60))
        return first + b"q\x000" + b"".join(steps) + b"h\x3c"

    yield "bomb-tuples", b"\x80\x02" + doubling(b")", b"##\x86") + b"."
    yield "bomb-lists", b"\x80\x02" + doubling(b"]", b"](##e") + b"."
    yield "bomb-dicts", b"\x80\x02" + doubling(b"}", b"}(K\x00#K\x01#u") + b"."
    yield "bomb-state", b"\x80\x02" + code(checkpoint())[:-1] + text("x") + doubling(b"]", b"(###l") + b"d."
    yield "bomb-key", b"\x80\x02}" + doubling(b")", b"##\x86") + b"Ns."
    big = tensor((2, 2), (2, 1))
    yield "bomb-tensors", b"\x80\x02](" + code(big) + b"q\x00" + b"h\x00" * 200_000 + b"e."
    yield "bomb-tensors-2", b"\x80\x02](" + code(tensor((60_000,), (0,))) + b"q\x00" + b"2" * 300_000 + b"e."
    yield "bomb-dictionaries", b"\x80\x02(" + b"}" * 2_000_000 + b"l."
    yield "bomb-ordered", b"\x80\x02(ccollections\nOrderedDict\nq\x00" + b"h\x00)R" * 400_000 + b"l."
    yield "bomb-marks", b"\x80\x02" + b"(" * 500_000
    yield (
        "bomb-encode",
        b"\x80\x02("
        + code("x" * 1_000_000)
        + b"q\x00"
        + text("latin1")
        + b"q\x01"
        + (b"c_codecs\nencode\nh\x00h\x01\x86R" * 1000 + b"l."),
    )
    yield "digits-I", b"I" + b"9" * 2_000_000 + b"\n."
    yield "digits-L", b"L" + b"9" * 2_000_000 + b"L\n."
    yield "digits-F", b"F" + b"9" * 2_000_000 + b"\n."
    yield "digits-place", b"Np" + b"9" * 300 + b"\n."
    yield "long1", b"\x80\x02\x8a\xff" + b"\x7f" * 255 + b"."
    yield "long4", b"\x80\x02\x8b" + struct.pack("<I", 2_000_000) + b"\x7f" * 2_000_000 + b"."
    yield "long4-absent", b"\x80\x02\x8b\xff\xff\xff\x7f."
    yield "long4-negative", b"\x80\x02\x8b\xff\xff\xff\xff."
    for name, instruction, size in (("text", b"X", 4), ("bytes", b"B", 4), ("text8", b"\x8d", 8),
    ("bytes8", b"\x8e", 8),
                                    ("bytearray8", b"\x96", 8), ("frame", b"\x95", 8)):  # fmt: skip
        yield f"length-{name}", b"\x80\x05" + instruction + b"\xf0" + b"\xff" * (size - 2) + b"\x7f" + b"abc."
    yield "frame-short", b"\x80\x04\x95" + struct.pack("<Q", 3) + text("abcdef") + b"."
    yield "frame-nested", b"\x80\x04\x95" + struct.pack("<Q", 11) + b"\x95" + struct.pack("<Q", 2) + b"N."
    yield "memo-place", b"\x80\x02Nr\xff\xff\xff\x7f."
    yield "memo-empty", b"\x80\x02h\x07."
    yield "memo-negative", b"Ng-1\n."
    for depth in (200, 2_000, 100_000):
        yield f"deep-lists-{depth}", b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."
        yield f"deep-tuples-{depth}", b"\x80\x02)" + b"\x85" * depth + b"."
        yield f"deep-dicts-{depth}", b"\x80\x02" + b"}K\x00" * depth + b"N" + b"s" * depth + b"."
    yield "circle-list", b"\x80\x02]q\x00h\x00a."
    yield "circle-dict", b"\x80\x02}q\x00K\x00h\x00s."
    yield "circle-tuple", b"\x80\x02]q\x00h\x00\x85a."
    yield "circle-two", b"\x80\x02]q\x00]q\x01h\x00aa."
    yield "circle-ordered", b"\x80\x02" + code(ORDERED) + b"q\x00K\x00h\x00s."
    collisions = b"".join(
        b"\x8a\x20" + (i * ((1 << 61) - 1) << 64).to_bytes(32, "little") + b"N" for i in range(50_000)
    )
    yield "colliding-keys", b"\x80\x02}(" + collisions + b"u."
    yield "key-float", b"\x80\x02}G" + bytes(8) + b"Ns."


def _broken_pickles() -> Iterator[Case]:
    whole = pickled(checkpoint())
    yield "pickle-empty", b""
    yield "pickle-no-stop", whole[:-1]
    yield "pickle-tail", whole + b"N."
    yield "pickle-two-values", whole[:-1] + b"N."
    yield "pickle-open-mark", whole[:-1] + b"(."
    yield "pickle-protocol-6", b"\x80\x06N."
    yield "pickle-protocol-twice", b"\x80\x02\x80\x02N."
    yield "pickle-instruction", b"\x80\x02\xffN."
    yield "pickle-pop-nothing", b"\x80\x020N."
    yield "pickle-below-mark", b"\x80\x02K\x00(\x85."
    yield "pickle-no-mark", b"\x80\x02Nt."
    yield "pickle-odd-items", b"\x80\x02}(K\x00u."
    yield "pickle-append-to-tuple", b"\x80\x02)Na."
    yield "pickle-set-in-list", b"\x80\x02]NNs."
    yield "pickle-text", b"\x80\x02X\x01\x00\x00\x00\xff."
    yield "pickle-buffer", b"\x80\x05\x97\x98."
    for part in range(1, 8):
        yield f"pickle-cut-{part}", whole[: len(whole) * part // 8]


def _damaged_archives() -> Iterator[tuple[str, bytes]]:
    """Whole files. The control is one of torch.save itself, with the end of a large archive."""
    buffer = io.BytesIO()
    torch.save({"weight": torch.arange(64.0)}, buffer)
    whole = buffer.getvalue()
    directory = whole.index(b"PK\x01\x02")
    end = len(whole) - 22
    numbers = whole.index(torch.arange(64.0).numpy().tobytes())
    places = [2, 3, 5, 20, 29, 35, 60, 120, 200, numbers - 8, numbers + 5, numbers + 200]
    places += [directory - 1, directory, directory + 3, directory + 60]
    places += [end + step for step in (-77, -76, -40, -20, -1, 0, 10, 21)]
    for place in places:
        yield f"cut-{place}", whole[:place]
    flips = {
        "signature": 0, "local-method": 8, "local-flags": 6, "local-name": 31, "local-name-length": 27, "pickle": 80,
        "numbers": numbers + 10, "directory-signature": directory, "directory-flags": directory + 8,
        "directory-method": directory + 10, "directory-crc": directory + 16, "directory-stored-size": directory + 20,
        "directory-size": directory + 24, "directory-name-length": directory + 28, "directory-comment": directory + 32,
        "directory-disk": directory + 34, "directory-place": directory + 42, "directory-name": directory + 47,
        "end64-signature": end - 76, "end64-size": end - 72, "end64-count": end - 44, "end64-length": end - 36,
        "end64-begin": end - 28, "locator-place": end - 12, "end-signature": end, "end-disk": end + 4,
        "end-count": end + 10, "end-length": end + 12, "end-begin": end + 16, "end-comment": end + 20,
    }  # fmt: skip
    for name, place in flips.items():
        yield f"flip-{name}", whole[:place] + bytes([whole[place] ^ 0x01]) + whole[place + 1 :]
    # Also a byte of every storage's checksum, which only shows when the numbers are loaded.
    at = whole.index(b"data/0", directory) - whole[directory:].index(b"PK\x01\x02")
    header = whole.rindex(b"PK\x01\x02", directory, at)
    yield "flip-numbers-crc", whole[: header + 16] + bytes([whole[header + 16] ^ 0x80]) + whole[header + 17 :]
    yield "tail", whole + b"x"
    yield "head", b"#!/bin/sh\n" + whole
    yield "twice", whole + whole
    yield "comment", whole[:-2] + b"\x03\x00abc"
    yield "zipped-again", gzip.compress(whole)
    yield "empty", b""
    yield "one-byte", b"P"
    yield "signature-only", b"PK\x03\x04"
    yield "end-only", b"PK\x05\x06" + bytes(18)
    yield "zeros", bytes(4096)
    yield "text", b"this is not a checkpoint\n" * 100
    yield "page", b"<!DOCTYPE html><html><title>404 Not Found</title></html>"
    yield "pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 570503663\n"
    yield "picture", b"\x89PNG\r\n\x1a\n" + bytes(200)
    yield "plain-pickle", pickle.dumps({"weight": [1.0]})
    old = io.BytesIO()
    torch.save({"weight": torch.arange(4.0)}, old, _use_new_zipfile_serialization=False)
    yield "legacy", old.getvalue()
    yield "legacy-cut", old.getvalue()[:40]


def _patched(data: bytes, name: bytes, offset: int, value: bytes) -> bytes:
    """Overwrite a field of the directory's record of ``name``."""
    place = data.rindex(name) - 46 + offset
    return data[:place] + value + data[place + len(value) :]


def _odd_archives(folder: Path) -> Iterator[tuple[str, Path]]:
    """Archives whose pickle is harmless."""
    data = pickled(checkpoint())

    def put(name: str, **options: Any) -> tuple[str, Path]:
        return name, write_archive(folder / f"{name}.pth", options.pop("data", data), **options)

    yield put("no-pickle", data=None)
    yield put("no-storage", storages=())
    yield put("order-big", order=b"big")
    yield put("order-unknown", order=b"middle")
    yield put("order-empty", order=b"")
    yield put("entry-short", storages=(("data/0", bytes(15)),))
    yield put("entry-long", storages=(("data/0", bytes(17)),))
    yield put("compressed", method=zipfile.ZIP_DEFLATED)
    yield put("compressed-bomb", method=zipfile.ZIP_DEFLATED, storages=(("data/0", bytes(20 << 20)),))
    yield put("compressed-bzip2", method=zipfile.ZIP_BZIP2)
    yield put("compressed-lzma", method=zipfile.ZIP_LZMA)
    yield put("two-pickles", storages=(("data/0", bytes(16)), ("data.pkl", data)))
    yield put("two-storages", storages=(("data/0", bytes(16)), ("data/0", bytes(16))))
    yield put("script", storages=(("data/0", bytes(16)), ("constants.pkl", b"\x80\x02)."), ("code/__torch__.py", b"")))
    yield put("script-code", storages=(("data/0", bytes(16)), ("code/__torch__.py", b"")))
    for name in ("../escape", "a/../../escape", "./x", "a//b", "a\\..\\b", "C:x", "a\nb"):
        yield put(f"name-{name.encode().hex()}", storages=(("data/0", bytes(16)), (name, b"x")))
    for name, root in (("up", ".."), ("absolute", "/tmp"), ("here", ".")):
        yield put(f"root-{name}", root=root)
    whole = write_archive(folder / "whole.part", data).read_bytes()
    (folder / "whole.part").unlink()
    directory = whole.index(b"PK\x01\x02")
    entry = b"archive/data/0"
    for name, content in (
        ("encrypted", _patched(whole, entry, 8, b"\x01\x00")), ("method", _patched(whole, entry, 10, b"\x63\x00")),
        ("overlap", _patched(whole, entry, 42, bytes(4))),
        ("place-far", _patched(whole, entry, 42, b"\xff\xff\xff\x7f")),
        ("size-far", _patched(whole, entry, 20, b"\xff\xff\xff\x7f" * 2)),
        ("size-64", _patched(whole, entry, 20, b"\xff" * 8)),
        ("size-reaches-next", _patched(whole, entry, 20, struct.pack("<2L", 40, 40))),
        ("name-with-zero", whole.replace(b"archive/byteorder", b"archive/data.pkl\x00")),
        ("two-folders", whole.replace(b"archive/version", b"another/version")),
        ("count-many", whole[:-14] + b"\xff\xff\xff\xff" + whole[-10:]),
        ("count-less", whole[:-14] + b"\x03\x00" * 2 + whole[-10:]),
        ("directory-far", whole[:-6] + b"\xff\xff\xff\x7f" + whole[-2:]),
        ("no-directory", whole[:directory] + whole[-22:]),
    ):  # fmt: skip
        path = folder / f"archive-{name}.pth"
        path.write_bytes(content)
        yield f"archive-{name}", path
    inside = folder / "folder.pth"
    inside.mkdir()
    yield "folder", inside


def malicious_files(folder: Path, canary: Path) -> Iterator[tuple[str, Path]]:
    """Write each file into ``folder`` and give its name and path. Where one runs code, it creates ``canary``."""
    folder.mkdir(parents=True, exist_ok=True)
    makers: tuple[Callable[[], Iterator[Case]], ...] = (_storages_and_tensors, _arrays, _bombs, _broken_pickles)
    routes = (
        (f"{name}-{protocol}", pickled(checkpoint(value), protocol))
        for name, value in _routes(canary)
        for protocol in (0, 2, 4)
    )
    pickles = itertools.chain(routes, _tricks(canary), _strangers(canary), *(maker() for maker in makers))
    for number, (name, data) in enumerate(pickles):
        yield name, write_archive(folder / f"{number:03d}.pth", data)
    for name, content in _damaged_archives():
        path = folder / f"{name}.pth"
        path.write_bytes(content)
        yield name, path
    yield from _odd_archives(folder)
