"""Labels that somebody has written by hand, badly: named in one line, or read."""

import json

import numpy as np
import pytest
from damage import FACTOR, damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onnxbin import OnnxbinError
from onnxbin.detection import read_labels

HOSTILE = [
    None,
    True,
    "x",
    "\x00",
    "",
    -1,
    0,
    1e300,
    float("nan"),
    float("inf"),
    10**400,
    2**64,
    [],
    {},
    [[]],
]


def edited(content, place, value):
    """The JSON value with one part, counted through all of them, replaced; None removes it."""
    count = -1

    def walk(part):
        nonlocal count
        count += 1
        if count == place:
            return value
        if isinstance(part, dict):
            return {key: walk(entry) for key, entry in part.items()}
        return [walk(entry) for entry in part] if isinstance(part, list) else part

    return walk(content)


def parts(content):
    entries = content.values() if isinstance(content, dict) else content if isinstance(content, list) else []
    return 1 + sum(map(parts, entries))


def read(path):
    """Whether labels can be read; what is read is fit for arithmetic."""
    try:
        labels = read_labels(path)
    except OnnxbinError as error:
        line = str(error)
    else:
        for image in labels.images:
            assert np.isfinite(image.truth.boxes).all()
            assert len(image.truth.boxes) == len(image.truth.classes)
        return True
    assert len(line.splitlines()) == 1
    return False


@pytest.mark.filterwarnings("error")
def test_every_part_of_a_coco_file(good):
    content = json.loads(good.labels.read_text())
    path = good.labels.with_name("edited.json")
    taken = 0
    for place in range(parts(content)):
        for value in HOSTILE:
            path.write_text(json.dumps(edited(content, place, value)))
            taken += read(path)
    path.unlink()
    assert taken  # an image's id may be nearly anything


NUMBERS = st.one_of(
    st.integers(), st.floats(), st.sampled_from([10**400, -(10**400), 1e38, "1", "nan", None])
)


@settings(
    max_examples=200 * FACTOR, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    boxes=st.lists(st.lists(NUMBERS, min_size=4, max_size=4), min_size=1, max_size=3),
    sizes=st.tuples(NUMBERS, NUMBERS),
    identity=st.one_of(NUMBERS, st.lists(st.integers(), max_size=1)),
)
def test_numbers(good, boxes, sizes, identity):
    content = json.loads(good.labels.read_text())
    content["images"][0] |= {"width": sizes[0], "height": sizes[1], "id": identity}
    content["annotations"] = [{"image_id": identity, "category_id": 1, "bbox": box} for box in boxes]
    path = good.labels.with_name("numbers.json")
    path.write_text(json.dumps(content))
    read(path)


def test_damaged_files(good):
    content = good.labels.read_bytes()
    path = good.labels.with_name("damaged.json")
    for seed in range(300 * FACTOR):
        path.write_bytes(damaged(content, seed))
        read(path)
    path.unlink()


BAD_LABELS = {
    "deep.json": "[" * 100_000,
    "deeper.json": '{"images": ' * 100_000,
    "names.json": '{"images": [{"id": 1, "file_name": "\\u0000.png"}], "annotations": [], "categories": []}',
    "outside.json": '{"images": [{"id": 1, "file_name": "/etc/passwd"}], "annotations": [], "categories": 0}',
    "voc/a.xml": "<annotation>" * 100_000,
    "entities/a.xml": '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(12))
    + "]><annotation><object><name>&m;</name></object></annotation>",
    "external/a.xml": '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><annotation><object><name>&e;</name>'
    "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></object></annotation>",
    "yolo/0.txt": "99999999999999999999 .5 .5 .1 .1",
    "yolo2/0.txt": "0 nan inf -inf 1e400",
    "yolo3/0.txt": "9" * 5000 + " .5 .5 .1 .1",
    "yolo4/0.txt": "60000000 .5 .5 .1 .1",
}


@pytest.mark.parametrize("name", BAD_LABELS)
def test_bad_labels(commands, good, tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(BAD_LABELS[name])
    if path.suffix != ".json":
        path = path.parent
        (path / "0.png").write_bytes((good.images / "0.png").read_bytes())
    said = commands.refused(tmp_path, "evaluate", good.model, "--data", path, "--json")
    assert "root:" not in said
