"""One folder, one commit, over HTTP: what happens when all goes well, and when it does not."""

import threading
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from clipseg_hf.hub import PublishedMeanwhile, uploading
from clipseg_hf.hub.uploading import open_place, upload_folder

REPO = "me/bolts"
CONTENT = {"README.md": b"---\nlicense: mit\n---\n# bolts\n", "config.json": b"{}", "samples/1.jpg": b"\xff" * 2000}
CONTENT["model.safetensors"] = bytes(range(256)) * 1000


@pytest.fixture(autouse=True)
def _quickly(monkeypatch):
    monkeypatch.setattr(uploading, "WAITS", (0.01, 0.01, 0.01))


@pytest.fixture
def folder(tmp_path) -> Path:
    return write(tmp_path / "out")


def write(folder: Path, **changes: bytes) -> Path:
    for name, content in {**CONTENT, **changes}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def commits(hub, kind: str = "models", repo: str = REPO) -> list[str]:
    return list(hub.repositories[kind, repo].messages.values())[1:]


def test_all_of_it_by_one_commit(hub, folder):
    upload = upload_folder(folder, open_place(REPO), "Publish")
    assert hub.files(REPO) == CONTENT
    assert commits(hub) == ["Publish"]
    assert upload.url == f"{hub.url}/{REPO}" and upload.files == sorted(CONTENT)
    assert upload.commit == hub.repositories["models", REPO].refs["main"]
    assert hub.asked[-1].startswith(f"POST /api/models/{REPO}/paths-info/")  # what arrived is looked at last


def test_the_same_again_sends_nothing_anew(hub, folder):
    first = upload_folder(folder, open_place(REPO), "Publish")
    hub.asked.clear()
    second = upload_folder(folder, open_place(REPO), "Publish")
    assert second.commit == first.commit and commits(hub) == ["Publish"]
    assert not [line for line in hub.asked if line.startswith("PUT") or "/commit/" in line]


def test_what_an_earlier_one_left_goes_and_what_others_added_stays(hub, folder, tmp_path):
    write(tmp_path / "before", **{"decoder.safetensors": b"old", "samples/2.jpg": b"old", "notes.md": b"by hand"})
    upload_folder(tmp_path / "before", open_place(REPO), "Publish")
    upload_folder(folder, open_place(REPO), "Publish again", replaced=("decoder.safetensors", "samples/*"))
    assert hub.files(REPO) == {**CONTENT, "notes.md": b"by hand"}
    assert commits(hub) == ["Publish", "Publish again"]


def test_a_branch_is_made(hub, folder):
    upload_folder(folder, open_place(REPO, revision="v1"), "Publish")
    assert hub.files(REPO, "v1") == CONTENT and hub.files(REPO) == {}
    assert hf_hub_download(REPO, "config.json", revision="v1")
    upload_folder(write(folder, **{"config.json": b"[]"}), open_place(REPO, revision="v1"), "Publish again")
    assert hub.files(REPO, "v1")["config.json"] == b"[]"


def test_a_pull_request_to_what_belongs_to_another(hub, folder, monkeypatch):
    upload_folder(folder, open_place(REPO), "Publish")
    monkeypatch.setenv("HF_TOKEN", "hf_secretOfOther")
    with pytest.raises(HfHubHTTPError, match="403"):
        upload_folder(write(folder, **{"config.json": b"[]"}), open_place(REPO), "Publish")
    upload = upload_folder(folder, open_place(REPO, create_pr=True), "Publish")
    assert upload.url == f"{hub.url}/{REPO}/discussions/1"
    assert hub.files(REPO, "refs/pr/1")["config.json"] == b"[]" and hub.files(REPO)["config.json"] == b"{}"


def test_a_private_one_is_not_there_for_others(hub, folder, monkeypatch):
    upload_folder(folder, open_place(REPO, private=True), "Publish")
    assert HfApi().model_info(REPO).private
    for token in ("", "hf_secretOfOther"):
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(RepositoryNotFoundError):
            hf_hub_download(REPO, "config.json")


def test_what_is_to_be_private_does_not_go_where_all_can_see_it(hub):
    open_place(REPO)
    with pytest.raises(ValueError, match="me/bolts is there already, and public: what goes into it is seen by all"):
        open_place(REPO, private=True)


def test_without_a_token_or_a_network(hub, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ValueError, match="Publishing needs a token of the Hub, and there is none: `hf auth login`"):
        open_place(REPO)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="Publishing needs the network, but HF_HUB_OFFLINE is set"):
        open_place(REPO)
    with pytest.raises(ValueError, match="A repository on the Hub is called account/name"):
        open_place("bolts")
    assert hub.asked == []


def test_a_place_that_belongs_to_another(hub):
    with pytest.raises(HfHubHTTPError, match="403"):
        open_place("other/bolts")


def test_a_card_that_the_hub_refuses(hub, folder):
    write(folder, **{"README.md": b"---\nlicense: [mit\n---\n"})
    with pytest.raises(ValueError, match=r"Invalid metadata in README\.md"):
        upload_folder(folder, open_place(REPO), "Publish")
    assert hub.files(REPO) == {} and not [line for line in hub.asked if line.startswith("PUT")]


# what goes wrong

STEPS = {
    "create": ("POST", "/repos/create"),
    "info": ("GET", f"/api/models/{REPO}$"),
    "tree": ("GET", "/tree/"),
    "validate": ("POST", "/validate-yaml"),
    "preupload": ("POST", "/preupload/"),
    "batch": ("POST", "/objects/batch"),
    "large file": ("PUT", "/lfs/"),
    "commit": ("POST", "/commit/"),
    "hashes": ("POST", "/paths-info/"),
}


@pytest.fixture
def impatient(monkeypatch):
    """The client waits seconds before it asks again on its own."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)


@pytest.mark.parametrize("how", [{"status": 500}, {"status": 503}, {"cut": "before"}, {"cut": "after"}], ids=str)
@pytest.mark.parametrize("step", STEPS)
def test_a_hub_that_fails_once(hub, folder, impatient, step, how):
    hub.fail(*STEPS[step], **how)
    upload_folder(folder, open_place(REPO), "Publish")
    assert hub.files(REPO) == CONTENT
    assert commits(hub) == ["Publish"]  # also where only the answer was lost
    assert not any(failure.times for failure in hub.failures)


@pytest.mark.parametrize("step", ["large file", "commit"])
def test_a_busy_hub_says_how_long_to_wait(hub, folder, monkeypatch, step):
    waited = []
    monkeypatch.setattr("time.sleep", waited.append)
    hub.fail(*STEPS[step], status=429, headers={"Retry-After": "7"})
    upload_folder(folder, open_place(REPO), "Publish")
    assert max(waited) in (7, 8) and hub.files(REPO) == CONTENT  # the client itself adds a second


@pytest.mark.parametrize("step", ["preupload", "large file", "commit"])
def test_a_hub_that_keeps_failing_leaves_nothing_half_done(hub, folder, impatient, step):
    hub.fail(*STEPS[step], status=500, times=50)
    with pytest.raises(ConnectionError, match=r"fails, also when asked again \(.*500.*\)\. Nothing was published; the"):
        upload_folder(folder, open_place(REPO), "Publish")
    assert hub.files(REPO) == {}
    sent = sum(line.startswith("PUT") for line in hub.asked)
    hub.failures.clear()
    upload_folder(folder, open_place(REPO), "Publish")  # the same again
    assert hub.files(REPO) == CONTENT and commits(hub) == ["Publish"]
    if step == "commit":  # the large files were there
        assert sum(line.startswith("PUT") for line in hub.asked) == sent


def test_a_commit_that_the_hub_refuses_is_not_tried_again(hub, folder, impatient):
    hub.fail("POST", "/commit/", status=403)
    with pytest.raises(HfHubHTTPError, match="403"):
        upload_folder(folder, open_place(REPO), "Publish")
    assert sum("/commit/" in line for line in hub.asked) == 1 and hub.files(REPO) == {}


def test_two_at_once(hub, tmp_path):
    """Both begin, one is first."""
    folders = [write(tmp_path / name, **{"config.json": name.encode()}) for name in ("one", "two")]
    places = [open_place(REPO) for _ in folders]
    ends, barrier = {}, threading.Barrier(2)

    def publish(number: int) -> None:
        barrier.wait()
        try:
            ends[number] = upload_folder(folders[number], places[number], f"Publish {number}")
        except ValueError as error:
            ends[number] = error

    threads = [threading.Thread(target=publish, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [n for n, end in ends.items() if not isinstance(end, ValueError)]
    told = ends[1 - winner]
    assert isinstance(told, PublishedMeanwhile)
    assert "Somebody has published to me/bolts (main) since this began" in str(told) and "Nothing was changed" in str(
        told
    )
    assert commits(hub) == [f"Publish {winner}"] and hub.files(REPO)["config.json"] == folders[winner].name.encode()


def test_what_arrived_otherwise_is_told(hub, folder, monkeypatch):
    real = hub.put
    monkeypatch.setattr(hub, "put", lambda content: real(b"[]" if content == b"{}" else content))
    with pytest.raises(ValueError, match=r"me/bolts at \w{7} does not hold what was sent: config\.json differ"):
        upload_folder(folder, open_place(REPO), "Publish")


def test_a_broken_download_goes_on(hub, folder, impatient, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    upload_folder(folder, open_place(REPO), "Publish")
    hub.fail("GET", "/lfs/", cut=100_000)
    path = hf_hub_download(REPO, "model.safetensors")
    assert Path(path).read_bytes() == CONTENT["model.safetensors"]
    assert hub.ranges == ["bytes=100000-"]
