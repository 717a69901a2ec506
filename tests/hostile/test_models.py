"""Model files of all kinds through every command: refused in one line, or taken; nothing else."""

import json

import numpy as np
import onnx
import pytest
from damage import FACTOR, damaged
from onnx import TensorProto, helper

# What stands in capitals is a file.
COMMANDS = {
    "inspect": ["inspect", "MODEL"],
    "compress": ["compress", "MODEL", "--no-finetune", "--images", "IMAGES", "-o", "out.onnx"],
    "detect": ["detect", "MODEL", "IMAGES", "-o", "found"],
    "evaluate": ["evaluate", "MODEL", "--data", "LABELS", "--json"],
    "inline": ["export", "MODEL", "--inline", "--float-weights", "-o", "out.onnx"],
    "qonnx": ["export", "MODEL", "--qonnx", "-o", "out.onnx"],
    "import": ["import", "MODEL", "-o", "out.onnx"],
    "bench": ["bench", "MODEL", "--runs", "1", "--threads", "1"],
    "profile": ["profile", "MODEL", "--runs", "1"],
    "reshape": ["reshape", "MODEL", "--no-finetune", "--images", "IMAGES", "-o", "out.onnx"],
}


def arguments(command, model, good):
    values = {"MODEL": model, "IMAGES": good.images, "LABELS": good.labels}
    return [values.get(argument, argument) for argument in COMMANDS[command]]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("source", ["model", "small"])
def test_damaged_files(commands, good, tmp_path, command, source):
    content = getattr(good, source).read_bytes()
    offset = 1000 * (2 * list(COMMANDS).index(command) + (source == "small"))
    for seed in range(offset, offset + 3 * FACTOR):
        folder = tmp_path / str(seed)
        folder.mkdir()
        # Every other damage is to the nodes, which stand first; else nearly all were to numbers of weights.
        head = 2500 if seed % 2 else len(content)
        (folder / "model.onnx").write_bytes(damaged(content[:head], seed) + content[head:])
        commands.run(folder, *arguments(command, folder / "model.onnx", good))


def conv(model):
    """A convolution in the middle, that can become binary."""
    return next(node for node in model.graph.node if "w1" in node.input)


def attribute(name, value):
    def change(model):
        node = conv(model)
        kept = [a for a in node.attribute if a.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, value)])

    return change


def weight(**fields):
    def change(model):
        tensor = next(t for t in model.graph.initializer if t.name == "w1")
        for name, value in fields.items():
            if name == "dims":
                tensor.dims[:] = value
            elif value is None:
                tensor.ClearField(name)
            else:
                setattr(tensor, name, value)

    return change


def input_size(*dims):
    def change(model):
        shape = helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)
        model.graph.input[0].CopyFrom(shape)

    return change


def metadata(key, value):
    return lambda model: model.metadata_props.add(key=key, value=value)


def cycle(model):
    conv(model).input[0] = conv(model).output[0]


def nested(model):
    """If in If, as deep as protobuf allows."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["inner"])], "end", [], [onnx.ValueInfoProto(name="inner")]
    )
    for depth in range(28):
        node = helper.make_node("If", ["yes"], [f"o{depth}"], then_branch=body, else_branch=body)
        if len(node.SerializeToString()) > 1 << 18:
            break
        body = helper.make_graph([node], "g", [], [onnx.ValueInfoProto(name=f"o{depth}")])
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node.append(node)


def recursive_function(model):
    """A local function that holds a convolution, and calls itself."""
    inside = [
        helper.make_node("Conv", ["a", "b"], ["c"]),
        helper.make_node("Endless", ["c", "b"], ["d"], domain="evil"),
    ]
    opset = model.opset_import[0].version
    function = helper.make_function(
        "evil",
        "Endless",
        ["a", "b"],
        ["d"],
        inside,
        [helper.make_opsetid("", opset), helper.make_opsetid("evil", 1)],
    )
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("evil", 1))
    model.ir_version = 8
    conv(model).domain, conv(model).op_type = "evil", "Endless"
    del conv(model).attribute[:]


def huge_constant(model):
    """A weight that is the product of a column and a row: small in the file, 64 GiB computed."""
    side = 1 << 17
    for name, shape in (("column", (side, 1, 1, 1)), ("row", (1, side, 1, 1))):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(shape, np.float32), name))
    model.graph.node.insert(0, helper.make_node("Mul", ["column", "row"], ["product"]))
    conv(model).input[1] = "product"


def names(text):
    def change(model):
        for node in model.graph.node:
            node.name = text
        model.graph.name = model.producer_name = text

    return change


MOST_COMPUTED = 700
"""Megabytes of a process that computes no gigabyte."""

ADVERSARIAL = {
    "huge input": input_size(1, 3, 2**31, 2**31),
    "large input": input_size(1, 3, 2**20, 2**20),
    "negative input": input_size(1, 3, -64, 64),
    "empty input": input_size(1, 3, 0, 64),
    "huge weight": weight(dims=[2**31, 2**31, 2**31, 2**31]),
    "claimed weight": weight(dims=[2**20, 2**10, 3, 3]),
    "negative weight": weight(dims=[-64, 64, 3, 3]),
    "no weight": weight(raw_data=None),
    "odd weight": weight(raw_data=b"abc"),
    "unknown type": weight(data_type=99),
    "string weight": weight(data_type=TensorProto.STRING),
    "nan weight": weight(raw_data=np.full(64 * 64 * 9, np.nan, np.float32).tobytes()),
    "infinite weight": weight(raw_data=np.full(64 * 64 * 9, np.inf, np.float32).tobytes()),
    "group 0": attribute("group", 0),
    "group -1": attribute("group", -1),
    "huge group": attribute("group", 2**62),
    "stride 0": attribute("strides", [0, 0]),
    "negative stride": attribute("strides", [-1, 1]),
    "negative pads": attribute("pads", [-1, -1, -1, -1]),
    "huge pads": attribute("pads", [2**62, 2**62, 2**62, 2**62]),
    "few pads": attribute("pads", [1]),
    "huge dilations": attribute("dilations", [2**62, 2**62]),
    "huge kernel": attribute("kernel_shape", [2**31, 2**31]),
    "float kernel": attribute("kernel_shape", [3.0, 3.0]),
    "cycle": cycle,
    "nested": nested,
    "recursive function": recursive_function,
    "huge constant": huge_constant,
    "opset a million": lambda model: setattr(model.opset_import[0], "version", 10**6),
    "opset -1": lambda model: setattr(model.opset_import[0], "version", -1),
    "IR 2^40": lambda model: setattr(model, "ir_version", 2**40),
    "unknown op": lambda model: setattr(conv(model), "op_type", "PyOp"),
    "no outputs": lambda model: model.graph.ClearField("output"),
    "same names": names("same"),
    "long names": names("n" * 100_000),
    "steering names": names("\x1b[2J\r\n\x00\u202e\ud7ff[red]$x$"),
    "deep names": metadata("names", "[" * 5000),
    "names that compute": metadata("names", "__import__('os').system('touch hacked')"),
    "deep preprocessing": metadata("onnxbin.preprocessing", '{"mean":' * 5000),
    "infinite preprocessing": metadata(
        "onnxbin.preprocessing",
        json.dumps(
            {
                "resize": "stretch",
                "pad": 0,
                "channels": "rgb",
                "mean": [1e999] * 3,
                "std": [0, -1, float("nan")],
            }
        ),
    ),
    "preprocessing of other types": metadata(
        "onnxbin.preprocessing",
        json.dumps({"resize": [], "pad": {}, "channels": None, "mean": "abc", "std": 10**400}),
    ),
}


@pytest.mark.parametrize("kind", ADVERSARIAL)
def test_adversarial_files(commands, good, tmp_path, kind):
    model = onnx.load(good.model)
    ADVERSARIAL[kind](model)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    for command in ("inspect", "compress", "import"):
        folder = tmp_path / command
        folder.mkdir()
        commands.run(folder, *arguments(command, path, good))
    for command in ("detect", "inline", "bench") if FACTOR > 1 else ("detect",):
        folder = tmp_path / command
        folder.mkdir()
        commands.run(folder, *arguments(command, path, good))
    assert not list(tmp_path.rglob("hacked"))


def stored(model, name, value):
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
    return name


def product(model, side=1 << 14, name="grown"):
    """A column times a row: 4 * side^2 bytes."""
    column = stored(model, f"{name}.column", np.ones((side, 1, 1, 1), np.float32))
    row = stored(model, f"{name}.row", np.ones((1, side, 1, 1), np.float32))
    return helper.make_node("Mul", [column, row], [name])


def many_products(model):
    parts = [product(model, 11_000, f"part{number}") for number in range(12)]
    names = [node.output[0] for node in parts]
    return [*parts, helper.make_node("Concat", names, ["grown"], axis=0)]


GROWING = {
    "product": lambda model: [product(model)],
    "many products": many_products,
    "Expand": lambda model: [
        helper.make_node("Expand", ["w1", stored(model, "to", [3000, 64, 64, 3, 3])], ["grown"])
    ],
    "Tile": lambda model: [
        helper.make_node("Tile", ["w1", stored(model, "times", [100, 100, 1, 1])], ["grown"])
    ],
    "ConstantOfShape": lambda model: [
        helper.make_node("ConstantOfShape", [stored(model, "shape", [2**14, 2**14, 1, 1])], ["grown"])
    ],
    "by its own numbers": lambda model: [
        helper.make_node("Mul", [stored(model, "a", [1 << 13, 1 << 13, 3]), stored(model, "b", [4])], ["ab"]),
        helper.make_node("ConstantOfShape", ["ab"], ["grown"]),
    ],
    "Range": lambda model: [
        helper.make_node(
            "Range",
            [stored(model, "from", 0), stored(model, "to", 1 << 31), stored(model, "by", 1)],
            ["grown"],
        ),
    ],
}
"""Nodes that compute more than a gigabyte, `grown`, from next to nothing."""


@pytest.mark.parametrize("kind", GROWING)
def test_weights_that_grow_are_not_computed(commands, good, tmp_path, kind):
    """Not to list, nor to import; who runs such a model computes them."""
    model = onnx.load(good.model)
    nodes = GROWING[kind](model)
    for node in reversed(nodes):
        model.graph.node.insert(0, node)
    conv(model).input[1] = "grown"
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    for command in ("inspect", "import"):
        assert commands.run(tmp_path, *arguments(command, path, good)).megabytes < MOST_COMPUTED
