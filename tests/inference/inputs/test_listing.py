"""Pictures out of folders, patterns, archives and videos: in order, by steady names, each read in its turn."""

import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from clipseg_hf.inference.inputs.listing import list_pictures
from clipseg_hf.inference.inputs.videos import VideoFrames
from clipseg_hf.processing import load_image
from clipseg_hf.processing.images import UnreadableImageError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Pictures of one colour each, their number."""
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for number, name in enumerate(("b.png", "a.jpg", "more/c.png")):
        Image.new("RGB", (20, 10), (number, 0, 0)).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "text.txt").write_text("no image")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _names(*given, **options):
    return [picture.name for picture in list_pictures(given, **options)]


def test_files_folders_patterns_and_urls_in_the_order_given(folder):
    url = "https://example.org/*.jpg"
    assert _names("photos/b.png", "photos", url) == ["photos/b.png", "photos/a.jpg", "photos/b.png", url]
    assert _names("photos/*") == ["photos/a.jpg", "photos/b.png"]
    assert _names("photos/**/*.png") == ["photos/b.png", "photos/more/c.png"]
    Image.new("RGB", (4, 4)).save("[1].png")
    assert _names("[1].png") == ["[1].png"]  # a name, though it looks like a pattern


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_archives(folder, suffix):
    path = f"photos{suffix}"
    with (zipfile.ZipFile if suffix == ".zip" else tarfile.open)(path, "w") as archive:
        add = archive.write if suffix == ".zip" else archive.add
        for name in ("text.txt", "b.png", "more/c.png"):
            add(f"photos/{name}", name)
        add("photos/b.png", "__MACOSX/._b.png")
    pictures = list(list_pictures([path]))
    assert [picture.name for picture in pictures] == [f"{path}/b.png", f"{path}/more/c.png"]
    assert [load_image(picture.open()).getpixel((0, 0)) for picture in pictures] == [(0, 0, 0), (2, 0, 0)]


def test_errors(folder):
    for given, error, message in (
        (["none.jpg", "nor.jpg"], FileNotFoundError, r"There is no image none\.jpg and 1 more\."),
        (["photos/*.gif"], FileNotFoundError, r"No image matches photos/\*\.gif\."),
        (["cut.zip"], ValueError, r"cut\.zip is neither a directory nor a zip or tar file that can be read"),
        (["a.tar.gz"], ValueError, r"a\.tar\.gz is compressed as a whole, .* one by one: unpack it first\."),
        (["empty.zip"], ValueError, r"The archive empty\.zip holds no images \(\.jpg"),
    ):
        (folder / "cut.zip").write_bytes(b"PK")
        (folder / "a.tar.gz").touch()
        zipfile.ZipFile("empty.zip", "w").close()
        with pytest.raises(error, match=message):
            _names(*given)
    with pytest.raises(ValueError, match="photos is to be read and written; name another folder"):
        _names("photos", output_dir=folder / "photos")


@pytest.fixture
def video(tmp_path):
    """Ten frames of 64 x 48, each brighter than the one before."""
    av = pytest.importorskip("av")
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(10):
            pixels = np.full((48, 64, 3), 25 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode())
    return path


def test_frames_of_a_video(video):
    pictures = list(list_pictures([str(video)], every=4))
    assert [picture.name for picture in pictures] == [f"{video}/clip-{number:06}" for number in (0, 4, 8)]
    levels = [np.asarray(picture.open()).mean() for picture in pictures]
    np.testing.assert_allclose(levels, [0, 100, 200], atol=3)
    assert np.asarray(pictures[1].open()).mean() == levels[1]  # back again
    assert pictures[0].open().size == (64, 48)


def test_a_phones_video_stands_upright(video):
    content, turned = video.read_bytes(), np.array([0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30], ">i4").tobytes()
    upright = np.array([1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30], ">i4").tobytes()
    track = content.index(b"tkhd")
    place = content.index(upright, track)
    video.write_bytes(content[:place] + turned + content[place + len(turned) :])
    assert VideoFrames(video).read(3).size == (48, 64)


def test_videos_that_cannot_be_read(video, monkeypatch):
    with pytest.raises(UnreadableImageError, match=r"clip\.mp4 ends before frame 10\."):
        VideoFrames(video).read(10)
    video.write_bytes(b"no video")
    with pytest.raises(UnreadableImageError, match=r"clip\.mp4 is not a video that PyAV can read: "):
        VideoFrames(video)
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(
        ImportError, match=r"To read .*clip\.mp4, PyAV must be installed: pip install 'clipseg-hf\[video\]'"
    ):
        VideoFrames(video)
