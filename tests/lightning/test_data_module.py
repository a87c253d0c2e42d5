"""The order of the images over processes and epochs, the batches, and the two classes in a Trainer of one's own."""

import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image

from backbonekit.assembly.build import build_model
from backbonekit.assembly.measuring import evaluation_of
from backbonekit.data import open_augmentation, open_data
from backbonekit.errors import ContractError, RecipeError
from backbonekit.image_processing.processor import ImageProcessor
from backbonekit.lightning.data_module import DataModule, EpochSampler
from backbonekit.lightning.module import Module
from tests.assembly.recipes import FCN, TIMM_RESNET
from tests.lightning.shapes import Shapes
from tests.small_models import PLAIN

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore::FutureWarning")
QUIET = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}


class Numbers(list):
    def set_epoch(self, epoch):
        self.epoch = epoch


def sampler(rank=0, processes=1, start=(0, 0), count=11):
    options = {"seed": 3, "batch_size": 4 // processes, "multiple": 4, "start": start}
    return EpochSampler(Numbers(range(count)), num_replicas=processes, rank=rank, **options)


def test_two_processes_share_the_batches_of_one():
    one = list(sampler())
    assert len(one) == 8
    assert len(set(one)) == 8
    shares = [list(sampler(rank, 2)) for rank in range(2)]
    for batch in range(2):
        together = {*shares[0][batch * 2 : batch * 2 + 2], *shares[1][batch * 2 : batch * 2 + 2]}
        assert together == set(one[batch * 4 : batch * 4 + 4])


def test_epochs_differ_and_an_interrupted_one_goes_on():
    images = sampler()
    first = list(images)
    images.set_epoch(1)
    second = list(images)
    assert first != second
    assert images._images.epoch == 1
    resumed = sampler(start=(1, 1))
    assert list(resumed) == second[4:]
    assert list(resumed) == second[4:]  # however often it is read
    assert len(resumed) == 8
    resumed.set_epoch(1)
    assert list(resumed) == second[4:]
    resumed.set_epoch(2)
    assert len(list(resumed)) == 8


@pytest.mark.parametrize("processes", [1, 2])
def test_batches_of_one_group_but_for_those_left_over(processes):
    groups = [index % 3 == 0 for index in range(20)]  # 7 and 13 images
    options = {"seed": 3, "batch_size": 4 // processes, "multiple": 4, "groups": groups}
    shares = [
        list(EpochSampler(Numbers(range(20)), num_replicas=processes, rank=rank, **options))
        for rank in range(processes)
    ]
    size = 4 // processes
    batches = [
        [index for share in shares for index in share[start : start + size]]
        for start in range(0, 20 // processes, size)
    ]
    assert sorted(index for batch in batches for index in batch) == list(range(20))
    assert [len({groups[index] for index in batch}) for batch in batches] == [1, 1, 1, 1, 2]


def test_wide_images_are_together(tmp_path):
    for name, size in {"a": (30, 20), "b": (20, 30), "c": (31, 20), "d": (20, 20)}.items():
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.new("RGB", size).save(tmp_path / "train" / name / "x.png")
    source = open_data({"name": "image_folders", "root": str(tmp_path), "train": "train"})
    data = DataModule(source, ImageProcessor(PLAIN), batch_size=2, group_shapes=True)
    for epoch in range(3):
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        assert {frozenset(batch["names"]) for batch in loader} == {
            frozenset({"a/x.png", "c/x.png"}),
            frozenset({"b/x.png", "d/x.png"}),
        }
    with pytest.raises(RecipeError, match="group_shapes=true: the sizes of these images are not known"):
        DataModule(Shapes(), ImageProcessor(PLAIN), batch_size=2, group_shapes=True).train_dataloader()


def test_batches():
    data = DataModule(Shapes(), ImageProcessor(PLAIN), batch_size=3)
    batch = next(iter(data.train_dataloader()))
    assert batch["pixel_values"].shape == (3, 3, 32, 32)
    assert batch["names"] == [f"train/{index}.png" for index in batch["indices"]]
    assert "originals" not in batch
    (first, second) = data.val_dataloader()
    assert second["indices"] == [3]
    assert first["originals"].geometries[0].original == (32, 32)
    assert set(first["originals"].targets[0]) >= {"boxes", "labels", "segmentation"}
    assert DataModule(Shapes(val=0), ImageProcessor(PLAIN), val=None).val_dataloader() == []


def test_an_augmented_epoch():
    steps = open_augmentation([{"name": "horizontal_flip", "probability": 1.0}])
    plain, flipped = (
        DataModule(Shapes(), ImageProcessor(PLAIN), batch_size=2, steps=given).train_dataloader()
        for given in ((), steps)
    )
    for one, other in zip(plain, flipped, strict=True):
        assert one["indices"] == other["indices"]
        torch.testing.assert_close(one["pixel_values"], other["pixel_values"].flip(-1))


def test_training_images_keep_the_size_that_a_step_sets():
    steps = open_augmentation([{"name": "scale_jitter", "size": [40, 48], "smallest": 0.5}])
    data = DataModule(Shapes(), ImageProcessor(PLAIN), batch_size=2, steps=steps)
    assert next(iter(data.train_dataloader()))["pixel_values"].shape == (2, 3, 40, 48)
    assert next(iter(data.val_dataloader()))["pixel_values"].shape == (2, 3, 32, 32)


def model_of_three():
    return build_model({"backbone": TIMM_RESNET, "head": {**FCN, "num_classes": 3}, "processing": {"size": [32, 32]}})


def test_a_trainer_and_batches_of_ones_own():
    module = Module(model_of_three(), {"lr": 0.01, "warmup_steps": 1})
    pairs = [Shapes().split("train")[index] for index in range(4)]
    batches = [module.model.processor([image], [target]) for image, target in pairs]
    doubled = [{**batch, "pixel_values": batch["pixel_values"].repeat(2, 1, 1, 1)} for batch in batches]
    for batch in doubled:
        batch["targets"] = batch["targets"] * 2
    before = {name: value.clone() for name, value in module.model.named_parameters()}
    loader = torch.utils.data.DataLoader(doubled, batch_size=None)
    Trainer(max_epochs=1, enable_model_summary=False, **QUIET).fit(module, loader)
    moved = [name for name, value in module.model.named_parameters() if not torch.equal(value, before[name])]
    assert len(moved) > 0.9 * len(before)
    assert module.scores is None


@pytest.mark.parametrize(("precision", "fused"), [("32-true", True), ("bf16-mixed", False)])
def test_a_step_is_fused_where_gradients_can_be_clipped_then(precision, fused):
    model = model_of_three()
    module = Module(model, {"clip_norm": 0.1, "batch_size": 2})
    before = model.head.classifier.classifier.weight.detach().clone()
    trainer = Trainer(max_steps=1, enable_model_summary=False, precision=precision, **QUIET)
    trainer.fit(module, datamodule=DataModule(Shapes(), model.processor, batch_size=2, val=None))
    assert {bool(group["fused"]) for group in trainer.optimizers[0].param_groups} == {fused}
    assert not torch.equal(before, model.head.classifier.classifier.weight)


def test_the_validation_is_measured_and_a_trainers_own_clipping_wins():
    model = model_of_three()
    module = Module(model, {"clip_norm": 0.1, "batch_size": 2}, evaluation=evaluation_of(model))
    clipped = []
    clip = module.clip_gradients
    module.clip_gradients = lambda *a, **options: (clipped.append(options["gradient_clip_val"]), clip(*a, **options))
    data = DataModule(Shapes(), model.processor, batch_size=2)
    trainer = Trainer(max_epochs=1, enable_model_summary=False, gradient_clip_val=0.5, **QUIET)
    trainer.fit(module, datamodule=data)
    assert set(clipped) == {0.5}
    name, value = module.scores.main
    assert name == "mIoU" or 0 <= value <= 1
    assert module.scores.num_images == 4
    assert float(trainer.callback_metrics[f"val_{name}"]) == pytest.approx(value)


def test_a_batch_without_targets_and_wrong_settings():
    module = Module(model_of_three())
    with pytest.raises(ContractError, match="the model returned no loss"):
        module.training_step({"pixel_values": torch.zeros(2, 3, 32, 32)}, 0)
    with pytest.raises(RecipeError, match="did you mean 'lr'"):
        Module(model_of_three(), {"l": 1.0, "lrr": 1.0})
