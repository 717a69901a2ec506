"""The zoo: every graph with a convolution that is at hand, and what onnxbin makes of it.

    python tests/zoo.py > docs/zoo.md

Four kinds of graphs: the test cases of the ONNX standard, the model files in the package onnx, small networks
in every form that exporters give them, and real detectors, where ../shared has them. Of each, `examine` finds
out what inspection says, and whether preparation and binarization keep what the graph computes.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import graphs
import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from onnxbin import OnnxbinError
from onnxbin import model as files
from onnxbin.agreement import run
from onnxbin.binarize import binarize
from onnxbin.layers import inventory
from onnxbin.operator import session, stock_session
from onnxbin.plan import Plan, plan
from onnxbin.settings import Settings
from onnxbin.surgery import BinaryLayer, with_binary_layers, with_values

STANDARD, PACKAGE, FORMS, REAL = (
    "Test cases of the ONNX standard",
    "Model files of the package onnx",
    "Forms that exporters give",
    "Real detectors",
)


@dataclass(frozen=True)
class Case:
    """One graph. build: makes it; random weights are drawn there, not before."""

    kind: str
    name: str
    build: Callable[[], ModelProto]


@dataclass(frozen=True)
class Outcome:
    """What onnxbin makes of a graph.

    opset, ir_version: of the graph as it came. convolutions, candidates: how many there are, and how many
    become binary by default. reasons: why the others are left alone, and how often.
    prepared: largest change of an output, relative to the largest, with no layer binary. binary: the same
    with each layer binary for which there is an operator, against floats of the same two values. Both are
    None where ONNX Runtime cannot run the graph as it came.
    """

    opset: int
    ir_version: int
    convolutions: int
    candidates: int
    reasons: Counter[str]
    prepared: float | None
    binary: float | None


def cases(shared: Path | None = None) -> Iterator[Case]:
    """All graphs; the real ones where their folder is there."""
    yield from _standard_cases()
    yield from _package_cases()
    yield from (Case(FORMS, name, build) for name, build in FORM_BUILDERS.items())
    for path in sorted((shared / "models").glob("*.onnx")) if shared else ():
        yield Case(REAL, path.stem, lambda path=path: onnx.load(path))


def examine(proto: ModelProto) -> Outcome:
    """Take a graph through what `inspect` and `compress` do to it. OnnxbinError where they refuse it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(proto.SerializeToString())
        found = plan(files.load(path), Settings())
    reasons = Counter(layer.left_alone for layer in found.layers if layer.left_alone)
    prepared, binary = _differences(proto, found)
    return Outcome(
        opset=files.opset(proto),
        ir_version=proto.ir_version,
        convolutions=len(found.layers),
        candidates=len(found.order),
        reasons=reasons,
        prepared=prepared,
        binary=binary,
    )


def _differences(proto: ModelProto, found: Plan) -> tuple[float | None, float | None]:
    """Outcome.prepared and Outcome.binary."""
    feed = _random_inputs(proto)
    outputs = [value.name for value in proto.graph.output]
    try:
        expected = run(stock_session(proto), outputs, feed)
    except OnnxbinError:
        return None, None
    prepared = _difference(run(stock_session(found.prepared), outputs, feed), expected)

    everything = inventory(found.prepared, include=[".*"]) if found.layers else []
    stored = {tensor.name: tensor for tensor in found.prepared.graph.initializer}
    layers, dense = {}, {}
    for layer in (layer for layer in everything if layer.left_alone is None):
        weight = binarize(numpy_helper.to_array(stored[layer.weight]))
        bias = numpy_helper.to_array(stored[layer.bias]) if layer.bias else np.zeros(len(weight.signs[0]))
        layers[layer.name] = BinaryLayer(weight, bias.astype(np.float32))
        dense[layer.weight] = weight.dense()
    if not layers:
        return prepared, 0.0
    expected = run(stock_session(with_values(found.prepared, dense)), outputs, feed)
    model = with_binary_layers(found.prepared, layers)
    files.check(model)
    runtimes = (stock_session(model), session(model.SerializeToString()))
    return prepared, max(_difference(run(runtime, outputs, feed), expected) for runtime in runtimes)


def _difference(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    worst = 0.0
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        usual = np.isfinite(b) if b.dtype.kind == "f" else np.zeros(b.shape, bool)
        assert np.array_equal(a[~usual], b[~usual], equal_nan=b.dtype.kind == "f")
        if usual.any():
            scale = max(float(np.abs(b[usual]).max()), float(np.finfo(np.float32).tiny))
            worst = max(worst, float(np.abs(a[usual].astype(np.float64) - b[usual]).max()) / scale)
    return worst


def _random_inputs(proto: ModelProto) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    listed = {tensor.name for tensor in proto.graph.initializer}
    feed = {}
    for value in proto.graph.input:
        if value.name not in listed:
            kind = value.type.tensor_type
            # What the graph leaves open: two images, of 32 pixels a side.
            open_sizes = (2, 3, 32, 32)
            shape = [d.dim_value or open_sizes[i] for i, d in enumerate(kind.shape.dim)]
            dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
            values = rng.normal(size=shape) if dtype.kind == "f" else rng.integers(0, 2, shape)
            feed[value.name] = np.asarray(values, dtype)
    return feed


def _standard_cases() -> Iterator[Case]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the generators of the cases overflow on purpose
        from onnx.backend.test.case.node import collect_testcases

        found = collect_testcases(None)
    for case in found:
        if _convolves(case.model.graph):
            name = case.name.removeprefix("test_")
            yield Case(STANDARD, name, lambda case=case: case.model)
            if [node.op_type for node in case.model.graph.node] == ["Conv"]:
                yield Case(STANDARD, f"{name} (weights stored)", lambda case=case: _with_stored_inputs(case))


def _convolves(graph: onnx.GraphProto) -> bool:
    """Whether there is a convolution of any kind, in a subgraph too."""
    return any(
        "Conv" in node.op_type or any(_convolves(a.g) for a in node.attribute if a.HasField("g"))
        for node in graph.node
    )


def _with_stored_inputs(case: onnx.backend.test.case.test_case.TestCase) -> ModelProto:
    """All inputs but the first become initializers, with the values that the case states."""
    model = ModelProto()
    model.CopyFrom(case.model)
    others = list(model.graph.input)[1:]
    del model.graph.input[1:]
    for value, content in zip(others, case.data_sets[0][0][1:], strict=True):
        array = content if isinstance(content, np.ndarray) else numpy_helper.to_array(content)
        model.graph.initializer.append(numpy_helper.from_array(array, value.name))
    return model


def _package_cases() -> Iterator[Case]:
    data = Path(onnx.__file__).parent / "backend" / "test" / "data"
    for path in sorted(data.rglob("*.onnx")):
        if not _convolves(onnx.load(path).graph):
            continue
        name = path.stem if path.stem.startswith("light") else f"{path.parent.name.removeprefix('test_')}"
        yield Case(PACKAGE, name, lambda path=path: onnx.load(path))
        if path.stem.startswith("light"):
            yield Case(PACKAGE, f"{name} (weights drawn)", lambda path=path: _with_drawn_weights(path))


def _with_drawn_weights(path: Path) -> ModelProto:
    """A light model with random weights and biases for its Convs, not equal numbers that the graph makes.

    Its last Conv's output becomes one of the model: behind it, equal numbers make all classes equal.
    """
    model = onnx.load(path)
    rng = np.random.default_rng(0)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    parameters = {name for node in model.graph.node if node.op_type == "Conv" for name in node.input[1:]}
    kept = []
    for node in model.graph.node:
        if node.op_type == "ConstantOfShape" and node.output[0] in parameters:
            shape = [int(size) for size in shapes[node.input[0]]]
            tensor = graphs.tensor(node.output[0], rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape))
            model.graph.initializer.append(tensor)
            model.graph.input.append(helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, shape))
        else:
            kept.append(node)
    last = [node.output[0] for node in kept if node.op_type == "Conv"][-1]
    model.graph.output.append(helper.make_tensor_value_info(last, TensorProto.FLOAT, list("nchw")))
    return _with_nodes(model, kept)


def _with_nodes(model: ModelProto, nodes: list[NodeProto]) -> ModelProto:
    """The model with these nodes, some of which are its own."""
    kept = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


def _chain(**arguments: object) -> ModelProto:
    return graphs.chain([8, 16, 16, 8], **{"shape": (1, 3, 32, 32), **arguments})


def _listed() -> ModelProto:
    """As files of IR 3 must have it."""
    model = _chain(opset=8, ir_version=3)
    model.graph.input.extend(
        helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in model.graph.initializer
    )
    return model


def _unnamed() -> ModelProto:
    model = _chain()
    for node in model.graph.node:
        node.name = ""
    return model


def _constants() -> ModelProto:
    """Weights and biases come out of Constant nodes."""
    model = _chain()
    nodes = [helper.make_node("Constant", [], [t.name], value=t) for t in model.graph.initializer]
    del model.graph.initializer[:]
    return _with_nodes(model, [*nodes, *model.graph.node])


def _stored_as_float16() -> ModelProto:
    """Weights in float16, each behind a Cast."""
    model = _chain()
    casts = []
    for tensor in model.graph.initializer:
        name = f"{tensor.name}.half"
        casts.append(helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT))
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), name))
    return _with_nodes(model, [*casts, *model.graph.node])


def as_float16(model: ModelProto) -> ModelProto:
    """The same network in float16, input and outputs too."""
    for tensor in model.graph.initializer:
        tensor.CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name)
        )
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info]:
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    return model


def _norms(model: ModelProto) -> ModelProto:
    """With a batch normalization behind each Conv."""
    rng = np.random.default_rng(1)
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type == "Conv":
            width = next(t.dims[0] for t in model.graph.initializer if t.name == node.input[1])
            inner, outer = f"{node.output[0]}.inner", node.output[0]
            names = [f"{node.name}.{part}" for part in ("gamma", "beta", "mean", "variance")]
            values = [rng.uniform(0.5, 2, width), rng.normal(size=width)] * 2
            model.graph.initializer.extend(
                graphs.tensor(n, np.abs(v)) for n, v in zip(names, values, strict=True)
            )
            node.output[0] = inner
            nodes.append(helper.make_node("BatchNormalization", [inner, *names], [outer]))
    return _with_nodes(model, nodes)


def _auto_pad(mode: str, stride: int, shape: tuple[object, ...]) -> ModelProto:
    model = _chain(shape=shape)
    for node in model.graph.node:
        if node.op_type == "Conv":
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("auto_pad", mode))
            node.attribute.append(helper.make_attribute("kernel_shape", [3, 3]))
            if node.name == "c1":
                node.attribute.append(helper.make_attribute("strides", [stride, stride]))
    return model


def _grouped(group: int) -> ModelProto:
    model = _chain()
    rng = np.random.default_rng(2)
    for node, width in zip([n for n in model.graph.node if n.op_type == "Conv"][1:3], (8, 16), strict=True):
        tensor = next(t for t in model.graph.initializer if t.name == node.input[1])
        tensor.CopyFrom(graphs.tensor(tensor.name, rng.normal(0, 0.1, (16, width // group, 3, 3))))
        node.attribute.append(helper.make_attribute("group", group))
    return model


def _one_dimension() -> ModelProto:
    rng = np.random.default_rng(0)
    weights = [graphs.tensor(f"w{i}", rng.normal(0, 0.2, (8, 3 if i == 0 else 8, 3))) for i in range(3)]
    nodes = [
        helper.make_node("Conv", [f"t{i}" if i else "x", f"w{i}"], [f"t{i + 1}" if i < 2 else "y"], f"c{i}")
        for i in range(3)
    ]
    model = graphs.model(nodes, weights, shape=(1, 3, 32))
    model.graph.output[0].type.tensor_type.shape.dim.pop()
    return model


def _mixed(op: str) -> ModelProto:
    """A ConvTranspose or a Gemm in the middle of a chain."""
    model = _chain()
    rng = np.random.default_rng(3)
    middle = next(node for node in model.graph.node if node.name == "c2")
    if op == "ConvTranspose":
        middle.op_type = op
        return model
    weight = graphs.tensor("fully", rng.normal(0, 0.1, (10, 8 * 32 * 32)))
    model.graph.initializer.append(weight)
    model.graph.node[-1].output[0] = "last"
    model.graph.node.append(helper.make_node("Flatten", ["last"], ["flat"]))
    model.graph.node.append(helper.make_node("Gemm", ["flat", "fully"], ["y"], "gemm", transB=1))
    del model.graph.output[0].type.tensor_type.shape.dim[2:]
    return model


def _if_and_loop() -> ModelProto:
    """A Conv in each branch of an If, which reads the graph around it, and one in the body of a Loop."""
    model = _chain(opset=16, ir_version=8)
    rng = np.random.default_rng(4)
    model.graph.initializer.append(graphs.tensor("inner", rng.normal(0, 0.1, (16, 16, 1, 1))))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(2), "twice"))
    branches = {}
    for branch, scale in (("then_branch", 1.0), ("else_branch", 2.0)):
        nodes = [
            helper.make_node("Conv", ["r1", "inner"], [f"{branch}.t"], f"{branch}.conv"),
            helper.make_node("Constant", [], [f"{branch}.k"], value=graphs.tensor("k", scale)),
            helper.make_node("Mul", [f"{branch}.t", f"{branch}.k"], [f"{branch}.y"]),
        ]
        out = helper.make_tensor_value_info(f"{branch}.y", TensorProto.FLOAT, None)
        branches[branch] = helper.make_graph(nodes, branch, [], [out])
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Conv", ["state", "inner"], ["state.new"], "body.conv"),
            helper.make_node("Identity", ["going"], ["going.new"]),
        ],
        "body",
        [
            info("step", TensorProto.INT64, []),
            info("going", TensorProto.BOOL, []),
            info("state", TensorProto.FLOAT, [1, 16, 32, 32]),
        ],
        [info("going.new", TensorProto.BOOL, []), info("state.new", TensorProto.FLOAT, [1, 16, 32, 32])],
    )
    nodes = []
    for node in model.graph.node:
        if node.name == "c2":
            nodes.append(helper.make_node("If", ["yes"], ["branched"], "if", **branches))
            nodes.append(
                helper.make_node("Loop", ["twice", "yes", "branched"], ["looped"], "loop", body=body)
            )
            node.input[0] = "looped"
        nodes.append(node)
    return _with_nodes(model, nodes)


def _function() -> ModelProto:
    """As exporters of modules write it: the convolutions stand in a local function."""
    model = _chain(opset=17, ir_version=8)
    last = [node for node in model.graph.node if node.name in ("c1", "relu1")]
    inputs = ["r0", *last[0].input[1:]]
    standard = helper.make_opsetid("", 17)
    outer = [helper.make_node("Block", inputs, ["r1"], domain="modules")]
    model.functions.append(helper.make_function("modules", "Block", inputs, ["r1"], last, [standard]))
    wrapped = helper.make_opsetid("modules", 1)
    model.functions.append(
        helper.make_function("modules", "Stage", inputs, ["r1"], outer, [standard, wrapped])
    )
    nodes = [
        helper.make_node("Stage", inputs, ["r1"], "stage", domain="modules") if node.name == "c1" else node
        for node in model.graph.node
        if node.name != "relu1"
    ]
    model.opset_import.append(wrapped)
    return _with_nodes(model, nodes)


def _quantised() -> ModelProto:
    """QDQ: each weight int8 behind a DequantizeLinear, each input through a pair."""
    model = _chain()
    nodes = []
    initializers = [numpy_helper.from_array(np.array(0, np.uint8), "zero"), graphs.tensor("step", 0.05)]
    for node in model.graph.node:
        if node.op_type == "Conv":
            tensor = next(t for t in model.graph.initializer if t.name == node.input[1])
            value = numpy_helper.to_array(tensor)
            scale = np.abs(value).max(axis=(1, 2, 3)) / 127
            name = node.input[1]
            initializers += [
                numpy_helper.from_array(
                    np.rint(value / scale[:, None, None, None]).astype(np.int8), f"{name}.q"
                ),
                graphs.tensor(f"{name}.scale", scale),
                numpy_helper.from_array(np.zeros(len(scale), np.int8), f"{name}.zero"),
            ]
            parts = [f"{name}.{part}" for part in ("q", "scale", "zero")]
            nodes.append(helper.make_node("DequantizeLinear", parts, [f"{name}.dq"], axis=0))
            x = node.input[0]
            nodes.append(helper.make_node("QuantizeLinear", [x, "step", "zero"], [f"{x}.q"]))
            nodes.append(helper.make_node("DequantizeLinear", [f"{x}.q", "step", "zero"], [f"{x}.dq"]))
            node.input[0], node.input[1] = f"{x}.dq", f"{name}.dq"
        nodes.append(node)
    model.graph.initializer.extend(initializers)
    return _with_nodes(model, nodes)


FORM_BUILDERS: dict[str, Callable[[], ModelProto]] = {
    **{f"opset {n}": lambda n=n: _chain(opset=n, ir_version=10) for n in range(7, 27)},
    **{f"IR {n}": lambda n=n: _chain(opset=9, ir_version=n) for n in range(4, 14)},
    "IR 3 with initializers listed as inputs": _listed,
    "float16 throughout": lambda: as_float16(_chain()),
    "float16 throughout with batch norms": lambda: as_float16(_norms(_chain(opset=15))),
    "weights stored in float16 and cast": _stored_as_float16,
    "batch norms": lambda: _norms(_chain()),
    "dynamic batch": lambda: _chain(shape=("n", 3, 32, 32)),
    "dynamic batch and size": lambda: _chain(shape=("n", 3, "h", "w")),
    "unnamed nodes": _unnamed,
    "weights from Constant nodes": _constants,
    "auto_pad SAME_UPPER with stride 2": lambda: _auto_pad("SAME_UPPER", 2, (1, 3, 31, 32)),
    "auto_pad SAME_LOWER with stride 2": lambda: _auto_pad("SAME_LOWER", 2, (1, 3, 31, 32)),
    "auto_pad SAME_UPPER with stride 2 and dynamic size": lambda: _auto_pad(
        "SAME_UPPER", 2, (1, 3, "h", "w")
    ),
    "auto_pad VALID": lambda: _auto_pad("VALID", 1, (1, 3, 32, 32)),
    "grouped": lambda: _grouped(4),
    "1-D": _one_dimension,
    "ConvTranspose": lambda: _mixed("ConvTranspose"),
    "Gemm": lambda: _mixed("Gemm"),
    "If and Loop": _if_and_loop,
    "convolutions in local functions": _function,
    "QDQ": _quantised,
}


def document(shared: Path | None) -> str:
    """docs/zoo.md."""
    lines = [_HEAD]
    by_kind = itertools.groupby(cases(shared), key=lambda case: case.kind)
    for kind, members in by_kind:
        lines += ["", f"## {kind}", "", *_COLUMNS]
        alike: dict[tuple[object, ...], list[tuple[str, Outcome]]] = {}
        for case in members:
            print(case.name, file=sys.stderr)
            found = examine(case.build())
            changes = None if found.prepared is None else found.prepared > 1e-5
            key = (found.convolutions, found.candidates, changes, *sorted(found.reasons.items()))
            alike.setdefault(key, []).append((case.name, found))
        lines += [_row(group) for group in alike.values()]
    return "\n".join(lines) + "\n"


_HEAD = """\
# What happens to the graphs of a zoo

Written by `python tests/zoo.py`; the tests (`tests/test_zoo.py`) hold every one of these graphs to it.

Each is inspected and prepared as `onnxbin compress` does it, and run in ONNX Runtime before and after. Then
every convolution for which there is an operator is made binary, first layers and heads too, and the outputs
are compared with those of ordinary convolutions of the same weights, by our kernels and by function bodies.

* **taken**: how many of the convolutions `compress` makes binary by default, and how many there are. Where it
  takes none, it says so and writes nothing.
* **prepared**: the largest change of an output with no layer binary, relative to the largest output.
* **binary**: the same with every possible layer binary, against ordinary convolutions of the same weights.

One thing is refused as a whole, in one line: a model that ONNX's own checker refuses. One of more than 2 GiB,
up to 16 with its external data, is compressed like any other; what is written has at most 2 GiB."""

_COLUMNS = (
    "| graph | opset | IR | taken | left alone | prepared | binary |",
    "|---|---|---|---|---|---|---|",
)


def _row(alike: list[tuple[str, Outcome]]) -> str:
    """One row for graphs that have the same outcome but for the figures."""
    names, outcomes = zip(*alike, strict=True)
    first = outcomes[0]
    reasons = "; ".join(f"{count} x {reason}" for reason, count in first.reasons.most_common())
    if first.prepared is None:
        reasons += "; the runtime cannot run this graph, as it came"
    cells = (
        ", ".join(names),
        _range({outcome.opset for outcome in outcomes}),
        _range({outcome.ir_version for outcome in outcomes}),
        f"{first.candidates} of {first.convolutions}",
        reasons,
        _worst([outcome.prepared for outcome in outcomes]),
        _worst([outcome.binary for outcome in outcomes]),
    )
    return f"| {' | '.join(cells)} |"


def _range(numbers: set[int]) -> str:
    return str(min(numbers)) if len(numbers) == 1 else f"{min(numbers)} to {max(numbers)}"


def _worst(changes: list[float | None]) -> str:
    known = [change for change in changes if change is not None]
    if not known:
        return "-"
    return f"{max(known):.0e}" if max(known) else "same"


if __name__ == "__main__":
    folder = Path(__file__).resolve().parents[2] / "shared"
    print(document(folder if folder.is_dir() else None), end="")
