"""RT-DETR, RT-DETR v2 and D-FINE folders that transformers saved, opened by us: predictions, losses with the same
draws of noise, gradients, results; and our weights written back."""

import copy
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import backbonekit as bk
from backbonekit.assembly.load import load_model
from backbonekit.contract.processing import Geometry
from backbonekit.heads.d_fine.checkpoint import D_FINE
from backbonekit.heads.rt_detr.checkpoint import RT_DETR
from backbonekit.postprocessing.results import to_results
from backbonekit.weights.checkpoint import open_checkpoint
from tests.fixed_weights import randomise_weights
from tests.parity.detection_example import assert_near, gradients_by_our_names, random_targets

transformers = pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # transformers' own
    pytest.mark.filterwarnings("ignore:You'd better set embed_dim"),  # the reference's advice for its own kernels
]
SIZE = (96, 64)  # multiples of 32: at others the reference's levels do not meet
CLASSES = {0: "sky", 1: "person", 2: "road"}
LEVELS = {"out_indices": [2, 3, 4]}
SMALL = {
    "encoder_hidden_dim": 24, "d_model": 16, "encoder_ffn_dim": 20, "decoder_ffn_dim": 20, "decoder_layers": 3,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_queries": 9, "num_denoising": 12,
    "decoder_in_channels": [24, 24, 24], "hidden_expansion": 0.5, "id2label": CLASSES,
}  # fmt: skip
HGNET = {
    "stem_channels": [3, 8, 8], "stage_in_channels": [8, 8, 16, 32], "stage_mid_channels": [4, 4, 8, 8],
    "stage_out_channels": [8, 16, 32, 48], "stage_num_blocks": [1, 1, 1, 1], "stage_numb_of_layers": [2, 2, 2, 2],
    "hidden_sizes": [8, 16, 32, 48], "depths": [1, 1, 1, 1],
}  # fmt: skip


def backbone(name, **levels):
    levels = levels or LEVELS
    if name == "vd":
        return transformers.RTDetrResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], layer_type="basic", **levels
        )
    if name == "hgnet":
        return transformers.HGNetV2Config(**HGNET, use_learnable_affine_block=True, **levels)
    if name == "swin":
        return transformers.SwinConfig(
            embed_dim=12, depths=[1, 1, 1, 1], num_heads=[1, 2, 3, 4], window_size=4, image_size=64, drop_path_rate=0.0,
            **levels,
        )  # fmt: skip
    return transformers.TimmBackboneConfig(backbone="resnet18", use_pretrained_backbone=False, **levels)


def channels(config):
    if config.model_type == "timm_backbone":
        return [128, 256, 512]
    widths = (
        config.stage_out_channels
        if config.model_type == "hgnet_v2"
        else [12 * 2**stage for stage in range(4)]
        if config.model_type == "swin"
        else config.hidden_sizes
    )
    return [widths[index - 1] for index in config.out_indices]


def reference(kind):
    """One of transformers' models, small."""
    version, name = kind.split(" ")[:2]
    nested = backbone(name)
    if "two" in kind:
        nested = backbone(name, out_indices=[3, 4])
    options = {**SMALL, "backbone_config": nested, "encoder_in_channels": channels(nested)}
    if "two" in kind:
        options |= {"num_feature_levels": 2, "decoder_in_channels": [16, 16], "encode_proj_layers": [1]}
        options |= {"encoder_hidden_dim": 16, "decoder_n_points": [2, 4]}
    if version == "v1":
        config = transformers.RTDetrConfig(**options, decoder_n_points=3)
        return transformers.RTDetrForObjectDetection(config)
    if version == "v2":
        options |= {"decoder_method": "discrete"} if "discrete" in kind else {}
        config = transformers.RTDetrV2Config(**options, decoder_offset_scale=0.4, freeze_backbone_batch_norms=False)
        return transformers.RTDetrV2ForObjectDetection(config)
    # Powers of two, by which the reference divides in single precision whatever its own is.
    options = {"decoder_n_points": [4, 2, 1], **options}
    config = transformers.DFineConfig(**options, max_num_bins=8, lqe_hidden_dim=8, depth_mult=0.34, top_prob_values=3)
    return transformers.DFineForObjectDetection(config)


QUICK = ("v1 vd", "v2 vd discrete", "v2 swin", "dfine hgnet", "dfine hgnet two")
THOROUGH = ("v2 vd", "v2 timm", "dfine vd")


@pytest.fixture(scope="module", params=[*QUICK, *(pytest.param(one, marks=pytest.mark.slow) for one in THOROUGH)])
def saved(request, tmp_path_factory):
    """A model of transformers and the folder that it was saved to."""
    torch.manual_seed(0)
    model = randomise_weights(reference(request.param)).eval()
    folder = tmp_path_factory.mktemp("detector")
    model.save_pretrained(folder)
    return model, folder


def key_map_of(folder):
    config = json.loads((folder / "config.json").read_text())
    return (D_FINE if config["model_type"] == "d_fine" else RT_DETR).key_map(config)


@pytest.mark.parametrize("size", [SIZE, (128, 160)])
def test_a_saved_folder_has_the_same_predictions(saved, size):
    theirs, folder = saved
    ours, images = load_model(folder), torch.randn(2, 3, *size)
    with torch.no_grad():
        expected, given = theirs(images), ours(images).predictions
    assert_near(given.class_logits, expected.logits)
    assert_near(given.boxes_cxcywh, expected.pred_boxes)
    assert ours.labels.names == tuple(CLASSES.values())


def reference_terms(theirs, outputs, labels):
    """transformers' own criterion on its own model's predictions, by our names.

    For D-FINE, its function pairs the distributions of a layer with the boxes of the layer before. Here each layer
    is paired with its own boxes, as in the code of the paper.
    """
    from transformers.loss.loss_d_fine import DFineLoss
    from transformers.loss.loss_rt_detr import RTDetrLoss

    is_fine = theirs.config.model_type == "d_fine"
    meta, layers = outputs.denoising_meta_values, theirs.config.decoder_layers
    split = meta["dn_num_split"] if meta else [0, outputs.intermediate_logits.shape[2]]
    disturbed, ordinary = [
        [
            {"logits": logits, "pred_boxes": boxes.clamp(0, 1) if is_fine else boxes}
            for logits, boxes in zip(
                outputs.intermediate_logits.split(split, dim=2)[part].unbind(1),
                outputs.intermediate_reference_points.split(split, dim=2)[part].unbind(1),
                strict=True,
            )
        ]
        for part in (0, 1)
    ]
    if is_fine:
        for part, predictions in enumerate((disturbed, ordinary)):
            corners = outputs.intermediate_predicted_corners.split(split, dim=2)[part].unbind(1)
            references = outputs.initial_reference_points.split(split, dim=2)[part].unbind(1)
            assert len(predictions) == layers + 1 == len(corners) + 1  # the first layer's box comes before
            for prediction, corner, reference in zip(predictions[1:], corners, references, strict=True):
                prediction |= {"pred_corners": corner, "ref_points": reference, "teacher_corners": corners[-1]}
                prediction |= {"teacher_logits": predictions[-1]["logits"]}
    final = ordinary.pop()
    proposals = {"logits": outputs.enc_topk_logits, "pred_boxes": outputs.enc_topk_bboxes}
    given = {**final, "auxiliary_outputs": [*ordinary, proposals]}
    if meta:
        given |= {"dn_auxiliary_outputs": disturbed, "denoising_meta_values": meta}
    terms = (DFineLoss if is_fine else RTDetrLoss)(theirs.config)(given, labels)
    return {our_term(name, len(ordinary)): loss for name, loss in terms.items()}


def our_term(name, proposals):
    renamed = {"vfl": "class", "bbox": "box", "giou": "giou", "fgl": "edge", "ddf": "distillation"}
    _, term, *layer = name.split("_")
    suffix = "".join(f"_{part}" for part in layer).replace(f"_aux_{proposals}", "_proposals")
    return renamed[term] + suffix.replace("_aux", "").replace("_dn", "_denoising")


# More boxes than queries, two and none; only boxes that are few; and no box in any image.
@pytest.mark.parametrize("counts", [(12, 2, 0), (1, 3), (0, 0)], ids=str)
def test_losses_and_gradients_are_those_of_the_reference(saved, counts, monkeypatch):
    """In training, in double precision, with the same noise; of RT-DETR also the sum that it calls its loss."""
    theirs, folder = saved
    torch.manual_seed(1)
    theirs, ours = copy.deepcopy(theirs).double().train(), load_model(folder).double()
    # Its mask is of single precision, with which torch's fused attention is wrong about double.
    theirs.set_attn_implementation("eager")
    freezing = ours.recipe.to_dict()["training"].get("freeze")
    if freezing:
        bk.freeze(ours.backbone, **freezing)
    ours.train()
    images = torch.randn(len(counts), 3, *SIZE, dtype=torch.float64)
    our_targets, their_targets = random_targets([SIZE] * len(counts), counts, 3, torch.float64)
    torch.set_default_dtype(torch.float64)  # of the reference's noise
    try:
        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "float", torch.Tensor.double)  # where it would round the bins of edges
            torch.manual_seed(2)
            outputs = theirs(images, labels=their_targets)
            compared = reference_terms(theirs, outputs, their_targets)
        sum(compared.values()).backward()
    finally:
        torch.set_default_dtype(torch.float32)
    torch.manual_seed(2)
    given = ours(images, targets=our_targets)
    given.loss.backward()
    # Swin's maps are equal to 2e-7 only, also in double precision.
    tolerance = 1e-5 if theirs.config.backbone_config.model_type == "swin" else 1e-10
    if theirs.config.model_type != "d_fine":
        assert_near(given.loss, outputs.loss, tolerance)
    # Nothing disturbed where there is nothing to disturb; what the last layer learns from itself is nothing.
    absent = given.losses.keys() - compared.keys()
    assert all("_denoising_" in name and not given.losses[name] for name in absent)
    assert bool(absent) == (not any(counts))
    idle = compared.keys() - given.losses.keys()
    assert all(name.startswith("distillation") and not compared[name] for name in idle)
    for name in compared.keys() & given.losses.keys():
        assert_near(given.losses[name], compared[name], tolerance, name=name)

    gradients = gradients_by_our_names(theirs, key_map_of(folder))
    own = {name: parameter.grad for name, parameter in ours.named_parameters() if parameter.requires_grad}
    # Where maps are sampled without a gradient for positions, the offsets have zeros in the reference, none in ours.
    still = {name for name in gradients.keys() - own.keys() if "cross_attention.offsets" in name}
    assert bool(still) == (theirs.config.to_dict().get("decoder_method") == "discrete")
    assert not any(gradients.pop(name).any() for name in still)
    compared_parts = {name for name in gradients if name.startswith(("neck.", "head."))}
    assert compared_parts == {name for name in own if name.startswith(("neck.", "head."))}
    largest = max(gradient.abs().max() for gradient in gradients.values())
    for name, gradient in gradients.items():
        # What is zero in theory is rounding noise on both sides: keys' biases, constants before a batch norm.
        assert_near(own[name], gradient, tolerance * 100, floor=largest * 1e-4, name=name)


def test_results_are_those_of_the_reference(saved):
    theirs, folder = saved
    ours, images = load_model(folder), torch.randn(1, 3, *SIZE)
    geometry = Geometry((192, 300), SIZE, (0, 0), SIZE, SIZE)
    with torch.no_grad():
        expected = transformers.RTDetrImageProcessorPil().post_process_object_detection(
            theirs(images), threshold=0.0, target_sizes=[(192, 300)]
        )[0]
        prediction = ours(images).predictions
    (given,) = to_results(prediction, [geometry], scoring=ours.head.scoring, threshold=0.0)
    count = min(len(given.scores), len(expected["scores"]))
    assert count
    assert_near(given.scores[:count], expected["scores"][:count])
    assert torch.equal(given.labels[:count], expected["labels"][:count])
    limits = torch.tensor([300, 192, 300, 192])  # ours are cut to the image
    assert_near(given.boxes_xyxy[:count], expected["boxes"][:count].clamp(min=0).minimum(limits))


def test_names_on_disk_and_in_memory_are_both_read(saved, tmp_path):
    theirs, folder = saved
    save_file({name: one.clone() for name, one in theirs.state_dict().items()}, tmp_path / "memory.safetensors")
    key_map = key_map_of(folder)
    on_disk = key_map.translate(open_checkpoint(folder))
    in_memory = key_map.translate(open_checkpoint(tmp_path / "memory.safetensors"))
    assert set(on_disk) == set(in_memory)
    assert all(name.startswith(("backbone.", "neck.", "head.")) for name in on_disk)
    for name in on_disk:
        assert torch.equal(on_disk.tensor(name), in_memory.tensor(name)), name


def test_our_weights_are_written_back_under_the_names_on_disk(saved):
    _, folder = saved
    written = key_map_of(folder).reverse(load_model(folder).state_dict())
    stored = load_file(folder / "model.safetensors")
    ours = {name for name in stored if "backbone" not in name and not name.endswith("_points_scale")}
    assert ours <= written.keys()
    for name, tensor in written.items():
        # The reference's frozen norms have no batch counter, and it has norms only for the maps that it returns.
        if not name.endswith("num_batches_tracked") and "hidden_states_norms" not in name:
            assert torch.equal(tensor, stored[name]), name


def test_another_backbone_keeps_the_rest(saved):
    _, folder = saved
    ours, swapped = load_model(folder), load_model(folder, ["backbone=timm/resnet10t"])
    assert swapped.recipe.backbone.name == "resnet10t"
    sources = {source.part: source for source in swapped.weight_report.sources}
    assert sources["backbone"].loaded == 0
    assert not sources["head"].fresh
    before = ours.state_dict()
    for name, tensor in swapped.state_dict().items():
        if name.startswith("head.") or name.startswith(("neck.0.layers.", "neck.0.top_down.")):
            assert torch.equal(tensor, before[name]), name


def test_the_processing_of_the_folder_is_read(tmp_path):
    reference("v1 vd").save_pretrained(tmp_path)
    transformers.RTDetrImageProcessorPil(size={"height": 96, "width": 64}).save_pretrained(tmp_path)
    processing = load_model(tmp_path).processor.processing
    assert (processing.size, processing.mean, processing.std) == ((96, 64), (0, 0, 0), (1, 1, 1))


def shipped_config(name):
    """What transformers builds the published model of a shipped recipe from."""
    vd18 = {"hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2], "layer_type": "basic", **LEVELS}
    b0 = {
        "stem_channels": [3, 16, 16], "stage_in_channels": [16, 64, 256, 512], "stage_mid_channels": [16, 32, 64, 128],
        "stage_out_channels": [64, 256, 512, 1024], "stage_num_blocks": [1, 1, 2, 1], "stage_numb_of_layers": [3] * 4,
        "hidden_sizes": [64, 256, 512, 1024], "use_learnable_affine_block": True,
    }  # fmt: skip
    b2 = {
        "stem_channels": [3, 24, 32], "stage_in_channels": [32, 96, 384, 768], "stage_mid_channels": [32, 64, 128, 256],
        "stage_out_channels": [96, 384, 768, 1536], "stage_numb_of_layers": [4] * 4, "use_learnable_affine_block": True,
        "hidden_sizes": [96, 384, 768, 1536],
    }  # fmt: skip
    points = {"decoder_n_points": [3, 6, 3]}
    nano = {"encoder_hidden_dim": 128, "d_model": 128, "encoder_ffn_dim": 512, "decoder_ffn_dim": 512}
    nano |= {"hidden_expansion": 0.34, "depth_mult": 0.5, "num_feature_levels": 2, "decoder_n_points": [6, 6]}
    nano |= {"encoder_in_channels": [512, 1024], "decoder_in_channels": [128, 128], "encode_proj_layers": [1]}
    common = {"num_labels": 80}
    vd, hgnet = transformers.RTDetrResNetConfig, transformers.HGNetV2Config
    if name.startswith("rtdetr"):
        small = {"decoder_layers": 3, "hidden_expansion": 0.5, "backbone_config": vd(**vd18)}
        large = {"backbone_config": vd(**LEVELS)}
        return transformers.RTDetrV2Config(**common, **(small if name.endswith("18") else large))
    options = {
        "dfine_nano": {**nano, "decoder_layers": 3, "backbone_config": hgnet(**b0, out_indices=[3, 4])},
        "dfine_small": {
            "decoder_layers": 3, "hidden_expansion": 0.5, "depth_mult": 0.34, **points,
            "encoder_in_channels": [256, 512, 1024], "backbone_config": hgnet(**b0, **LEVELS),
        },
        "dfine_medium": {
            "decoder_layers": 4, "depth_mult": 0.67, **points,
            "encoder_in_channels": [384, 768, 1536], "backbone_config": hgnet(**b2, **LEVELS),
        },
    }[name]  # fmt: skip
    return transformers.DFineConfig(**common, **options)


@pytest.mark.parametrize(
    "name", ["rtdetr_v2_resnet18", "rtdetr_v2_resnet50", "dfine_nano", "dfine_small", "dfine_medium"]
)
def test_a_shipped_recipe_is_the_published_network(name):
    config = shipped_config(name)
    converter = D_FINE if name.startswith("dfine") else RT_DETR
    with torch.device("meta"):
        model = bk.build_model(name)
    theirs, ours = converter.recipe(config.to_dict()), model.recipe.to_dict()
    unread = ("depths", "hidden_sizes", "embedding_size") if name.startswith("dfine") else ()
    nested = [{k: v for k, v in one["backbone"]["config"].items() if k not in unread} for one in (theirs, ours)]
    assert nested[0] == nested[1]
    assert list(model.backbone.out_indices) == config.backbone_config.out_indices
    for part in ("neck", "head"):
        (given,) = ours[part] if isinstance(ours[part], list) else [ours[part]]
        read = theirs[part]
        criterion, expected = given.pop("criterion", None) or {}, read.pop("criterion", {})
        assert {key: given[key] for key in read} == read
        # The paper's matching, where transformers has another.
        assert {key: value for key, value in expected.items() if criterion.get(key, value) != value} == (
            {"matching": "layer"} if criterion.get("matching") == "union" else {}
        )
    kind = transformers.DFineForObjectDetection if name.startswith("dfine") else transformers.RTDetrV2ForObjectDetection
    config.freeze_backbone_batch_norms = False
    with torch.device("meta"):
        built = kind(config)
    idle = 2 if name.startswith("dfine") else 0  # what the bins stand for, two numbers
    counted = sum(one.numel() for path, one in built.named_parameters() if not path.startswith(("class_", "bbox_")))
    assert sum(one.numel() for one in model.parameters()) == counted - idle
