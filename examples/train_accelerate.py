"""Trains a small detector with Hugging Face accelerate.

python examples/train_accelerate.py --steps 400 --folder runs/accelerate
accelerate launch --num-processes 2 examples/train_accelerate.py
"""

import argparse

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

import backbonekit as bk
from backbonekit.data import open_data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=16, help="images of a step, over all processes")
    parser.add_argument("--precision", default="no", choices=["no", "bf16", "fp16"])
    parser.add_argument("--folder", default="runs/accelerate")
    options = parser.parse_args()

    torch.manual_seed(0)
    accelerator = Accelerator(mixed_precision=options.precision)
    split = open_data({"name": "digits", "train": options.steps * options.batch}).split("train")
    model = bk.build_model("fcos_digits").train()
    processor = model.processor

    def collate(pairs):
        images, targets = zip(*pairs, strict=True)
        return processor(list(images), list(targets))

    size = options.batch // accelerator.num_processes
    loader = DataLoader(split, size, shuffle=True, collate_fn=collate, drop_last=True)
    optimizer = torch.optim.AdamW(bk.parameter_groups(model, lr=2e-3, weight_decay=0.05))
    prepared, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    for step, inputs in enumerate(loader, 1):
        output = prepared(**inputs)
        optimizer.zero_grad()
        accelerator.backward(output.loss)
        accelerator.clip_grad_norm_(prepared.parameters(), 1.0)
        optimizer.step()
        if step % 20 == 0 or step == len(loader):
            accelerator.print(f"step {step}/{len(loader)}  loss {output.loss.item():.3f}")
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        saved = accelerator.unwrap_model(prepared).eval().save_pretrained(options.folder, overwrite=True)
        print(f"saved to {saved}")


if __name__ == "__main__":
    main()
