"""Trains a small detector with Lightning, in a script of your own: the two classes, and a hook that is overridden.

python examples/train_lightning.py --epochs 4 --folder runs/lightning
"""

import argparse

from lightning.pytorch import Trainer, seed_everything

import backbonekit as bk
from backbonekit.assembly.measuring import evaluation_of
from backbonekit.data import open_data
from backbonekit.lightning import DataModule, Module


class Detector(Module):
    """`Module` can be used as it is; here a hook of Lightning prints the scores of each validation."""

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        if self.scores is not None:
            name, value = self.scores.main
            print(f"epoch {self.current_epoch + 1}: {name} {value:.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--images", type=int, default=1600)
    parser.add_argument("--folder", default="runs/lightning")
    options = parser.parse_args()

    seed_everything(0)
    data = open_data({"name": "digits", "train": options.images, "val": 50})
    model = bk.build_model("fcos_digits")
    module = Detector(
        model,
        {"lr": 2e-3, "warmup_steps": 30, "clip_norm": 1.0, "ema_decay": 0.99, "ema_warmup_steps": 100},
        evaluation=evaluation_of(model),
    )
    batches = DataModule(data, model.processor, batch_size=16)
    trainer = Trainer(
        max_epochs=options.epochs,
        accelerator="cpu",  # leave it out on a machine with GPUs; devices=, num_nodes=, strategy= are Lightning's
        logger=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, datamodule=batches)
    print(f"saved to {module.measured.save_pretrained(options.folder, overwrite=True)}")


if __name__ == "__main__":
    main()
