"""What a recipe from a stranger may try: each attack is one RecipeError, and nothing was imported, run or written.

The attacks run in a process of their own, with a module on its path that leaves a mark when it is imported, a token in
its environment, and an audit hook that sees every import, written file, socket and subprocess.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import backbonekit

TOKEN = "hf_MARKERMARKERMARKER"
HARNESS = """
import json, resource, socket, sys, time

from backbonekit.errors import RecipeError
from backbonekit.recipe.compose import compose_recipe
from backbonekit.recipe.guard import read_yaml
from backbonekit.recipe.validate import read_recipe_file, recipe_from_mapping
from backbonekit.registry.lookup import is_known

# What composing itself imports and opens, before anybody watches.
compose_recipe("maskformer_resnet50", ["backbone=swin_tiny"])
try:
    compose_recipe("maskformer_resnet50", ["x=("])
except RecipeError:
    pass
seen = []

EVENTS = ("socket.connect", "subprocess.Popen", "os.system", "os.exec", "os.mkdir", "shutil.copyfile", "os.remove")

def watch(event, arguments):
    if event in EVENTS:
        seen.append([event, repr(arguments)[:200]])
    elif event == "open" and any(flag in str(arguments[1]) for flag in "wax+"):
        seen.append([event, repr(arguments)[:200]])
    elif event == "import" and arguments[0].split(".")[0] in ("evilmod", "torch", "timm", "transformers"):
        seen.append([event, arguments[0]])

def attack(number, kind, content):
    since = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        if kind == "yaml":
            recipe_from_mapping(read_yaml(content))
        elif kind == "file":
            read_recipe_file(content)
        elif kind == "override":
            compose_recipe("maskformer_resnet50", [content])
        elif kind == "model":
            compose_recipe(content[0], [], config_dir=content[1])
        outcome = ["accepted", ""]
    except RecipeError as error:
        outcome = ["RecipeError", str(error)]
    except BaseException as error:
        outcome = [type(error).__name__, str(error)]
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024  # MiB
    return {"outcome": outcome, "seconds": time.perf_counter() - since, "grown": grown, "seen": list(seen)}

attacks = json.load(sys.stdin)
sys.addaudithook(watch)
results = []
for number, (kind, content) in enumerate(attacks):
    seen.clear()
    results.append(attack(number, kind, content))
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def playground(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("playground")
    (folder / "evilmod.py").write_text("open('canary', 'w').close()\ndef run(*a, **k): open('canary', 'w').close()\n")
    return folder


@pytest.fixture(scope="module")
def attack(playground):
    """Runs attacks, each (kind, content); checks what holds for all of them; returns the messages."""

    def attack(*attacks: tuple[str, object], seconds: float = 2.0) -> list[str]:
        before = {file for file in playground.rglob("*") if "__pycache__" not in file.parts}
        root = str(Path(backbonekit.__file__).parent.parent)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(playground), root]),
            "HF_TOKEN": TOKEN,
            "HOME": str(playground),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        done = subprocess.run(
            [sys.executable, "-c", HARNESS],
            input=json.dumps(attacks),
            cwd=playground,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert TOKEN not in done.stdout + done.stderr
        results = json.loads(done.stdout)
        for (kind, content), result in zip(attacks, results, strict=True):
            shown = f"{kind} {str(content)[:100]}: {result}"
            assert result["outcome"][0] == "RecipeError", shown
            assert result["seen"] == [], shown
            assert result["seconds"] < seconds, shown
            assert result["grown"] < 100, shown
        assert {file for file in playground.rglob("*") if "__pycache__" not in file.parts} == before
        return [result["outcome"][1] for result in results]

    return attack


def nested(path: list[str], value: object) -> dict:
    for step in reversed(path):
        value = {step: value}
    return value  # type: ignore[return-value]


CODE = (
    "_target_",
    "target",
    "class_path",
    "__class__",
    "_partial_",
    "custom_imports",
    "init_args",
    "auto_map",
    "_TARGET_",
)
TRUST = ("trust_remote_code", "weights_only", "allow_pickle")
ACCESS = ("endpoint", "HF_ENDPOINT", "token", "use_auth_token", "cache_dir", "proxies", "hydra")
PATHS = [
    [],
    ["backbone"],
    ["backbone", "args"],
    ["backbone", "config"],
    ["backbone", "config", "deep", "deeper"],
    ["neck"],
    ["head"],
    ["head", "criterion"],
    ["heads", "a", "head"],
    ["labels"],
    ["processing"],
    ["training", "freeze"],
]
BASE = {"backbone": {"name": "microsoft/resnet-50", "config": {"model_type": "resnet"}}}


def test_a1_code_by_name(attack):
    attacks = [("yaml", json.dumps({**BASE, **nested([*path, key], "evilmod.run")})) for path in PATHS for key in CODE]
    attacks += [("yaml", json.dumps({**BASE, "neck": [{"name": "fpn"}, {key: "evilmod.run"}]})) for key in CODE]
    for (_, content), message in zip(attacks, attack(*attacks), strict=True):
        assert "is refused: a recipe names registered parts" in message, content


@pytest.mark.parametrize("kind", ["neck", "head", "backbone"])
def test_a2_names_that_are_no_names(attack, kind):
    names = [
        "os.system",
        "evilmod:run",
        "../../x",
        "fpn\u0000",
        "f\u0440n",
        "\ufb01n",
        "x" * 100_000,
        "fpn ",
        "FPN",
        "__class__",
    ]
    key = "source" if kind == "backbone" else "name"
    attacks = [("yaml", json.dumps({**BASE, kind: {key: name}})) for name in names]
    for message in attack(*attacks):
        assert "there is no" in message or "NUL" in message
        assert len(message) < 2_000


def test_a3_arguments_that_name_code_or_paths(attack):
    arguments = {
        "norm_layer": "os.system",
        "act_layer": "evilmod:run",
        "pretrained_cfg": {"file": "/etc/passwd"},
        "pretrained_cfg_overlay": {"url": "http://127.0.0.1/x"},
        "checkpoint_path": "/etc/passwd",
        "cache_dir": "/tmp",
        "trust_remote_code": True,
        "weights_only": False,
        "file": "/etc/passwd",
        "hf_hub_id": "evil/x",
        "custom_load": "evilmod",
        "__init__": 1,
    }
    backbones = [{"name": "timm/resnet18", "args": {key: value}} for key, value in arguments.items()]
    backbones += [{"name": "timm/resnet18", "args": {"deep": [{"er": {"er": "evilmod.run"}}]}}]
    backbones += [{"name": name} for name in ("http://127.0.0.1/x", "file:///etc/passwd", "s3://a/b")]
    backbones += [{"source": "timm", "name": name} for name in ("hf-hub:evil/x", "local-dir:/etc", "a/b", "a b", "a:b")]
    attack(*(("yaml", json.dumps({"backbone": backbone})) for backbone in backbones))


def test_a4_hydra_blocks(attack, playground):
    blocks = [
        {"run": {"dir": str(playground / "made")}},
        {"callbacks": {"x": {"_target_": "evilmod.run"}}},
        {"job_logging": {"handlers": {"x": {"class": "evilmod.run"}}}},
        {"launcher": {"_target_": "evilmod.run"}},
        {"searchpath": ["pkg://evilmod"]},
        {"sweeper": {"_target_": "evilmod.run"}},
    ]
    configs = playground / "configs"
    (configs / "model").mkdir(parents=True, exist_ok=True)
    attacks = []
    for number, block in enumerate(blocks):
        (configs / "model" / f"x{number}.yaml").write_text(json.dumps({**BASE, "hydra": block}))
        attacks += [("yaml", json.dumps({**BASE, "hydra": block})), ("model", [f"x{number}", str(configs)])]
        attacks += [("model", [str(configs / "model" / f"x{number}.yaml"), None])]
    (configs / "model" / "listed.yaml").write_text(
        json.dumps({"defaults": [{"override hydra/launcher": "joblib"}], **BASE})
    )
    (configs / "model" / "packed.yaml").write_text("# @package hydra\ncallbacks: {x: {a: 1}}\n")
    attacks += [("model", ["listed", str(configs)]), ("model", ["packed", str(configs)])]
    attacks += [("override", f"hydra.run.dir={playground / 'made'}"), ("override", "hydra/launcher=basic")]
    attack(*attacks)


def test_a5_references_out_of_the_recipe(attack, playground):
    texts = [
        "${oc.env:HF_TOKEN}",
        "evil/${oc.env:HF_TOKEN}",
        "${hydra:runtime.cwd}",
        "${oc.decode:'1'}",
        "${head.x}",
        "${x:y}",
    ]
    attacks = [("yaml", json.dumps({"backbone": {"name": text}})) for text in texts]
    attacks += [("yaml", json.dumps({**BASE, text: 1})) for text in texts]
    configs = playground / "configs5"
    (configs / "model").mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(texts):
        (configs / "model" / f"x{number}.yaml").write_text(json.dumps({"backbone": {"name": text}}))
        (configs / "model" / f"y{number}.yaml").write_text(json.dumps({"defaults": [text], **BASE}))
        attacks += [("model", [f"x{number}", str(configs)]), ("model", [f"y{number}", str(configs)])]
        attacks.append(("override", f"backbone.name='{text}'"))
    attack(*attacks)


def test_a6_bombs(attack, playground):
    laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{new}: &{new} [{','.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    doubling = {"backbone": {"name": "x" * 100}, "labels": ["${backbone.name}" * 2]}
    configs = playground / "configs6"
    (configs / "model").mkdir(parents=True, exist_ok=True)
    (configs / "model" / "laughs.yaml").write_text(laughs)
    chain = {f"k{number}": f"${{k{number - 1}}}${{k{number - 1}}}" for number in range(1, 60)}
    (configs / "model" / "doubling.yaml").write_text(json.dumps({**BASE, "training": {"k0": "x" * 100, **chain}}))
    loop = {"backbone": {"name": "${backbone}"}}
    (configs / "model" / "loop.yaml").write_text(json.dumps(loop))
    (configs / "model" / "cycle.yaml").write_text("defaults: [cycle2]")
    (configs / "model" / "cycle2.yaml").write_text("defaults: [cycle]")
    texts = [
        laughs,
        json.dumps(doubling),
        "a: " + "[" * 100_000,
        "a: " + "{a: " * 50_000,
        "a: " + "x" * 10_000_000,
        "a: 1\na: 2",
        "!!python/object/apply:evilmod.run []",
        "a: !!python/name:evilmod.run",
        "a: !!python/module:evilmod",
        "a: &a [*a]",
        "a: \u0000",
        "a: [" + ",".join("1" * 30_000) + "]" * 1,
        "? " * 1_000,
        "- " * 10_000,
        "a: " + "9" * 100_000,
        "a: 1e999999999",
        "<<: {a: 1}",
        "a: |\n" + " x\n" * 200_000,
    ]
    names = ("laughs", "doubling", "loop", "cycle")
    attack(*(("yaml", text) for text in texts), *(("model", [name, str(configs)]) for name in names))


def test_a6_other_encodings(attack, playground):
    files = []
    for number, content in enumerate(
        ["a: 1".encode("utf-16"), "a: 1".encode("utf-32"), b"\xff\xfe\x00", b"\x00" * 1_000]
    ):
        file = playground / f"encoded{number}.yaml"
        file.write_bytes(content)
        files.append(("file", str(file)))
    attack(*files, ("file", "/dev/zero"), ("file", str(playground)), ("file", str(playground / "absent")))


def test_a7_files_outside(attack, playground):
    (playground / "secret.yaml").write_text("backbone: {name: timm/resnet18}\n")
    configs = playground / "configs7"
    (configs / "model").mkdir(parents=True, exist_ok=True)
    (configs / "model" / "link.yaml").symlink_to(playground / "secret.yaml")
    (configs / "model" / "neck").symlink_to(playground)
    lists = [
        "../../secret",
        "/secret",
        str(playground / "secret"),
        {"backbone": "../../secret"},
        "link",
        {"neck": "secret"},
    ]
    lists += [{"../backbone": "resnet50"}, {"/../secret": "x"}, "model/../../secret", {"neck@head": "../secret"}]
    attacks = []
    for number, item in enumerate(lists):
        (configs / "model" / f"x{number}.yaml").write_text(json.dumps({"defaults": [item], **BASE}))
        attacks.append(("model", [f"x{number}", str(configs)]))
    attacks += [
        ("model", [name, str(configs)]) for name in ("../secret", "link", "../../secret.yaml", "a/../../secret")
    ]
    attacks += [("override", f"{kind}=../secret") for kind in ("neck", "head")]
    attacks.append(("model", ["maskformer_resnet50", str(playground / "absent")]))
    attack(*attacks)


def test_a8_sizes_without_end(attack):
    recipes = [
        {**BASE, "head": {"name": "maskformer", "num_classes": 3, "num_layers": 10**6}},
        {**BASE, "head": {"name": "maskformer", "num_classes": 3, "num_queries": 1e12}},
        {**BASE, "head": {"name": "maskformer", "num_classes": 10**12}},
        {**BASE, "neck": {"name": "fpn", "channels": -1}},
        {**BASE, "neck": {"name": "fpn", "channels": 10**9}},
        {**BASE, "neck": {"name": "fpn", "num_extra_levels": 10**6}},
        {**BASE, "neck": {"name": "simple_feature_pyramid", "strides": [4] * 100_000}},
        {"backbone": {"config": {"model_type": "dinov2", "num_hidden_layers": 10**6}}},
        {"backbone": {"config": {"model_type": "dinov2", "hidden_size": 10**9}}},
        {"backbone": {"config": {"model_type": "resnet", "depths": [10**6] * 4}}},
        {"backbone": {"config": {"model_type": "resnet", "depths": [1] * 10_000}}},
        {"backbone": {"name": "timm/resnet18", "in_channels": 10**9}},
        {"backbone": {"name": "timm/resnet18", "args": {"depth": 10**12}}},
        {"backbone": {"name": "timm/resnet18", "args": {"depths": [1] * 10_000}}},
        {"backbone": {"name": "timm/resnet18", "out_indices": list(range(10_000))}},
        {**BASE, "processing": {"size": [10**6, 10**6]}},
        {**BASE, "processing": {"canvas": [10**6, 10**6]}},
        {**BASE, "processing": {"size_divisor": 10**9}},
        {**BASE, "heads": {f"t{number}": {"head": {"name": "fcn", "num_classes": 2}} for number in range(100)}},
    ]
    attack(*(("yaml", json.dumps(recipe)) for recipe in recipes))


def test_a16_trust_is_not_to_be_had_from_an_override(attack):
    attacks = [("override", f"{path}{key}=true") for path in ("", "backbone.args.") for key in (*TRUST, *ACCESS)]
    attacks += [("override", f"{prefix}model.backbone.trust_remote_code=true") for prefix in ("+", "++")]
    for (_, override), message in zip(attacks, attack(*attacks), strict=True):
        assert "is refused" in message, override


def test_a20_nothing_steers_the_terminal(attack):
    evil = "\u001b[2J\u001b]0;owned\u0007\u202e\r\n"
    attacks = [
        ("yaml", json.dumps({**BASE, evil: 1})),
        ("yaml", json.dumps({"backbone": {"name": evil}})),
        ("yaml", json.dumps({"backbone": {"source": evil, "name": "x"}})),
        ("yaml", json.dumps({"backbone": {"name": "timm/resnet18", "args": {evil: 1, "a": evil}}})),
        ("yaml", json.dumps({"backbone": {"config": {"model_type": "resnet", evil: 1}}})),
        ("yaml", json.dumps({**BASE, "neck": {"name": evil}})),
        ("yaml", json.dumps({**BASE, "neck": {"name": "fpn", evil: 1, "norm": evil}})),
        ("yaml", json.dumps({**BASE, "head": {"name": "fcn", "num_classes": evil, "criterion": {"name": evil}}})),
        ("yaml", json.dumps({**BASE, "heads": {evil: {evil: 1}}})),
        ("yaml", json.dumps({**BASE, "labels": [evil]})),
        ("yaml", json.dumps({**BASE, "labels": {"names": ["a"], "things": [evil], evil: 1}})),
        ("yaml", json.dumps({**BASE, "processing": {evil: 1, "interpolation": evil}})),
        ("yaml", json.dumps({**BASE, "training": {evil: 1, "freeze": {evil: 1}}})),
        ("yaml", json.dumps({**BASE, "adapt": evil, "schema_version": evil})),
        ("yaml", f"a: !{evil.strip()} 1"),
        ("yaml", json.dumps({evil: {"_target_": 1}})),
        ("override", f"neck={evil}"),
        ("override", f"{evil}=1"),
        ("override", f"backbone='{evil}'"),
        ("model", [evil, None]),
        ("model", ["maskformer_resnet50", evil]),
        ("model", [f"{evil}.yaml", None]),
        ("file", evil),
    ]
    for (_, content), message in zip(attacks, attack(*attacks), strict=True):
        lines = message.split("\n")
        assert all(line.isprintable() for line in lines), (content, message)
        assert not any("owned" in line and not line.isprintable() for line in lines)
