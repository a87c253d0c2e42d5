"""The model inside a Hydra application of one's own.

python app.py
python app.py model.head.channels=32 seed=1
python app.py -m model.head.channels=16,32
python app.py -m model.head.channels=16,32 hydra/launcher=joblib    (pip install hydra-joblib-launcher)
"""

from concurrent.futures import ThreadPoolExecutor

import hydra
import torch
from omegaconf import DictConfig

from backbonekit import build_model


@hydra.main(version_base="1.3", config_path="configs", config_name="config")
def main(cfg: DictConfig) -> float:
    # Its head becomes known. Here and not above: a launcher's processes run this function, not this file.
    import my_project  # noqa: F401

    model = build_model(cfg.model, seed=cfg.seed)
    images = torch.zeros(4, 3, cfg.size, cfg.size)
    # One model serves several threads.
    with torch.no_grad(), ThreadPoolExecutor(2) as threads:
        logits = [output.predictions.logits for output in threads.map(model, images.split(2))]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"channels {cfg.model.head.channels}: {parameters:,} parameters, logits {tuple(torch.cat(logits).shape)}")
    return float(parameters)


if __name__ == "__main__":
    main()
