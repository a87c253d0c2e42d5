import copy
from pathlib import Path

import pytest

from backbonekit.contract.labels import Labels
from backbonekit.errors import RecipeError
from backbonekit.recipe.recipe import PartRecipe
from backbonekit.recipe.validate import read_recipe_file, recipe_from_mapping
from backbonekit.registry import lookup

FLAT = {
    "backbone": {"source": "hf", "name": "microsoft/resnet-50", "config": {"model_type": "resnet"}},
    "neck": {"name": "fpn_pixel_decoder"},
    "head": {"name": "maskformer", "num_classes": 3},
}


def flat(**changes):
    """FLAT with values at dotted keys (dots written as two underscores)."""
    mapping = copy.deepcopy(FLAT)
    for path, value in changes.items():
        *steps, last = path.split("__")
        node = mapping
        for step in steps:
            node = node.setdefault(step, {})
        node[last] = value
    return mapping


def faults(**changes) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        recipe_from_mapping(flat(**changes))
    return list(caught.value.faults)


def test_options_are_filled_in():
    recipe = recipe_from_mapping(FLAT)
    assert recipe.head is not None
    assert recipe.head.options["num_queries"] == 100
    assert recipe.neck == (
        PartRecipe("fpn_pixel_decoder", {"channels": 256, "mask_channels": 256, "num_deepest_levels": 0}),
    )
    assert recipe.backbone.out_indices is None
    assert recipe_from_mapping(recipe.to_dict()) == recipe


def test_a_recipe_is_not_changed_by_what_it_was_read_from():
    mapping = flat(backbone__args={"drop_path_rate": 0.1})
    recipe = recipe_from_mapping(mapping)
    mapping["backbone"]["args"]["drop_path_rate"] = 0.9
    recipe.to_dict()["backbone"]["args"]["drop_path_rate"] = 0.9
    assert recipe.backbone.args == {"drop_path_rate": 0.1}


def test_all_faults_at_once():
    found = faults(
        head__num_querys=1,
        head__dropout=2,
        neck__channels="64",
        backbone__config={"model_type": "resnet", "depth": [3]},
        backbone__in_channels=0,
        adapt="sometimes",
        processing={"sise": [1, 1]},
        training={"freeze": {"stages": -1}},
        hed=1,
    )
    assert found == [
        "hed is unknown; did you mean 'head'?",
        "backbone.config.depth: resnet has no such field; did you mean 'depths'?"
        " source: transformers reads any configuration.",
        "backbone.in_channels: given 0, must be a whole number from 1 to 1,024.",
        "neck.channels: given '64', must be a whole number from 1 to 16,384. It is text: write it without quotes.",
        "head.num_querys: maskformer has no such option; did you mean 'num_queries'?",
        "head.dropout: given 2, must be a number from 0 to 1.",
        "processing.sise is unknown; did you mean 'size'?",
        "adapt: given 'sometimes', must be one of auto, never.",
        "training.freeze.stages: given -1, must be a whole number from 0 to 1,000.",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": None}, "backbone is missing"),
        ({"backbone": "resnet50"}, "backbone: given 'resnet50', must be a mapping"),
        ({"backbone": {}}, "backbone.name is missing"),
        ({"backbone__nmae": "x"}, "backbone.nmae is unknown; did you mean 'name'?"),
        ({"backbone__source": "tim"}, "no source named 'tim'; did you mean 'timm'?"),
        ({"backbone__source": "timm"}, "a timm architecture is given by its name alone"),
        ({"backbone__name": "https://evil.example/x"}, "must not be an address"),
        ({"backbone__name": "a\nb"}, "must not hold control characters"),
        ({"backbone__name": 3}, "must be text"),
        ({"backbone": {"source": "timm", "name": "hf-hub:timm/resnet50"}}, "must be the name of a timm architecture"),
        ({"backbone": {"source": "timm", "name": "local-dir:x"}}, "must be the name of a timm architecture"),
        ({"backbone__config": []}, "backbone.config: given [], must be null or a mapping"),
        ({"backbone__config": {}}, "backbone.config.model_type is missing; allowed: "),
        ({"backbone__config": {"model_type": "resnt"}}, "'resnt' is not built here; did you mean 'resnet'?"),
        ({"backbone__config": {"model_type": "resnet", "depths": [10**6]}}, "backbone.config.depths.0: given 1000000"),
        ({"backbone__config": {"model_type": "resnet", "out_indices": [1]}}, "is set by backbone.out_indices"),
        ({"backbone__pretrained": "yes?\0"}, "backbone.pretrained: given"),
        ({"backbone__pretrained": 1}, "must be true, false, or where the weights are"),
        ({"backbone__revision": "../main"}, "backbone.revision: given '../main'"),
        ({"backbone__revision": 7}, "backbone.revision: given 7"),
        ({"backbone__out_indices": []}, "backbone.out_indices: given a list of 0 values"),
        ({"backbone__out_indices": [4, 1]}, "not in network order; did you mean [1, 4]?"),
        ({"backbone__out_indices": [-1, -2]}, "not in network order; did you mean [-2, -1]?"),
        ({"backbone__out_indices": [1, 1]}, "names one map twice; did you mean [1]?"),
        ({"backbone__out_indices": "[1,2]"}, "in square brackets without quotes"),
        ({"backbone__out_indices": [1.0]}, "backbone.out_indices.0: given 1.0, must be a whole number"),
        ({"backbone__out_indices": [1], "backbone__out_strides": [4]}, "choose the same thing; give one of them"),
        ({"backbone__out_strides": [8, 4]}, "did you mean [4, 8]?"),
        ({"backbone__out_features": ["stage1", "stage1"]}, "did you mean ['stage1']?"),
        ({"backbone__args": {"in_chans": 4}}, "backbone.args.in_chans is refused: backbone.in_channels sets it"),
        ({"backbone__args": {"a b": 4}}, "is no name of an argument"),
        ({"backbone__args": {"depth": 10**12}}, "must be a number from -1,000,000,000 to 1,000,000,000"),
        ({"neck": {"channels": 3}}, "neck.name is missing: which neck? The necks are "),
        ({"neck": [{"name": "fpn"}, 3]}, "neck.1: given 3, must be a mapping"),
        ({"neck": [{"name": "fpn"}] * 17}, "given 17 parts; 16 is the limit"),
        ({"head": {"name": "maskformer"}}, "head.num_classes is missing: maskformer needs it"),
        ({"head": {"name": ["maskformer"]}}, "no head named ['maskformer']"),
        ({"head__criterion": {"name": "mask_sets"}}, "no criterion named 'mask_sets'; did you mean 'mask_set'?"),
        (
            {"head__criterion": {"dice_weigth": 3}},
            "head.criterion.dice_weigth: mask_set has no such option; did you mean 'dice_weight'?",
        ),
        ({"head__criterion": {"num_classes": 3}}, "a criterion has the classes of its head"),
        ({"heads": {"a": {"head": {"name": "fcn", "num_classes": 2}}}}, "head and heads exclude each other"),
        ({"head": None, "neck": None, "heads": {"a b": {}}}, "a task's name has letters"),
        ({"head": None, "neck": None, "heads": {"a": {}}}, "heads.a.head is missing"),
        ({"head": None, "neck": None, "heads": {"a": {"haed": 1}}}, "heads.a.haed is unknown; did you mean 'head'?"),
        ({"head": None, "neck": None, "heads": [1]}, "heads: given [1], must be a mapping"),
        ({"labels": "cat"}, "labels: given 'cat', must be null, a list"),
        ({"labels": ["a", 1, "c"]}, "labels.1: given 1, must be a name (text of one line). Write '1'."),
        ({"labels": ["a", "b\nc", "d"]}, "labels.1: given 'b\\nc'"),
        ({"labels": ["a", "b"]}, "head.num_classes is 3 and labels names 2 classes"),
        ({"labels": {"names": ["a", "b", "c"], "things": ["d"]}}, "labels.things.0: no class 'd'"),
        ({"labels": {"names": ["a", "b", "c"], "things": [3]}}, "the numbers are 0 to 2"),
        (
            {"labels": {"names": ["a", "b", "c"], "category_ids": [1, 2]}},
            "given 2 ids, must be a list of 3 whole numbers",
        ),
        (
            {"labels": {"names": ["a", "b", "c"], "category_ids": [1, 2, 1]}},
            "labels.category_ids.2: 1 is also the id of 'a'",
        ),
        ({"labels": {"names": ["a", "b", "c"], "category_ids": [1, True, 2.0]}}, "labels.category_ids.2: given 2.0"),
        ({"processing": {"size": 224}}, "processing.size: given 224, must be a list of 2 values"),
        ({"processing": {"size": [1, 1], "shortest_edge": 3}}, "are two ways to resize"),
        ({"processing": {"max_size": [1, 1], "longest_edge": 3}}, "max_size and processing.longest_edge are two ways"),
        ({"processing": {"shortest_edge": 3, "keep_aspect_ratio": True}}, "go together"),
        ({"processing": {"size": [8, 8], "multiple_of": 4}}, "go together"),
        ({"processing": {"mean": [0.5] * 4}}, "processing.mean has 4 values for 3 channels; give one for each"),
        ({"processing": {"std": [0, 1, 1]}}, "processing.std.0: given 0"),
        ({"processing": 3}, "processing: given 3"),
        ({"training": {"freze": {}}}, "training.freze is unknown; did you mean 'freeze'?"),
        ({"training": {"freeze": 2}}, "training.freeze: given 2, must be a mapping"),
        ({"schema_version": 3}, "schema_version: given 3, this version of backbonekit reads 1 and 2. The fix: upgrade"),
        ({"defaults": ["x"]}, "a shared recipe is flat"),
        ({"backbone__name": "evil/${oc.env:HF_TOKEN}"}, "a shared recipe has the values themselves"),
    ],
)
def test_messages(changes, message):
    found = faults(**changes)
    assert any(message in fault for fault in found), found


def test_timm_is_inferred_and_its_prefix_taken_off():
    for name in ("timm/resnet50.a1_in1k", "resnet50.a1_in1k"):
        backbone = recipe_from_mapping({"backbone": {"name": name}}).backbone
        assert (backbone.source, backbone.name) == ("timm", "resnet50.a1_in1k")


def test_hugging_face_is_inferred():
    assert recipe_from_mapping({"backbone": {"name": "microsoft/resnet-50"}}).backbone.source == "hf"
    assert recipe_from_mapping({"backbone": {"config": {"model_type": "swin"}}}).backbone.source == "hf"


def test_a_config_json_is_read_without_what_says_nothing():
    config = {"model_type": "resnet", "architectures": ["ResNetForImageClassification"], "id2label": {"0": "cat"}}
    assert recipe_from_mapping(flat(backbone__config=config)).backbone.config == {"model_type": "resnet"}


def test_one_index_is_a_list_of_one():
    assert recipe_from_mapping(flat(backbone__out_indices=-1)).backbone.out_indices == (-1,)
    assert recipe_from_mapping(flat(backbone__out_features="stage2")).backbone.out_features == ("stage2",)
    assert recipe_from_mapping(flat(backbone__out_indices="auto")).backbone.out_indices is None


def test_classes_follow_from_labels():
    recipe = recipe_from_mapping({**flat(), "head": {"name": "fcn"}, "labels": ["a", "b"]})
    assert recipe.head is not None
    assert recipe.head.options["num_classes"] == 2
    assert recipe.labels == Labels(("a", "b"))


def test_things_by_name_and_by_number():
    names = ["sky", "car", "crane", "crane"]
    labels = recipe_from_mapping(flat(labels={"names": names, "things": ["car", 2]}, head__num_classes=4)).labels
    assert labels == Labels(tuple(names), frozenset({1, 2}))
    recipe = recipe_from_mapping(flat(labels={"names": names, "things": [1, 2]}, head__num_classes=4))
    assert recipe.to_dict()["labels"]["things"] == [1, 2]  # two classes share a name, so numbers are written
    assert recipe_from_mapping(recipe.to_dict()) == recipe


def test_several_tasks():
    mapping = {
        "backbone": {"name": "timm/resnet18"},
        "heads": {
            "seg": {"head": {"name": "fcn", "num_classes": 5}, "neck": "fpn", "loss_weight": 2},
            "kind": {"head": {"name": "classification", "num_classes": 3}},
        },
    }
    recipe = recipe_from_mapping(mapping)
    assert recipe.head is None
    assert recipe.heads["seg"].loss_weight == 2.0
    assert [part.name for part in recipe.heads["seg"].neck] == ["fpn"]
    assert recipe.heads["kind"].neck == ()
    assert recipe_from_mapping(recipe.to_dict()) == recipe


def test_processing_has_the_types_of_its_contract():
    processing = recipe_from_mapping(flat(processing={"size": [32, 64], "mean": [0, 0, 0], "crop": None})).processing
    assert processing == {"size": (32, 64), "mean": (0.0, 0.0, 0.0), "crop": None}


def test_a_part_that_is_not_imported_yet_keeps_what_is_given(monkeypatch):
    monkeypatch.setattr(lookup, "_REGISTERED", {("neck", "late"): "somewhere:Neck"})
    assert recipe_from_mapping(flat(neck={"name": "late", "width": [3]})).neck == (PartRecipe("late", {"width": [3]}),)
    found = faults(neck={"name": "late", "width": [float("nan")]})
    assert any(".width.0: given nan, must be a number from" in fault for fault in found)


def test_a_saved_recipe_is_read_without_its_manifest(tmp_path: Path):
    file = tmp_path / "recipe.yaml"
    file.write_text("backbone: {name: timm/resnet18}\npacked: {weights: {model.safetensors: abc}}\n")
    assert read_recipe_file(file) == recipe_from_mapping({"backbone": {"name": "timm/resnet18"}})
