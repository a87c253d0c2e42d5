"""A detector behind HTTP. Start: `MODEL=runs/m1 uvicorn --factory examples.serve:create_app`.
Use: `curl --data-binary @image.jpg -H 'Content-Type: application/octet-stream' localhost:8000/predict`.
"""

import os
from tempfile import NamedTemporaryFile
from typing import Annotated

from fastapi import Body, FastAPI, HTTPException
from PIL import Image

import backbonekit as bk


def create_app() -> FastAPI:
    folder = os.environ["MODEL"]
    model = bk.load_onnx(folder) if folder.endswith(".onnx") else bk.load_model(folder)
    model.predict(Image.new("RGB", (640, 480)))  # warm-up: the first request is not slower than the others
    app = FastAPI()

    @app.post("/predict")
    def predict(image: Annotated[bytes, Body(media_type="application/octet-stream")], threshold: float = 0.5):
        # FastAPI runs this in threads of its own, all on the one model.
        with NamedTemporaryFile() as file:
            file.write(image)
            file.flush()
            try:
                (found,) = model.predict(file.name, threshold=threshold)
            except (bk.StorageError, bk.ContractError) as error:
                raise HTTPException(400, str(error).removeprefix(f"{file.name}: ")) from error
        labels = model.task_labels()
        names = [str(label) if labels is None else labels.name(label) for label in found.labels.tolist()]
        return {"labels": names, "scores": found.scores.tolist(), "boxes_xyxy": found.boxes_xyxy.tolist()}

    return app
