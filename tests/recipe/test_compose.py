import sys
import threading
from pathlib import Path

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.version import VersionBase
from omegaconf import OmegaConf

from backbonekit.errors import RecipeError
from backbonekit.recipe.compose import compose_recipe, model_names, part_names


@pytest.fixture
def write(tmp_path):
    """Writes files of a folder of recipes and returns the folder."""

    def write(**files: str) -> Path:
        for path, text in files.items():
            file = tmp_path / "model" / f"{path.replace('__', '/')}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path

    return write


def test_a_shipped_recipe():
    recipe = compose_recipe("maskformer_resnet50")
    assert recipe.backbone.name == "microsoft/resnet-50"
    assert recipe.backbone.out_indices is None
    assert [part.name for part in recipe.neck] == ["fpn_pixel_decoder"]
    assert recipe.head is not None
    assert recipe.head.options["num_classes"] == 150
    assert recipe.notes == ()


def test_a_recipe_that_inherits(write):
    folder = write(
        my_maskformer="""
            defaults: [maskformer_resnet50, override backbone: swin_tiny, _self_]
            head: {num_classes: 21}
        """
    )
    recipe = compose_recipe("my_maskformer", config_dir=folder)
    assert recipe.backbone.name == "microsoft/swin-tiny-patch4-window7-224"
    assert recipe.head is not None
    assert recipe.head.options["num_classes"] == 21
    assert recipe.processing["shortest_edge"] == 800


def test_ones_own_values_win_with_and_without_self(write):
    folder = write(
        a="{defaults: [maskformer_resnet50], head: {num_classes: 5}}",
        b="{defaults: [maskformer_resnet50, override backbone: swin_tiny], head: {num_classes: 5}}",
    )
    for name in "ab":
        head = compose_recipe(name, config_dir=folder).head
        assert head is not None
        assert head.options["num_classes"] == 5


def test_ones_own_file_wins_over_a_shipped_one(write):
    folder = write(
        features_swin_tiny="backbone: {name: timm/resnet18}",
        backbone__swin_tiny="{source: timm, name: resnet34}",
    )
    assert compose_recipe("features_swin_tiny", config_dir=folder).backbone.name == "resnet18"
    assert compose_recipe("maskformer_swin_tiny", config_dir=folder).backbone.name == "resnet34"
    assert compose_recipe("maskformer_resnet50", ["backbone=swin_tiny"], config_dir=folder).backbone.name == "resnet34"


def test_ones_own_parts_by_name(write):
    folder = write(neck__thin="{defaults: [fpn_pixel_decoder, _self_], channels: 64}", neck__other="{name: fpn}")
    recipe = compose_recipe("maskformer_resnet50", ["neck=thin"], config_dir=folder)
    assert recipe.neck[0].name == "fpn_pixel_decoder"
    assert recipe.neck[0].options["channels"] == 64
    assert {"thin", "other", "fpn"} <= set(part_names("neck", folder))


def test_a_part_replaced_in_a_file_leaves_nothing_behind(write):
    folder = write(
        first="""
            defaults: [maskformer_resnet50, _self_]
            backbone: {out_indices: [1, 2, 3, 4], pretrained: true}
            head: {num_queries: 7, criterion: {dice_weight: 9}}
            neck: {channels: 64}
        """,
        by_override="{defaults: [first, override backbone: swin_tiny, override head: fcn, override neck: fpn]}",
        by_name="{defaults: [first], head: {name: fcn}, neck: {name: fpn}, backbone: {name: timm/resnet18}}",
        by_null="{defaults: [first, override neck: null, override head: fcn]}",
    )
    for name in ("by_override", "by_name"):
        recipe = compose_recipe(name, config_dir=folder)
        assert recipe.backbone.out_indices is None
        assert recipe.backbone.pretrained is False
        assert recipe.head is not None
        assert recipe.head == compose_recipe("fcn_resnet50", ["head=fcn", "head.num_classes=150"]).head
        assert recipe.neck == compose_recipe("features_swin_tiny", ["neck=fpn"]).neck
        assert any("num_queries=7" in note for note in recipe.notes)
    by_null = compose_recipe("by_null", config_dir=folder)
    assert by_null.neck == ()
    assert by_null.backbone.out_indices == (1, 2, 3, 4)


def test_a_file_by_its_path(tmp_path, write):
    write(mine="{defaults: [maskformer_resnet50, sibling], head: {num_classes: 4}}", sibling="adapt: never")
    recipe = compose_recipe(tmp_path / "model" / "mine.yaml")
    assert recipe.adapt == "never"
    loose = tmp_path / "elsewhere"
    loose.mkdir()
    (loose / "loose.yaml").write_text("{defaults: [maskformer_resnet50], head: {num_classes: 4}}")
    head = compose_recipe(str(loose / "loose.yaml")).head
    assert head is not None
    assert head.options["num_classes"] == 4


def test_a_flat_file_and_a_mapping_say_the_same(tmp_path):
    (tmp_path / "flat.yml").write_text("backbone: {name: timm/resnet18}\nneck: fpn\n")
    by_file = compose_recipe(tmp_path / "flat.yml")
    assert by_file == compose_recipe({"backbone": {"name": "timm/resnet18"}, "neck": {"name": "fpn"}})
    assert by_file == compose_recipe(by_file)


def test_names_stand_for_parts_in_a_mapping():
    recipe = compose_recipe({"backbone": "resnet18", "neck": ["fpn"], "head": {"name": "fcn", "num_classes": 2}})
    assert recipe.backbone == compose_recipe("maskformer_resnet50", ["backbone=resnet18"]).backbone


def test_a_node_of_somebodys_configuration():
    node = OmegaConf.create({"classes": 9, "model": {"backbone": {"name": "timm/resnet18"}, "head": "fcn"}})
    OmegaConf.update(node, "model.head", {"name": "fcn", "num_classes": "${classes}"})
    head = compose_recipe(node.model).head
    assert head is not None
    assert head.options["num_classes"] == 9


def test_a_package_header_is_understood(write):
    folder = write(
        packed="""# @package _global_
            defaults: [/model/maskformer_resnet50, _self_]
            model: {head: {num_classes: 6}}
        """
    )
    head = compose_recipe("packed", config_dir=folder).head
    assert head is not None
    assert head.options["num_classes"] == 6


def test_references_within_a_recipe(write):
    folder = write(
        refers="""
            defaults: [maskformer_resnet50]
            neck: {channels: 64, mask_channels: "${neck.channels}"}
            head: {channels: "${model.neck.channels}"}
        """
    )
    recipe = compose_recipe("refers", ["neck.channels=96"], config_dir=folder)
    assert recipe.neck[0].options["mask_channels"] == 96
    assert recipe.head is not None
    assert recipe.head.options["channels"] == 96


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("defaults: [maskformer_resnet51]", "lists 'model/maskformer_resnet51', which is not there; did you mean"),
        ("defaults: [{backbone: resnet51}]", "did you mean 'resnet50'?|did you mean 'resnet101'?"),
        ("defaults: [{override backbone: resnet50}]", "model=broken could not be composed"),
        ("defaults: {backbone: resnet50}", "defaults must be a list"),
        ("defaults: [../../x]", "in defaults is refused"),
        ("defaults: [/etc/passwd]", "which is not there"),
        ("defaults: ['${oc.env:HOME}']", "in defaults is refused"),
        ("defaults: [broken]", "could not be composed|appears more than once|recursion|nested"),
        ("defaults: [3]", "in defaults is refused"),
        ("defaults: [maskformer_resnet50, {a: b, c: d}]", "could not be composed"),
        ("hydra: {run: {dir: /tmp/x}}", "does not configure Hydra"),
        ("{defaults: [maskformer_resnet50], head: {num_classes: '${oc.env:HOME}'}}", "cannot be read; only"),
        (
            "{defaults: [maskformer_resnet50], head: {num_classes: '${head.nothing}'}}",
            "which this recipe does not have",
        ),
        ("{defaults: [maskformer_resnet50], head: {num_classes: '${head.num_classes}'}}", "in a circle"),
    ],
)
def test_files_that_are_refused(write, text, message):
    folder = write(broken=text)
    with pytest.raises(RecipeError, match=message):
        compose_recipe("broken", config_dir=folder)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("maskformer_resnet51", "no recipe named .*; did you mean 'maskformer_resnet50'?"),
        ("../maskformer_resnet50", "is no name of a recipe"),
        ("/etc/passwd", "is no name of a recipe"),
        ("", "is no name of a recipe"),
        ("a\0b", "is no name of a recipe"),
        ("a" * 5_000, "is no name of a recipe"),
        ("a/" * 3_000 + "a", "is no name of a recipe"),
        ("a" * 5_000 + ".yaml", "there is no file"),
        ("\ud800.yaml", "there is no file"),
        ({"backbone": "a" * 5_000}, "no backbone of that name"),
        ("absent.yaml", "there is no file 'absent.yaml'"),
        (Path("absent"), "is no YAML file"),
        (3, "must be a mapping"),
        (None, "must be a mapping"),
        ({"defaults": ["maskformer_resnet50"]}, "only YAML files have defaults"),
        ({"backbone": "resnt50"}, "did you mean 'resnet50'?"),
    ],
)
def test_models_that_are_none(model, message):
    with pytest.raises(RecipeError, match=message):
        compose_recipe(model)


def test_a_saved_folder_is_distinguished_from_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m1").mkdir()
    with pytest.raises(RecipeError, match="opened by recipe=m1"):
        compose_recipe("m1")
    with pytest.raises(RecipeError, match="opened by load_model"):
        compose_recipe(str(tmp_path / "m1"))


def test_a_file_outside_the_group_is_refused(tmp_path, write):
    write(other="adapt: auto")
    (tmp_path / "mine.yaml").write_text("adapt: auto")
    with pytest.raises(RecipeError, match="lies outside the group: move it to"):
        compose_recipe("mine", config_dir=tmp_path)


def test_a_config_dir_that_is_none(tmp_path):
    for folder in (tmp_path / "absent", "a\0b"):
        with pytest.raises(RecipeError, match="is no folder"):
            compose_recipe("maskformer_resnet50", config_dir=folder)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path, write):
    folder = write(other="adapt: auto")
    secret = tmp_path.parent / f"{tmp_path.name}_secret.yaml"
    secret.write_text("backbone: {name: timm/resnet18}")
    (folder / "model" / "linked.yaml").symlink_to(secret)
    with pytest.raises(RecipeError, match="is a link that leaves"):
        compose_recipe("linked", config_dir=folder)


@pytest.fixture
def outer_application(tmp_path):
    """Somebody else's Hydra application, in the middle of its work."""
    (tmp_path / "outer").mkdir()
    (tmp_path / "outer" / "config.yaml").write_text("lr: 1\n")
    base = dict(vars(VersionBase.instance()))
    named = {"version_base": "1.2"} if tuple(map(int, hydra.__version__.split(".")[:2])) < (1, 4) else {}
    with hydra.initialize_config_dir(str(tmp_path / "outer"), job_name="outer", **named):
        HydraConfig.instance().set_config(hydra.compose("config", return_hydra_config=True))
        yield
    vars(VersionBase.instance()).update(base)
    HydraConfig.instance().cfg = None


def test_inside_somebody_elses_hydra_application(outer_application):
    instance, version = GlobalHydra.instance(), dict(vars(VersionBase.instance()))
    application = instance.hydra
    assert compose_recipe("maskformer_resnet50", ["backbone=swin_tiny"]).backbone.source == "hf"
    with pytest.raises(RecipeError):
        compose_recipe("maskformer_resnet50", ["backbone=("])
    assert GlobalHydra.instance() is instance
    assert instance.hydra is application
    assert vars(VersionBase.instance()) == version
    assert HydraConfig.get().job.name == "outer"
    assert hydra.compose("config", ["lr=2"]).lr == 2


def test_no_application_is_left_behind():
    compose_recipe("maskformer_resnet50")
    assert not GlobalHydra.instance().is_initialized()


def test_from_many_threads_at_once():
    names = [*model_names()] * 3
    found: list[object] = [None] * len(names)

    def compose(index):
        found[index] = compose_recipe(names[index], ["backbone=resnet18"])

    threads = [threading.Thread(target=compose, args=(index,)) for index in range(len(names))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [compose_recipe(name, ["backbone=resnet18"]) for name in names]


def test_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    compose_recipe("maskformer_resnet50", ["backbone=swin_tiny"])
    assert list(tmp_path.iterdir()) == []


def test_recursion_limit_is_left_alone():
    before = sys.getrecursionlimit()
    compose_recipe("maskformer_resnet50")
    assert sys.getrecursionlimit() == before


def test_recipes_in_folders_of_ones_own(write):
    folder = write(
        ablations__wide="{defaults: [maskformer_resnet50], neck: {channels: 512}}",
        ablations__other="{defaults: [maskformer_resnet50, override neck: fpn, _self_], head: {num_classes: 4}}",
    )
    assert compose_recipe("ablations/wide", config_dir=folder).neck[0].options["channels"] == 512
    assert compose_recipe("ablations/other", config_dir=folder).neck[0].name == "fpn"


def test_a_folder_of_recipes_alone(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "{defaults: [maskformer_resnet50, override neck: thin], head: {num_classes: 4}}"
    )
    (tmp_path / "neck").mkdir()
    (tmp_path / "neck" / "thin.yaml").write_text("{name: fpn_pixel_decoder, channels: 64}")
    assert compose_recipe("mine", config_dir=tmp_path).neck[0].options["channels"] == 64
    assert "mine" in model_names(tmp_path)
