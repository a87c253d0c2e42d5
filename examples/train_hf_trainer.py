"""Trains a small detector with the Trainer of transformers, which takes any module that returns a loss.

python examples/train_hf_trainer.py --steps 400 --folder runs/hf_trainer
"""

import argparse

from transformers import Trainer, TrainingArguments

import backbonekit as bk
from backbonekit.data import open_data


class LossTrainer(Trainer):
    """Reads the loss off the model's output, which is a mapping and no dict."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        output = model(**inputs)
        return (output.loss, output) if return_outputs else output.loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--folder", default="runs/hf_trainer")
    options = parser.parse_args()

    model = bk.build_model("fcos_digits")
    split = open_data({"name": "digits", "train": 1600}).split("train")
    arguments = TrainingArguments(
        output_dir=f"{options.folder}/checkpoints",
        max_steps=options.steps,
        per_device_train_batch_size=options.batch,
        learning_rate=2e-3,
        warmup_steps=options.steps // 10,
        logging_steps=20,
        remove_unused_columns=False,  # the samples are pairs
        save_strategy="no",
        report_to=[],
    )

    def collate(pairs):
        images, targets = zip(*pairs, strict=True)
        return model.processor(list(images), list(targets))

    LossTrainer(model, arguments, train_dataset=split, data_collator=collate).train()
    print(f"saved to {model.eval().save_pretrained(options.folder, overwrite=True)}")


if __name__ == "__main__":
    main()
