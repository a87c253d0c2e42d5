"""A model inside a LightningModule, as a user writes one."""

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from backbonekit.contract.predictions import ModelOutput
from tests.engines.models import RECIPES, model_of, sample

lightning = pytest.importorskip("lightning")

pytestmark = [
    # Raised inside Lightning, which uses a deprecated name of torch.
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning"),
    # The batches are in memory: workers would only cost time. Raised on machines with several cores.
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
]


class Module(lightning.LightningModule):
    def __init__(self, name: str) -> None:
        super().__init__()
        # Lightning leaves a module that is in eval mode as it is, and models are built in eval mode.
        self.model = model_of(name).train()
        self.seen: list[ModelOutput] = []

    def training_step(self, batch, index):
        assert all(module.training for module in self.model.modules())
        output = self.model(**batch)
        self.log_dict(output.losses)
        return output  # a mapping with `loss`, as Lightning requires

    def validation_step(self, batch, index):
        assert not self.model.training
        return self.model(**batch)

    def on_train_batch_end(self, outputs, batch, index):
        self.seen.append(outputs)

    def on_validation_batch_end(self, outputs, batch, index):
        self.seen.append(outputs)

    def predict_step(self, batch, index):
        return self.model(batch["pixel_values"], batch["pixel_mask"])

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def trainer_of(**options):
    return lightning.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


def loader(module: Module, images: int = 4) -> DataLoader:
    samples = [sample(index) for index in range(images)]
    return DataLoader(samples, batch_size=2, collate_fn=module.model.processor.collate)


@pytest.mark.parametrize("name", RECIPES)
def test_fits_validates_and_predicts(name):
    module = Module(name)
    before = {key: parameter.clone() for key, parameter in module.model.named_parameters()}
    trainer = trainer_of(fast_dev_run=True)
    trainer.fit(module, loader(module), loader(module))
    moved = [key for key, parameter in module.model.named_parameters() if not torch.equal(parameter, before[key])]
    assert len(moved) > len(before) * 0.9  # the biases of keys have a gradient of nearly zero
    trained, validated = module.seen
    assert trained["loss"].isfinite()
    assert type(validated) is ModelOutput
    assert validated.losses is not None
    # Denoising queries are used in training only.
    assert set(validated.losses) == {term for term in trainer.logged_metrics if "_denoising_" not in term}
    (predicted,) = trainer.predict(module, loader(module))
    assert type(predicted) is ModelOutput
    assert type(predicted.predictions) is type(validated.predictions)


def test_accumulates_and_clips_in_bfloat16():
    module = Module("maskformer")
    options = {"max_steps": 1, "accumulate_grad_batches": 2, "gradient_clip_val": 0.1, "precision": "bf16-mixed"}
    trainer_of(**options, limit_val_batches=1).fit(module, loader(module), loader(module))
    assert all(output["loss"].isfinite() for output in module.seen)
    assert sum(type(output) is not ModelOutput for output in module.seen) == 2  # two batches, one step


def test_outputs_keep_their_types_when_moved_between_devices():
    """A strategy of Lightning moves batches and outputs between devices; the result must have the same type."""
    from lightning.fabric.utilities import move_data_to_device
    from lightning_utilities.core.apply_func import apply_to_collection

    model = model_of("two_heads").train()
    batch = model.processor.collate([sample(0), sample(3)])
    output = model(**batch)
    doubled = [
        apply_to_collection(output, Tensor, lambda tensor: tensor.detach() * 2, include_none=keep)
        for keep in (True, False)
    ]
    for other in doubled:
        assert type(other) is ModelOutput
        assert torch.equal(other.loss, output.loss * 2)
        assert torch.equal(other.losses["cls.cross_entropy"], output.losses["cls.cross_entropy"] * 2)
        assert torch.equal(other.feature_maps[0], output.feature_maps[0] * 2)
        assert type(other.predictions["seg"]) is type(output.predictions["seg"])
        assert torch.equal(other.predictions["seg"].auxiliary[0], output.predictions["seg"].auxiliary[0] * 2)
    # "meta" is a device that every machine has besides the CPU.
    moved = move_data_to_device(output, torch.device("meta"))
    assert moved.loss.is_meta
    assert moved.predictions["cls"].logits.is_meta
    assert not output.loss.is_meta
    moved = move_data_to_device(batch, torch.device("meta"))
    assert moved["pixel_values"].is_meta
    assert moved["targets"][0]["masks"].is_meta
