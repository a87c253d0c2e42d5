"""The experiments that ship with real data run from beginning to end; that they learn is a longer matter."""

import json

import pytest

import backbonekit as bk
from backbonekit.cli.verbs import main
from backbonekit.contract.results import InstanceResult, SemanticResult
from backbonekit.data import open_data

RESULTS = {"detection": InstanceResult, "instances": InstanceResult, "segmentation": SemanticResult}


@pytest.mark.parametrize("name", RESULTS)
def test_it_trains_measures_and_predicts(name, tmp_path, capsys):
    pytest.importorskip("sklearn")
    small = ["data.train=4", "data.val=2", "optimisation.batch_size=2"]
    small += ["trainer.max_epochs=1", "trainer.num_workers=0", "trainer.accelerator=cpu"]
    assert main(["train", f"experiment=digits_{name}", *small, f"save={tmp_path / 'x'}"]) == 0
    assert capsys.readouterr().out.startswith(f"saved to {tmp_path / 'x'} (")
    scores = json.loads((tmp_path / "x" / "scores.json").read_text())
    assert scores["num_images"] == 2
    image, _ = open_data({"name": "digits"}).split("test")[0]
    (result,) = bk.load_model(tmp_path / "x").predict([image])
    assert isinstance(result, RESULTS[name])
