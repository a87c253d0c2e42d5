"""`backbonekit bench`: rows of what was measured and of what was refused, in three formats, and the plot."""

import csv
import io
import json

import pytest
import torch

import backbonekit as bk
from backbonekit.cli.verbs import run_verb
from backbonekit.image_processing.reading import open_image
from backbonekit.inference.measuring import measure
from backbonekit.visualization.pareto import Point, pareto_front

SMALL = ["processing.size=[32,32]", "processing.shortest_edge=null", "processing.crop=null", "repeats=2"]


def test_what_is_measured():
    model = bk.build_model({}, ["backbone=timm/test_resnet"]).train()
    found = measure(model, torch.randn(4, 3, 32, 32), repeats=3, compiled=False)
    assert model.training
    assert 0 < found.lowest <= found.seconds <= found.highest
    assert found.images_per_second == pytest.approx(4 / found.seconds)
    assert found.parameters == sum(parameter.numel() for parameter in model.parameters())
    single = measure(model, torch.randn(1, 3, 32, 32), repeats=1, compiled=False)
    assert found.multiply_adds == single.multiply_adds > 1_000_000
    assert found.peak_bytes is None or found.peak_bytes >= 0
    assert found.compile_seconds is None


def test_a_convolution_is_counted_by_its_multiply_adds():
    class One(torch.nn.Conv2d):
        pass

    found = measure(One(3, 5, 1, bias=False), torch.randn(2, 3, 7, 7), repeats=1, compiled=False)
    assert found.multiply_adds == 3 * 5 * 49


def test_every_combination_is_a_row_and_a_refused_one_too(tmp_path, capsys):
    words = ["-m", "backbone=timm/test_resnet,timm/test_vit", "head=fcn", "head.num_classes=3", *SMALL]
    (tmp_path / "a.csv").write_text("name,accuracy\ntimm/test_resnet,0.71\ntimm/test_vit,0.5\n")
    more = ["batch_size=1,2", f"accuracy={tmp_path}/a.csv", f"plot={tmp_path}/plot.png", "format=json"]
    code = run_verb("bench", [*words, "processing.size=[33,32]", *more])
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["batch_size"]) for row in rows] == [
        ("timm/test_resnet", 1),
        ("timm/test_resnet", 2),
        ("timm/test_vit", 1),
        ("timm/test_vit", 2),
    ]
    assert rows[1]["input_shape"] == "2x3x33x32"
    assert rows[1]["accuracy"] == 0.71
    refused = [row for row in rows if row["error"]]
    assert all(row["seconds"] is None for row in refused)
    assert all(row["seconds"] > 0 for row in rows if not row["error"])
    assert code == bool(refused)
    assert open_image(tmp_path / "plot.png").width > 400


def test_refused_cells_have_their_reason(capsys):
    words = ["-m", "backbone=timm/test_resnet", "neck=null,nosuch", *SMALL, "format=csv"]
    assert run_verb("bench", words) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["name"] for row in rows] == ["null", "nosuch"]
    assert float(rows[0]["images_per_second"]) > 0
    assert rows[1]["images_per_second"] == ""
    assert "there is no neck of that name" in rows[1]["error"]


def test_the_table_and_types_of_numbers(capsys):
    assert run_verb("bench", ["backbone=timm/test_resnet", "dtype=float32,bfloat16", *SMALL]) == 0
    shown = capsys.readouterr()
    assert "mult-adds" in shown.out
    assert [line.split()[2] for line in shown.out.splitlines()[2:]] == ["float32", "bfloat16"]
    assert "images/s" in shown.err


@pytest.mark.slow
def test_compiled_models_have_their_compile_time(capsys):
    assert run_verb("bench", ["backbone=timm/test_resnet", "compile=true", "format=json", *SMALL]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["compile_seconds"] > row["seconds"]


def test_the_front_is_what_nothing_beats():
    points = [Point("a", 1, 0.9), Point("b", 2, 0.8), Point("c", 1.5, 0.7), Point("d", 2, 0.6), Point("e", 0.5, 0.9)]
    assert [point.name for point in pareto_front(points)] == ["a", "b"]
    assert pareto_front([]) == []


def test_a_model_without_a_measurement_is_not_drawn(tmp_path, capsys):
    words = ["backbone=timm/test_resnet", "neck=nosuch", f"plot={tmp_path}/p.png"]
    assert run_verb("bench", words) == 2
    assert "nothing was measured" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], ["nothing to measure"]),
        (["dtype=int8", "compile=perhaps"], ["'int8' is none of float32", "'perhaps' is none of false, true"]),
        (["batch_size=1,x", "repeats=0"], ["batch_size=1,x: whole numbers", "repeats=0: whole numbers"]),
        (["format=xml", "plot=p.svg"], ["must be table, json or csv", "must end in .png"]),
        (["model=fcn_resnet50", "accuracy=/none.csv"], ["columns name and accuracy"]),
    ],
)
def test_mistakes_are_told_together(words, says, capsys):
    assert run_verb("bench", words) == 2
    told = capsys.readouterr().err
    assert all(message in told for message in says), told
