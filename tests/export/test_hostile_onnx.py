"""An ONNX file is somebody else's data: what is damaged, too large, of another kind or names other files is refused
with one of our errors, before and while it runs."""

import json
import os

import numpy as np
import pytest
from onnx import TensorProto, helper
from PIL import Image

from backbonekit.errors import ContractError, StorageError
from backbonekit.export.onnx_model import load_onnx

TASK = {"prediction": "DenseLogits", "scoring": "softmax", "reading": None, "labels": ["a", "b"], "ignore_label": 255}
METADATA = {
    "version": 1,
    "backbonekit": "1",
    "processing": {"size": [8, 8], "mean": [0, 0, 0], "std": [1, 1, 1]},
    "tasks": {"": TASK},
    "decoded": False,
    "threshold": None,
    "recipe": {},
}
IMAGE = Image.new("RGB", (8, 8))


def write(path, *, metadata=METADATA, nodes=None, initializers=(), inputs=None, outputs=("logits",), functions=()):
    """A graph that hands its input on as the logits of three classes, unless it is told otherwise."""
    shape = ["batch", 3, 8, 8]
    inputs = inputs or [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, shape)]
    nodes = nodes or [helper.make_node("Identity", ["pixel_values"], ["logits"])]
    returned = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(nodes, "graph", inputs, returned, list(initializers))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], functions=list(functions))
    model.ir_version = 9
    if metadata is not None:
        text = metadata if isinstance(metadata, str) else json.dumps(metadata)
        helper.set_model_props(model, {"backbonekit": text})
    path.write_bytes(model.SerializeToString())
    return path


def changed(**fields):
    return {**METADATA, **fields}


def task(**fields):
    return changed(tasks={"": {**TASK, **fields}})


def external(location):
    tensor = helper.make_tensor("weight", TensorProto.FLOAT, [1], [0.0])
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def test_the_file_of_these_tests_runs(tmp_path):
    path = write(tmp_path / "m.onnx", metadata=task(labels=["a", "b", "c"]))
    (result,) = load_onnx(path).predict([IMAGE])
    assert result.segmentation.shape == (8, 8)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "holds no metadata of backbonekit"),
        ("{", "is not valid JSON"),
        ("[" * 100_000, "nested too deeply|is not valid JSON"),
        ('{"version": 1, "version": 1}', "appears twice"),
        ({}, "has the version 'None'"),
        ({"version": 1}, "'tasks' is missing"),
        (changed(version=2), "export the model again"),
        (task(labels=[1]), "labels.0: given 1"),
        (task(labels=["a\x1b[2J"]), "labels.0"),
        (changed(processing={"mean": "x"}), "processing.mean"),
        (
            changed(processing={"mean": [0.0] * 5, "std": [1.0] * 5}),
            "takes 3 channels",
        ),
        (changed(processing={"size": [10**9, 10**9]}), "processing.size"),
        (changed(processing={"size": [8, 8], "max_size": [8, 8]}), "two ways to resize"),
        (changed(processing={"range": [5.0, 1.0]}), "lower end comes first"),
        (changed(tasks={}), "tasks must be a mapping"),
        (task(prediction="os.system"), "'os.system'"),
        (task(scoring="x"), "scored by 'x'"),
        (task(prediction=None), "do not belong together"),
        (task(prediction=["DenseLogits"], scoring=[]), "is unknown"),
        (task(ignore_label="255"), "ignore_label must be"),
        (task(more=1), "and nothing else"),
        (changed(threshold=float("nan")), "threshold must be"),
        (changed(threshold=True), "threshold must be"),
        (changed(decoded="no"), "decoded must be"),
        (changed(decoded=True), "export it with decode=False"),
        (changed(recipe=[]), "recipe must be"),
    ],
)
def test_metadata_are_checked(tmp_path, metadata, message):
    with pytest.raises(StorageError, match=message):
        load_onnx(write(tmp_path / "m.onnx", metadata=metadata))


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 100, b"PK\x03\x04", b"\x80\x04K\x01.", b"\x08\x09\x3a\xff\xff\xff\xff\x0f"]
)
def test_what_is_no_onnx_file_is_refused(tmp_path, content):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(StorageError):
        load_onnx(path)


def test_a_cut_file_is_refused(tmp_path):
    path = write(tmp_path / "m.onnx")
    content = path.read_bytes()
    for length in range(1, len(content), 37):
        path.write_bytes(content[:length])
        with pytest.raises(StorageError):
            load_onnx(path)


@pytest.mark.parametrize("location", ["weights.bin", "../secret", "/etc/passwd"])
def test_no_other_file_is_read(tmp_path, location):
    (tmp_path / "weights.bin").write_bytes(b"\0" * 4)
    with pytest.raises(StorageError, match="is in another file, and no other file is read"):
        load_onnx(write(tmp_path / "m.onnx", initializers=[external(location)]))


def test_nor_one_that_a_graph_inside_an_operation_names(tmp_path):
    branch = helper.make_graph(
        [helper.make_node("Identity", ["weight"], ["out"])],
        "branch",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [external("weights.bin")],
    )
    condition = helper.make_tensor("condition", TensorProto.BOOL, [], [True])
    node = helper.make_node("If", ["condition"], ["logits"], then_branch=branch, else_branch=branch)
    with pytest.raises(StorageError, match="is in another file"):
        load_onnx(write(tmp_path / "m.onnx", nodes=[node], initializers=[condition]))
    constant = helper.make_node("Constant", [], ["logits"], value=external("weights.bin"))
    with pytest.raises(StorageError, match="is in another file"):
        load_onnx(write(tmp_path / "m.onnx", nodes=[constant]))


def test_operations_that_onnxruntime_does_not_have(tmp_path):
    node = helper.make_node("Shell", ["pixel_values"], ["logits"], domain="evil")
    with pytest.raises(StorageError, match="onnxruntime refuses the file"):
        load_onnx(write(tmp_path / "m.onnx", nodes=[node]))


def test_a_pipe_and_a_large_file_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(StorageError, match="no regular file"):
        load_onnx(tmp_path / "pipe.onnx")
    with (tmp_path / "large.onnx").open("wb") as file:
        file.truncate(2**31)  # without a block on the disk
    with pytest.raises(StorageError, match="are not read"):
        load_onnx(tmp_path / "large.onnx")


def test_other_inputs_are_refused(tmp_path):
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, [1])]
    nodes = [helper.make_node("Cast", ["image"], ["logits"], to=TensorProto.FLOAT)]
    with pytest.raises(StorageError, match="has the inputs image"):
        load_onnx(write(tmp_path / "m.onnx", inputs=inputs, nodes=nodes))


@pytest.mark.parametrize(
    ("operation", "options", "output", "message"),
    [
        ("Identity", {}, "other", "'logits', which its metadata requires, is missing"),
        ("Flatten", {}, "logits", r"has the shape \[1, 192\]"),
        ("Transpose", {"perm": [1, 0, 2, 3]}, "logits", "has the shape"),
        ("Identity", {}, "logits", "predicts 3 classes, and its metadata"),
    ],
)
def test_outputs_that_are_no_prediction(tmp_path, operation, options, output, message):
    nodes = [helper.make_node(operation, ["pixel_values"], [output], **options)]
    path = write(tmp_path / "m.onnx", nodes=nodes, outputs=[output])
    with pytest.raises(StorageError, match=message):
        load_onnx(path).predict([IMAGE])


def test_an_input_that_the_graph_refuses(tmp_path):
    path = write(tmp_path / "m.onnx", metadata=changed(processing={**METADATA["processing"], "size": [9, 9]}))
    with pytest.raises(ContractError, match=r"refuses an input of shape \[1, 3, 9, 9\]"):
        load_onnx(path).predict([np.zeros((4, 4, 3), np.uint8)])
