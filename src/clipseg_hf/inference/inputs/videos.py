"""Frames of a video, by PyAV."""

import os
import threading
from collections.abc import Iterator
from typing import Any

from PIL import Image

from clipseg_hf.processing.images import UnreadableImageError

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi")


class VideoFrames:
    """A video whose frames are asked for in order; one is in memory at a time. To go back starts it again.

    Raises:
        ImportError: PyAV is missing.
        UnreadableImageError: it is no video, or damaged.
    """

    def __init__(self, path: str | os.PathLike):
        try:
            import av
        except ImportError as error:
            raise ImportError(f"To read {path}, PyAV must be installed: pip install 'clipseg-hf[video]'.") from error
        self._av, self.path = av, path
        self._frames: Iterator[Any] = iter(())
        self._next, self._reading = 0, threading.Lock()
        self._length = self._count()

    def __len__(self) -> int:
        return self._length

    def _count(self) -> int:
        """By the packets, which need not be decoded; what a file says of itself is often wrong."""
        try:
            with self._av.open(os.fspath(self.path)) as container:
                return sum(1 for packet in container.demux(container.streams.video[0]) if packet.size)
        except (self._av.FFmpegError, IndexError) as error:
            raise UnreadableImageError(f"{self.path} is not a video that PyAV can read: {error}.") from error

    def read(self, number: int) -> Image.Image:
        """Frame `number`, counted from 0, turned as the video says."""
        with self._reading:
            if number < self._next or self._next == 0:
                self._frames, self._next = self._decode(), 0
            frame = None
            try:
                while self._next <= number:
                    frame = next(self._frames, None)
                    self._next += 1
            except self._av.FFmpegError as error:
                raise UnreadableImageError(f"{self.path}, frame {number}, is damaged: {error}.") from error
            if frame is None:
                raise UnreadableImageError(f"{self.path} ends before frame {number}.")
            # `rotation` is what turns it upright, counter-clockwise, as Pillow turns
            return frame.to_image().rotate(frame.rotation, expand=True)

    def _decode(self) -> Iterator[Any]:
        with self._av.open(os.fspath(self.path)) as container:
            yield from container.decode(video=0)
