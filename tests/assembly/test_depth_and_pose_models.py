"""Composed models for depth, for keypoints, and for two tasks on one backbone."""

from typing import ClassVar

import numpy as np
import pytest
import torch

import backbonekit as bk
from backbonekit.contract.results import DepthResult, KeypointResult, SemanticResult
from tests.assembly.model_tester import ModelTester
from tests.assembly.recipes import DINOV2, FCN, RESNET, SMALL

REASSEMBLE = {"name": "dpt_reassemble", "channels": 8, "level_channels": [4, 6]}
BLOCKS = ((32, 14),) * 2


class TestDPTOnDinov2(ModelTester):
    recipe = {
        "backbone": DINOV2,
        "neck": {**REASSEMBLE, "readout": "project"},
        "head": {"name": "dpt", "hidden_channels": 6, "criterion": {"name": "metric_depth"}},
        "processing": SMALL,
    }
    maps = BLOCKS
    out_indices = (1, 2)
    # To one that has a class token too.
    swap: ClassVar = ("backbone=timm/vit_tiny_patch16_224", "backbone.args={depth: 3, embed_dim: 48, num_heads: 2}")


class TestDepthAnythingOnDinov2(ModelTester):
    recipe = {
        "backbone": DINOV2,
        "neck": REASSEMBLE,
        "head": {
            "name": "depth_anything",
            "hidden_channels": 6,
            "metric": True,
            "max_depth": 10.0,
            "criterion": {"name": "metric_depth"},
        },
        "processing": SMALL,
    }
    maps = BLOCKS
    out_indices = (1, 2)


@pytest.mark.slow
class TestDPTOnAPyramid(ModelTester):
    """A hierarchical backbone and an FPN: the head requires a pyramid, which the backbone or a neck makes."""

    recipe = {
        "backbone": RESNET,
        "neck": {"name": "fpn", "channels": 8},
        "head": {"name": "dpt", "hidden_channels": 6, "norm": "batch", "project": True},
        "processing": SMALL,
    }
    maps = ((8, 4), (16, 8), (24, 16), (32, 32))
    out_indices = (1, 2, 3, 4)


class PoseTester(ModelTester):
    def targets(self, batch=2, size=None):
        targets = super().targets(batch, size)
        for index, target in enumerate(targets):
            target["keypoints"] = torch.tensor([[[5.0 + index, 9.0, 2.0], [30.0, 20.5, 1.0], [2.0, 33.0, 2.0 * index]]])
        return targets


class TestSimplePose(PoseTester):
    recipe = {"backbone": RESNET, "head": {"name": "vitpose", "num_classes": 3}, "processing": SMALL}
    maps = ((32, 32),)
    out_indices = (4,)


@pytest.mark.slow
class TestClassicPose(PoseTester):
    recipe = {
        "backbone": DINOV2,
        "head": {"name": "vitpose", "num_classes": 3, "decoder": "classic", "channels": 6},
        "processing": SMALL,
    }
    maps = ((32, 14),)
    out_indices = (2,)


class TestTwoTasks(ModelTester):
    recipe = {
        "backbone": DINOV2,
        "heads": {
            "segmentation": {"head": {**FCN, "auxiliary": False}},
            "depth": {"neck": REASSEMBLE, "head": {"name": "dpt", "hidden_channels": 6}, "loss_weight": 0.5},
        },
        "processing": SMALL,
    }
    maps = BLOCKS
    out_indices = (1, 2)

    def test_each_task_has_its_losses_and_its_weight(self):
        model, images, targets = self.build(), self.images(), self.targets()
        losses = model(images, targets=targets).losses
        assert set(losses) == {"segmentation.cross_entropy", "depth.depth", "depth.depth_gradient"}
        model.tasks["depth"].loss_weight = 1.0
        whole = model(images, targets=targets).losses
        torch.testing.assert_close(whole["depth.depth"], 2 * losses["depth.depth"])
        torch.testing.assert_close(whole["segmentation.cross_entropy"], losses["segmentation.cross_entropy"])


@pytest.mark.parametrize(("criterion", "is_distance"), [("metric_depth", True), ("relative_depth", False)])
def test_what_large_means_follows_from_the_criterion(criterion: str, is_distance: bool):
    head = {"name": "dpt", "hidden_channels": 6, "criterion": {"name": criterion}}
    model = bk.build_model({"backbone": DINOV2, "neck": REASSEMBLE, "head": head, "processing": SMALL})
    result = model.predict(np.zeros((40, 50, 3), np.uint8))[0]
    assert isinstance(result, DepthResult)
    assert result.is_distance is is_distance


SMALL_DINOV2 = (
    "backbone.config={model_type: dinov2, hidden_size: 32, num_hidden_layers: 4, num_attention_heads: 2}",
    "processing.size=[56,56]",
)


@pytest.fixture(scope="module")
def multitask():
    return bk.build_model("multitask_dinov2_small", [*SMALL_DINOV2, "heads.segmentation.head.num_classes=5"])


def test_the_shipped_multi_task_recipe_learns_both_tasks_in_one_step(multitask):
    rows, columns = np.mgrid[0:56, 0:70]
    image = np.repeat((255 * (columns > rows)).astype(np.uint8)[..., None], 3, axis=-1)
    target = {
        "segmentation": torch.from_numpy((columns > rows).astype(np.int64)),
        "depth": torch.from_numpy(1 + rows / 10).float(),
    }
    batch = multitask.processor([image] * 2, [target] * 2)
    optimizer = torch.optim.AdamW(multitask.parameters(), lr=1e-3)
    multitask.train()
    before = multitask(**batch)
    before.loss.backward()
    assert all(parameter.grad is not None for parameter in multitask.parameters())
    optimizer.step()
    after = multitask(**batch)
    assert after.loss < before.loss
    assert after.losses["segmentation.cross_entropy"] < before.losses["segmentation.cross_entropy"]


def test_the_shipped_multi_task_recipe_predicts_both_tasks(multitask):
    multitask.eval()
    image = np.zeros((40, 90, 3), np.uint8)
    (both,) = multitask.predict(image)
    assert isinstance(both["segmentation"], SemanticResult)
    assert isinstance(both["depth"], DepthResult)
    assert both["segmentation"].segmentation.shape == both["depth"].depth.shape == (40, 90)
    (depth,) = multitask.predict(image, task="depth")
    assert isinstance(depth, DepthResult)


def test_labels_name_the_classes_of_heads_that_have_some():
    model = bk.build_model(
        {
            "backbone": DINOV2,
            "labels": ["sky", "road"],
            "heads": {
                "segmentation": {"head": {"name": "fcn"}},
                "depth": {"neck": REASSEMBLE, "head": {"name": "dpt"}},
            },
        }
    )
    assert model.recipe.heads["segmentation"].head.options["num_classes"] == 2


def test_a_pose_model_predicts_one_person_an_image_or_one_a_box():
    model = bk.build_model(
        {
            "backbone": {
                "source": "hf",
                "config": {
                    "model_type": "vitpose_backbone",
                    "image_size": [64, 48],
                    "hidden_size": 24,
                    "num_hidden_layers": 2,
                    "num_attention_heads": 2,
                },
            },
            "head": {"name": "vitpose", "num_classes": 3},
            "processing": {"size": [64, 48]},
        }
    )
    image = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    (person,) = model.predict(image)
    assert isinstance(person, KeypointResult)
    assert person.keypoints.shape == (3, 2)
    (people,) = model.predict(image, boxes=[[5, 5, 40, 80], [30, 20, 69, 60]])
    assert [type(one) for one in people] == [KeypointResult] * 2
    loss = model(**model.processor([image], [{"keypoints": torch.rand(1, 3, 3) * 60 + 1}])).loss
    loss.backward()
    assert loss > 0
