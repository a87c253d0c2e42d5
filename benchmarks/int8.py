"""(m) int8: size, time and metric of three small trained models, `python -m benchmarks.int8 [NAME ...]`.

Each is trained from a random start on composed digits, exported to ONNX in float32, and quantised two ways: statically
by onnxruntime (weights and activations, calibrated on 64 images of the training split), and by torchao (the weights of
linear layers alone, in the eager model). Metrics are those of `evaluate` on 100 held-out pages; times are those of the
forward of a batch of 16 in one thread.
"""

import io
import statistics
import sys
import time
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.utils.data import DataLoader

import backbonekit as bk
from backbonekit.assembly.evaluate import evaluate
from backbonekit.data import open_data

# recipe -> (targets of the digits, steps, learning rate)
MODELS = {
    "unet_digits": ("segmentation", 300, 2e-3),
    "fcos_digits": ("objects", 300, 2e-3),
    "maskformer_digits": ("objects", 600, 1e-3),
}
CALIBRATION = 64  # images
BATCH = 16
REPEATS = 20


def main() -> None:
    torch.set_num_threads(1)
    print("| model | how | size | forward of 16 | metric |\n|---|---|---|---|---|")
    for recipe in sys.argv[1:] or MODELS:
        targets, steps, rate = MODELS[recipe]
        data = open_data({"name": "digits", "train": steps * BATCH, "targets": targets})
        torch.manual_seed(0)
        model = bk.build_model(recipe)
        train(model, data.split("train"), rate)
        calibration = [image for image, _ in islice(data.split("train"), CALIBRATION)]
        with TemporaryDirectory() as folder:
            for how, size, quantised in variants(model, Path(folder), calibration):
                scores = evaluate(quantised, data.split("test"), batch_size=BATCH).scores
                cells = (recipe, how, f"{size / 1e6:.2f} MB", f"{forward(quantised):.1f} ms", shown(scores))
                print(f"| {' | '.join(cells)} |", flush=True)


def train(model, split, rate: float) -> None:
    def collate(pairs):
        images, targets = zip(*pairs, strict=True)
        return model.processor(list(images), list(targets))

    loader = DataLoader(split, BATCH, collate_fn=collate, drop_last=True)
    optimizer = torch.optim.AdamW(bk.parameter_groups(model, lr=rate, weight_decay=0.05))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=len(loader), pct_start=0.1)
    model.train()
    for inputs in loader:
        optimizer.zero_grad()
        model(**inputs).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval()


def variants(model, folder: Path, calibration):
    """(how, bytes, a model that predicts)"""
    yield "eager, float32", eager_bytes(model), model
    file = bk.export_model(model, folder / "float32.onnx").path
    yield "ONNX, float32", file.stat().st_size, bk.load_onnx(file)
    static = quantise_static(file, folder / "int8.onnx", calibration)
    yield "ONNX, int8 static", static.stat().st_size, bk.load_onnx(static)
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    quantize_(model, Int8WeightOnlyConfig())
    yield "eager, int8 weights (torchao)", eager_bytes(model), model


def quantise_static(file: Path, target: Path, calibration) -> Path:
    """An int8 file whose scales come from the ranges of activations on these images. The metadata stay in it."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    processor = bk.load_onnx(file).processor

    class Images(CalibrationDataReader):
        def __init__(self) -> None:
            starts = range(0, len(calibration), BATCH)
            self.batches = iter([processor(calibration[start : start + BATCH])["pixel_values"] for start in starts])

        def get_next(self):
            batch = next(self.batches, None)
            return None if batch is None else {"pixel_values": batch.numpy()}

    prepared = target.with_suffix(".prepared.onnx")
    quant_pre_process(file, prepared)
    quantize_static(
        prepared,
        target,
        Images(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return target


def eager_bytes(model: torch.nn.Module) -> int:
    stream = io.BytesIO()
    torch.save(model.state_dict(), stream)
    return stream.tell()


def shown(scores) -> str:
    """The metric that names the best model."""
    return "{} {:.3f}".format(*scores.main)


def forward(model) -> float:
    """The median of a forward, in milliseconds."""
    pixels = torch.randn(BATCH, 3, 64, 64)
    times = []
    with torch.inference_mode():
        for _ in range(REPEATS):
            since = time.perf_counter()
            model(pixels)
            times.append((time.perf_counter() - since) * 1e3)
    return statistics.median(times[2:])


if __name__ == "__main__":
    main()
