"""Trains a small detector in plain PyTorch: a data set, a loop, a saved model.

python examples/train_plain.py --steps 400 --folder runs/plain
torchrun --nproc-per-node 2 examples/train_plain.py        # two processes, the same script
"""

import argparse
import os

import torch
import torch.distributed as distributed
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, RandomSampler

import backbonekit as bk
from backbonekit.data import open_data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--folder", default="runs/plain")
    options = parser.parse_args()

    is_distributed = "WORLD_SIZE" in os.environ  # set by torchrun
    if is_distributed:
        distributed.init_process_group()
    torch.manual_seed(0)
    data = open_data({"name": "digits", "train": options.steps * options.batch})
    split = data.split("train")
    model = bk.build_model("fcos_digits").train()

    def collate(pairs):
        images, targets = zip(*pairs, strict=True)
        return model.processor(list(images), list(targets))

    sampler = DistributedSampler(split) if is_distributed else RandomSampler(split)
    batch = options.batch // (distributed.get_world_size() if is_distributed else 1)
    loader = DataLoader(split, batch, sampler=sampler, collate_fn=collate, drop_last=True)
    optimizer = torch.optim.AdamW(bk.parameter_groups(model, lr=2e-3, weight_decay=0.05))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=len(loader))
    running = DistributedDataParallel(model) if is_distributed else model
    for step, inputs in enumerate(loader, 1):
        output = running(**inputs)
        optimizer.zero_grad()
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 20 == 0 or step == len(loader):
            print(f"step {step}/{len(loader)}  loss {output.loss.item():.3f}", flush=True)
    if not is_distributed or distributed.get_rank() == 0:
        print(f"saved to {model.eval().save_pretrained(options.folder, overwrite=True)}")


if __name__ == "__main__":
    main()
