"""`clipseg-hf publish`, without a network and over HTTP."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
import transformers
from huggingface_hub import ModelCard, hf_hub_download, snapshot_download
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from clipseg_hf import CLIPSegForImageSegmentation, CLIPSegProcessor
from clipseg_hf.cli import app
from clipseg_hf.hub import PublishedMeanwhile, publish_checkpoint, publishing
from clipseg_hf.inference import Segmenter
from hub.conftest import LICENSES as KEYS
from hub.conftest import change_weights, make_trained
from hub.published_folder import endpoint


def run(*arguments):
    return CliRunner().invoke(app, ["publish", *map(str, arguments)], prog_name="clipseg-hf")


LICENSES = ("--license", "mit", "--data-license", "OFL-1.1")


def test_a_dry_run_writes_what_would_go_up(tmp_path):
    result = run("emoji-tiny", "me/tiny", *LICENSES, "--prompt", "dog", "--dry-run", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    names = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert result.stdout == f"{len(names)} files would go up to me/tiny: {', '.join(names)}.\n"
    assert "license: mit" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data-license", "x"), "Missing option '--license'"),
        (("--license", "mit"), "Missing option '--data-license'"),
        ((*LICENSES, "--dry-run"), "--dry-run and --output OUT go together: give both, or neither."),
        ((*LICENSES, "-o", "out"), "--dry-run and --output OUT go together: give both, or neither."),
        (LICENSES, "Publishing needs the network, but HF_HUB_OFFLINE is set: unset it, or look at a --dry-run."),
        (("--license", "My Own", "--data-license", "x"), "license is an identifier of the Hub's such as apache-2.0"),
    ],
)
def test_what_a_user_can_mend(arguments, message):
    result = run("emoji-tiny", "me/tiny", *arguments)
    assert result.exit_code == 2 and result.stdout == ""
    assert message in result.stderr


# over HTTP


@pytest.fixture
def mine(hub, tmp_path):
    """A checkpoint of one's own, and how it is published."""
    return make_trained(tmp_path / "run" / "final"), hub


def test_published_and_used_from_there(mine, tmp_path, monkeypatch, capfd):
    """What arrives is what was sent, and the code on the card runs."""
    folder, hub = mine
    upload = publish_checkpoint(folder, "me/bolts", **KEYS, prompts=["rusty bolt"])
    for cls in (CLIPSegForImageSegmentation, transformers.CLIPSegForImageSegmentation):
        assert _same(cls.from_pretrained("me/bolts", revision=upload.commit), folder)
    card = ModelCard.load("me/bolts").text
    blocks = re.findall(r"^```python\n(.*?)^```$", card, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    monkeypatch.chdir(tmp_path)
    (curl,) = re.findall(r"^\$ (curl .*\\\n.*)$", card, re.MULTILINE)
    shutil.copy(hf_hub_download("me/bolts", "samples/1.jpg"), "picture.jpg")
    with endpoint(Path(snapshot_download("me/bolts")), tmp_path) as url:
        for block in blocks:
            exec(compile(block.replace("https://ENDPOINT", url), "README.md", "exec"), {})
        answer = subprocess.run(curl.replace("https://ENDPOINT", url), shell=True, check=True, capture_output=True)
    assert json.loads(answer.stdout)[0]["label"] == "dog"
    assert (tmp_path / "found.png").is_file() and (tmp_path / "bolts-decoder" / "decoder.safetensors").is_file()
    assert _same(CLIPSegForImageSegmentation.from_pretrained(tmp_path / "bolts-decoder"), folder)
    said = capfd.readouterr()
    assert "are at" in said.out and "hf_secret" not in said.out + said.err
    everything = b"".join(hub.objects.values())
    assert b"hf_secret" not in everything and str(tmp_path).encode() not in everything


def test_what_a_dry_run_writes_is_what_goes_up(mine, tmp_path):
    folder, hub = mine
    publish_checkpoint(folder, "me/bolts", **KEYS)
    hub.asked.clear()
    publish_checkpoint(folder, "me/bolts", **KEYS, dry_run_to=tmp_path / "dry")
    assert not hub.asked
    written = {p.relative_to(tmp_path / "dry").as_posix(): p.read_bytes() for p in (tmp_path / "dry").rglob("*.*")}
    assert {name: written[name] for name in hub.files("me/bolts")} == hub.files("me/bolts")


def test_a_decoder_names_its_base_by_id_and_commit(mine, tmp_path):
    folder, hub = mine
    base = publish_checkpoint(folder, "me/start", **KEYS)
    change_weights(folder)
    options = {"decoder_only": True, "base_model": "me/start"}
    publish_checkpoint(folder, "me/bolts", **KEYS, **options)
    files = hub.files("me/bolts")
    assert "model.safetensors" not in files and len(files["decoder.safetensors"]) < len(
        hub.files("me/start")["model.safetensors"]
    )
    config = json.loads(files["config.json"])
    assert (config["base_model_name_or_path"], config["base_model_revision"]) == ("me/start", base.commit)
    assert _same(CLIPSegForImageSegmentation.from_pretrained("me/bolts"), folder)
    card = ModelCard.load("me/bolts")
    assert (card.data.base_model, card.data.library_name) == ("me/start", "clipseg-hf")
    publish_checkpoint(folder, "me/bolts", **KEYS)  # whole after all: no weights of the other kind are left
    assert "decoder.safetensors" not in hub.files("me/bolts")


def test_another_base_is_found_out(mine):
    folder, hub = mine
    publish_checkpoint(folder, "me/start", **KEYS)
    weights = load_file(folder / "model.safetensors")
    weights["clip.logit_scale"] += 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="has the right shape but other weights than the CLIP that this decoder was"):
        publish_checkpoint(folder, "me/bolts", **KEYS, decoder_only=True, base_model="me/start")
    assert hub.files("me/bolts") == {}


def test_a_model_in_hand(mine):
    folder, hub = mine
    model, processor = (cls.from_pretrained(folder) for cls in (CLIPSegForImageSegmentation, CLIPSegProcessor))
    publish_checkpoint((model, processor), "me/bolts", **KEYS)
    assert _same(CLIPSegForImageSegmentation.from_pretrained("me/bolts"), folder)
    assert "recipe.yaml" not in hub.files("me/bolts")
    assert getattr(model.config, "custom_pipelines", None) is None  # it is as it was


def test_transformers_own_upload_is_as_ever(mine):
    """Bare files, without a card: what code that is written for stock's classes expects of the same method."""
    folder, hub = mine
    for cls in (CLIPSegForImageSegmentation, CLIPSegProcessor):
        cls.from_pretrained(folder).push_to_hub("me/bare", private=True)
    assert hub.repositories["models", "me/bare"].private
    assert _same(CLIPSegForImageSegmentation.from_pretrained("me/bare"), folder)
    assert CLIPSegProcessor.from_pretrained("me/bare").mask_thresholds["text"] == 0.5
    assert not [name for name in hub.files("me/bare") if name.endswith((".bin", ".pt", ".pkl"))]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_graphs_for_those_without_torch_go_up_too(mine, tmp_path):
    folder, hub = mine
    publish_checkpoint(folder, "me/bolts", **KEYS, onnx=True)
    names = set(hub.files("me/bolts"))
    assert {
        "onnx/model.onnx",
        "onnx/decoder_fp16.onnx",
        "onnx/model_quantized.onnx",
        "preprocessor_config.json",
    } <= names
    assert _same(CLIPSegForImageSegmentation.from_pretrained("me/bolts"), folder)
    card = ModelCard.load("me/bolts")
    assert "transformers.js" in card.data.tags and '| float16 | "fp16" |' in card.text and "| int8 |" in card.text
    picture = hf_hub_download("me/bolts", "samples/1.jpg")
    names = {}
    (block,) = [block for block in re.findall(r"^```python\n(.*?)^```$", card.text, re.M | re.S) if "onnx" in block]
    exec(compile(block, "README.md", "exec"), names)
    found, expected = (ask(picture, ["dog"])[0] for ask in (names["segmenter"], Segmenter.from_pretrained("me/bolts")))
    assert (found.masks != expected.masks).mean() < 1e-3
    publish_checkpoint(folder, "me/bolts", **KEYS)
    assert not [name for name in hub.files("me/bolts") if name.startswith("onnx/")]


def test_the_first_of_two_is_kept(mine, monkeypatch):
    """The other began before the first was done."""
    folder, hub = mine
    staged = publishing.stage_checkpoint

    def meanwhile(checkpoint, release, place):
        monkeypatch.setattr(publishing, "stage_checkpoint", staged)
        publish_checkpoint(folder, "me/bolts", **KEYS, limits="The first.")
        return staged(checkpoint, release, place)

    monkeypatch.setattr(publishing, "stage_checkpoint", meanwhile)
    with pytest.raises(PublishedMeanwhile, match="the same command again replaces it"):
        publish_checkpoint(folder, "me/bolts", **KEYS, limits="The second.")
    assert "The first." in hub.files("me/bolts")["README.md"].decode()
    publish_checkpoint(folder, "me/bolts", **KEYS, limits="The second.")
    assert "The second." in hub.files("me/bolts")["README.md"].decode()


def test_the_command(mine):
    folder, hub = mine
    result = run(folder, "me/bolts", *LICENSES, "--private", "--revision", "v1")
    assert result.exit_code == 0, result.output
    commit = hub.repositories["models", "me/bolts"].refs["v1"]
    assert (
        result.stdout == f"{len(hub.files('me/bolts', 'v1'))} files are at {hub.url}/me/bolts (commit {commit[:7]}).\n"
    )
    assert hub.repositories["models", "me/bolts"].private and hub.files("me/bolts") == {}
    result = run(folder, "other/bolts", *LICENSES)
    assert result.exit_code == 2 and result.stderr.startswith("error: ") and "403" in result.stderr
    assert "hf_secret" not in result.output


def test_pushed_bare_it_keeps_the_card(mine):
    """`push_to_hub` of transformers sends weights alone, and changes nothing else that is there."""
    folder, hub = mine
    publish_checkpoint(folder, "me/bolts", **KEYS)
    card = hub.files("me/bolts")["README.md"]
    model, processor = (cls.from_pretrained(folder) for cls in (CLIPSegForImageSegmentation, CLIPSegProcessor))
    model.push_to_hub("me/bolts")
    processor.push_to_hub("me/bolts")
    assert hub.files("me/bolts")["README.md"] == card
    model.push_to_hub("me/bare")
    assert set(hub.files("me/bare")) == {"README.md", "config.json", "model.safetensors"}


def _same(model, folder) -> bool:
    expected = load_file(folder / "model.safetensors")
    found = model.state_dict()
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)
