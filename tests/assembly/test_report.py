"""The HTML report: one file that needs nothing else, of a model that was built, trained or measured."""

import base64
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from PIL import Image

from backbonekit.cli.verbs import run_verb
from backbonekit.visualization.html_page import Section, bullets, figure, html_page, html_table, paragraph, preformatted

VOID = {"meta", "img", "br", "link"}
HOSTILE = '<script>alert("1")</script> & "quoted" \x1b[31m'
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


class Page(HTMLParser):
    """Checks that tags are balanced, and collects what a page holds."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.titles: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open and self.open[-1] == "h2":
            self.titles.append(data)


def images_of(text):
    return [Image.open(io.BytesIO(base64.b64decode(one))) for one in re.findall(r'base64,([^"]+)"', text)]


def check_offline(text):
    """Nothing outside the page is named, and every image in it can be read."""
    page = Page(text)
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert not set(page.tags) & {"script", "iframe", "link", "object", "embed", "base", "form"}
    assert set(re.findall(r"https?://[^\"' ]+", text.split("<pre>")[0])) <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in text
    assert "url(" not in text
    for image in images_of(text):
        image.load()
    return page


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with a trained model and the reports of all three verbs."""
    folder = tmp_path_factory.mktemp("run")
    Image.linear_gradient("L").resize((90, 60)).convert("RGB").save(folder / "cat.jpg")
    data = ("data.train=8", "data.val=4", "trainer.max_epochs=2", "optimisation.batch_size=4")
    words = ("experiment=digits_detection", *data, f"save={folder / 'm'}", f"report={folder / 'train.html'}")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run_verb("train", words) == 0
        assert run_verb("build", ("recipe=m", "image=cat.jpg", "report=build.html")) == 0
        assert run_verb("evaluate", ("recipe=m", "report=evaluate.html", "format=json")) == 0
    return folder


@pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
@pytest.mark.parametrize(
    ("name", "titles", "images"),
    [
        ("build", ["Wiring", "Time", "Weights", "Prediction", "Features", "Recipe"], 2),
        ("train", ["Wiring", "Time", "Weights", "Scores", "Training", "Samples", "Features", "Recipe"], 6),
        ("evaluate", ["Wiring", "Time", "Weights", "Scores", "Samples", "Features", "Recipe"], 4),
    ],
)
def test_a_report_is_one_file_with_everything(run, name, titles, images):
    text = (run / f"{name}.html").read_text()
    page = check_offline(text)
    assert page.titles == titles
    assert len(images_of(text)) == images
    assert page.text.count("fpn") >= 4  # diagram, wiring, time, recipe
    assert "\n  name: fcos\n" in page.text  # the recipe
    assert text.count("<svg") == 1


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_a_browser_opens_it_without_a_complaint(run):
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    shown = subprocess.run([*command, (run / "train.html").as_uri()], capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0
    assert "CONSOLE" not in shown.stderr  # where errors of a page and refusals of its policy go
    assert Page(shown.stdout).titles == Page((run / "train.html").read_text()).titles


def test_text_of_others_stays_text():
    table = html_table((HOSTILE,), [(HOSTILE,)], right=(0,))
    blocks = (paragraph(HOSTILE), preformatted(HOSTILE), bullets([HOSTILE]), table)
    image = figure(Image.new("RGB", (4, 4)), HOSTILE)
    text = html_page(HOSTILE, HOSTILE, [Section(HOSTILE, (*blocks, image))])
    page = check_offline(text)
    assert "\x1b" not in text
    assert page.text.count('<script>alert("1")</script>') == 11  # one for each element that shows text


def test_another_suffix_is_refused_before_torch(capsys):
    for verb in ("build", "train", "evaluate"):
        assert run_verb(verb, ("model=unet_digits", "report=run.pdf")) == 2
        assert "report=run.pdf: must end in .html" in capsys.readouterr().err
