"""transformers' `Trainer` trains and evaluates a model of each kind, with only the model's import changed."""

from pathlib import Path

import pytest
import torch
from torch.utils.data import Dataset

from tests.hf_models import small

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate", reason="Trainer needs accelerate, which the extra dev installs")
pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # transformers' own
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning"),  # it has a second name since 5.24
    pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning"),  # of a machine without an accelerator
]
SIZE = (64, 48)


class Pairs(Dataset):
    """Two images with their labels."""

    def __init__(self, labels) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> dict:
        generator = torch.Generator().manual_seed(index)
        return {"pixel_values": torch.randn(3, *SIZE, generator=generator), **self.labels}


def stacked(examples: list[dict]) -> dict:
    """Images and maps stacked; what differs in number from image to image stays a list."""
    batch = {name: [one[name] for one in examples] for name in examples[0]}
    is_list = {name: name != "pixel_values" and not _is_map(values[0]) for name, values in batch.items()}
    return {name: values if is_list[name] else torch.stack(values) for name, values in batch.items()}


def _is_map(label) -> bool:
    return isinstance(label, torch.Tensor) and label.shape == SIZE


BOXES = {"class_labels": torch.tensor([1]), "boxes": torch.tensor([[0.5, 0.5, 0.3, 0.4]])}
MASKS = {"mask_labels": torch.ones(1, *SIZE), "class_labels": torch.tensor([1])}
CASES = {
    "detection": (small.model, {"labels": BOXES}),
    "masks": (small.masks, MASKS),
    "classes of pixels": (small.dense, {"labels": torch.ones(SIZE, dtype=torch.long)}),
    "depth": (small.depth, {"labels": torch.rand(SIZE, generator=torch.Generator().manual_seed(0)) + 0.5}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_model_of_each_kind_is_trained_evaluated_and_saved(case: str, tmp_path: Path) -> None:
    make, labels = CASES[case]
    model = make()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path / "run"),
        max_steps=3,
        per_device_train_batch_size=2,
        per_device_eval_batch_size=2,
        learning_rate=1e-3,
        remove_unused_columns=False,
        gradient_checkpointing=True,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        label_names=[name for name in ("labels", "mask_labels", "class_labels") if name in labels],
    )
    trainer = transformers.Trainer(
        model=model,
        args=arguments,
        train_dataset=Pairs(labels),
        eval_dataset=Pairs(labels),
        data_collator=stacked,
    )
    first = trainer.evaluate()["eval_loss"]
    assert trainer.train().training_loss > 0
    assert 0 < trainer.evaluate()["eval_loss"] != first
    changed = [name for name, parameter in model.named_parameters() if not torch.equal(before[name], parameter)]
    assert len(changed) > len(before) / 2
    trainer.save_model(str(tmp_path / "weights"))  # of models that are not transformers' own the weights alone
    assert (tmp_path / "weights" / "model.safetensors").exists()
    model.save_pretrained(tmp_path / "saved")
    again = type(model).from_pretrained(tmp_path / "saved").eval()
    images = torch.randn(1, 3, *SIZE)
    with torch.no_grad():
        given, expected = again(images), model.eval()(images)
    torch.testing.assert_close(given[0], expected[0])
