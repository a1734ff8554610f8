import io
import multiprocessing
import os
import pickle
import shutil
import tarfile
import zipfile

import pytest

from clipseg_hf.data.rows import file_trees
from clipseg_hf.data.rows.file_trees import open_tree


@pytest.fixture
def directory(tmp_path):
    root = tmp_path / "data"
    (root / "images" / "part 2").mkdir(parents=True)
    (root / "notes.json").write_bytes(b"[1, 2]")
    (root / "images" / "1.jpg").write_bytes(b"one")
    (root / "images" / "part 2" / "2.jpg").write_bytes(b"two")
    return root


def pack(directory, kind):
    path = directory.parent / f"data.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(directory.rglob("*")):
                archive.write(file, file.relative_to(directory))
    elif kind != "directory":
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:
            for file in sorted(directory.iterdir()):
                archive.add(file, file.relative_to(directory))
    return directory if kind == "directory" else path


def pack_one(path, name, data):
    """An archive of one file, with whatever name."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, data)
    else:
        with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def content(image):
    if image["bytes"] is not None:
        return image["bytes"]
    with open(image["path"], "rb") as file:
        return file.read()


@pytest.mark.parametrize("kind", ["directory", "zip", "tar", "tar.gz"])
def test_every_kind_lists_and_reads_the_same_files(directory, tmp_path, kind):
    tree = open_tree(pack(directory, kind), tmp_path / "unpacked")

    assert tree.names == ("images/1.jpg", "images/part 2/2.jpg", "notes.json")
    assert content(tree.image("images/1.jpg")) == b"one"
    assert content(tree.image("images/part 2/2.jpg")) == b"two"
    assert tree.local_file("notes.json").read_bytes() == b"[1, 2]"
    assert not list(tmp_path.rglob("*.incomplete"))


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archives_give_bytes_and_unpack_only_what_is_asked_for(directory, tmp_path, kind):
    tree = open_tree(pack(directory, kind), tmp_path / "unpacked")

    assert tree.image("images/1.jpg") == {"path": "1.jpg", "bytes": b"one"}
    tree.local_file("notes.json")
    assert [file.name for file in (tmp_path / "unpacked").rglob("*") if file.is_file()] == ["notes.json"]


@pytest.mark.parametrize("kind", ["directory", "zip", "tar", "tar.gz"])
def test_the_fingerprint_notices_a_changed_file(directory, tmp_path, kind):
    before = open_tree(pack(directory, kind), tmp_path / "unpacked").fingerprint
    again = open_tree(pack(directory, kind), tmp_path / "unpacked").fingerprint
    (directory / "images" / "1.jpg").write_bytes(b"uno")
    os.utime(directory / "images" / "1.jpg", ns=(10**18, 10**18))
    after = open_tree(pack(directory, kind), tmp_path / "unpacked")

    assert before == again != after.fingerprint
    assert content(after.image("images/1.jpg")) == b"uno"


def test_an_interrupted_unpacking_does_not_count(directory, tmp_path):
    packed = pack(directory, "tar.gz")
    tree = open_tree(packed, tmp_path / "unpacked")
    shutil.move(tree.root, f"{tree.root}.{os.getpid()}.incomplete")
    (tree.root.with_name(f"{tree.root.name}.{os.getpid()}.incomplete") / "notes.json").write_bytes(b"[1")

    assert open_tree(packed, tmp_path / "unpacked").local_file("notes.json").read_bytes() == b"[1, 2]"


def test_links_are_followed_and_links_to_nowhere_are_no_files(directory, tmp_path):
    (directory / "VG_100K").symlink_to(directory / "images", target_is_directory=True)
    (directory / "gone.jpg").symlink_to(directory / "nothing.jpg")

    assert "VG_100K/1.jpg" in open_tree(directory, tmp_path).names
    assert "gone.jpg" not in open_tree(directory, tmp_path).names


def test_links_in_circles_pipes_and_devices_are_no_files(directory, tmp_path):
    before = open_tree(directory, tmp_path).names
    (directory / "images" / "up").symlink_to(directory, target_is_directory=True)
    (directory / "itself").symlink_to("itself")
    (directory / "zeros.jpg").symlink_to("/dev/zero")
    os.mkfifo(directory / "pipe.jpg")

    assert open_tree(directory, tmp_path).names == before
    with pytest.raises(ValueError, match=r"pipe\.jpg is a device or a pipe, expected a file\."):
        open_tree(directory / "pipe.jpg", tmp_path)


def test_folders_that_all_link_to_one_another_are_refused(tmp_path):
    for here in "abcdefgh":
        (tmp_path / here).mkdir()
        for there in "abcdefgh":
            (tmp_path / here / there).symlink_to(tmp_path / there, target_is_directory=True)
    with pytest.raises(ValueError, match=r"has more than 100 ways to .*: too many links\."):
        assert open_tree(tmp_path, tmp_path).names


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("zip", "images/../../1.jpg", r"data\.zip holds 'images/\.\./\.\./1\.jpg', which would lie outside of it"),
        ("tar", "../1.jpg", r"data\.tar holds '\.\./1\.jpg', which would lie outside of it: do not trust it"),
        ("tar", "/tmp/1.jpg", r"data\.tar holds '/tmp/1\.jpg', which would lie outside"),
        ("tar.gz", "../1.jpg", r"data\.tar\.gz cannot be read \(OutsideDestinationError: .* or not to be trusted\?"),
    ],
)
def test_an_archive_that_reaches_out_of_itself_is_refused(tmp_path, kind, name, message):
    path = pack_one(tmp_path / f"data.{kind}", name, b"one")
    with pytest.raises(ValueError, match=message):
        assert open_tree(path, tmp_path / "unpacked").names


def test_a_name_that_is_no_utf8_is_told(directory, tmp_path):
    (directory / os.fsdecode(b"\xff.jpg")).write_bytes(b"one")
    with pytest.raises(ValueError, match=r"data holds '\\udcff\.jpg', whose name is not in UTF-8: rename that file\."):
        assert open_tree(directory, tmp_path).names


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_file_that_unpacks_to_more_than_an_image_is_none(tmp_path, monkeypatch, kind):
    path = pack_one(tmp_path / f"data.{kind}", "1.jpg", bytes(100_000))
    assert len(open_tree(path, tmp_path).image("1.jpg")["bytes"]) == 100_000
    monkeypatch.setattr(file_trees, "LARGEST_IMAGE", 99_999)
    assert open_tree(path, tmp_path).image("1.jpg") == {"path": "1.jpg", "bytes": b""}


def test_damage_within_an_archive_is_told_where_it_is_met(directory, tmp_path):
    path = pack(directory, "zip")
    sound = path.read_bytes()
    start = sound.index(b"notes.json") + len("notes.json")
    path.write_bytes(sound[:start] + b"\xff" * 4 + sound[start + 4 :])  # what is packed
    tree = open_tree(path, tmp_path / "unpacked")
    assert tree.image("images/1.jpg")["bytes"] == b"one"
    assert tree.image("notes.json") == {"path": "notes.json", "bytes": b""}
    with pytest.raises(ValueError, match=r"data\.zip cannot be read \(.*\): is it damaged or cut off"):
        tree.local_file("notes.json")

    place = sound.rindex(b"notes.json") - 46 + 10  # the method of packing, in the table at the end
    path.write_bytes(sound[:place] + b"\x63\0" + sound[place + 2 :])
    with pytest.raises(ValueError, match=r"data\.zip cannot be read \(NotImplementedError: .*compression"):
        open_tree(path, tmp_path / "again").local_file("notes.json")

    path = pack(directory, "tar.gz")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"data\.tar\.gz cannot be read \(EOFError: "):
        open_tree(path, tmp_path / "unpacked")


def read_first(tree, queue):
    queue.put(tree.image("images/1.jpg")["bytes"])


def test_an_open_archive_can_be_sent_to_and_inherited_by_another_process(directory, tmp_path):
    tree = open_tree(pack(directory, "zip"), tmp_path)
    tree.image("images/part 2/2.jpg")

    assert pickle.loads(pickle.dumps(tree)).image("images/1.jpg")["bytes"] == b"one"
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=read_first, args=(tree, queue))
    process.start()
    assert queue.get(timeout=30) == b"one"
    process.join()


def test_a_missing_path_and_a_file_of_another_kind_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist; expected a directory, a \.zip or a \.tar"):
        open_tree(tmp_path / "nowhere", tmp_path)
    (tmp_path / "data.zip").write_bytes(b"PK, and then nothing")
    with pytest.raises(ValueError, match=r"data\.zip is neither a directory nor a zip or tar file that can be read"):
        open_tree(tmp_path / "data.zip", tmp_path)
