"""Finds the picture at a moment of a video, starting from the key frame before it.

A seek leads to an entry of the container's index, which may be several key frames too early, or one
too late, as many indexes have decoding times only. So packets are read from there without being
decoded. At each key frame up to the moment, the packets before it are dropped. The remaining ones
are decoded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from ...errors import BadRequest, ImageDamage, ImageTooLarge, ServiceUnavailable
from ..config import Limits

BACKOFF = 4  # factor by which to seek further back, from a second on, if nothing was found
M_FAST = "m_fast takes the key frame itself."


class OpenVideo:
    """An open video.

    Args:
        container: PyAV's container; all streams but ``stream`` are discarded.
        stream: Its video stream.
        limits: The limits, of which ``video_frames`` and ``render_bytes`` are used.
        stopped: Returns whether the job was cancelled.

    Attributes:
        decoded: Number of pictures that have been decoded.

    Raises:
        ImageDamage: The stream has no time base.
    """

    def __init__(
        self, container: Any, stream: Any, limits: Limits, stopped: Callable[[], bool]
    ) -> None:
        from av import FFmpegError

        if not stream.time_base:
            raise ImageDamage("The image file may be damaged. The video has no time base.")
        self._container, self._stream, self._faults = container, stream, FFmpegError
        self._limits, self._stopped = limits, stopped
        self._start = stream.start_time or 0
        self.decoded = 0
        self._taken = 0

    def picture_at(self, t: int, *, fast: bool) -> Any:
        """Return the last picture at or before a moment, else the first; ``None`` if there is none.

        Args:
            t: The moment, in milliseconds after the first picture.
            fast: Return the last key frame at or before the moment instead.

        Raises:
            BadRequest: The key frame before the moment is more than ``video_frames`` away.
            ImageTooLarge: It is more than a quarter of ``render_bytes`` away.
            ServiceUnavailable: The job was cancelled.
        """
        target = self._start + self._ticks(t)
        at, key, back = target, target, max(1, self._ticks(1000))
        while True:
            self._seek(at)
            packets = self._packets(target, key, first=at <= self._start, fast=fast)
            before, earliest = self._decode(packets, target)
            if before is not None or max(at, key) <= self._start:
                return earliest if before is None else before
            if at <= self._start:
                key, fast = self._start, False
            elif packets:  # the first packet did not give a complete picture
                key = min(key, _time(packets[0], key) - 1)
            at, back = max(self._start, min(at, key) - back), BACKOFF * back

    def milliseconds(self, frame: Any) -> float:
        """Return when a picture is shown, in milliseconds after the first one."""
        ticks = self._start if frame.pts is None else frame.pts
        return float((ticks - self._start) * self._stream.time_base * 1000)

    def _ticks(self, milliseconds: int) -> int:
        clock = self._stream.time_base
        return int(milliseconds * clock.denominator // (1000 * clock.numerator))

    def _seek(self, at: int) -> None:
        with contextlib.suppress(self._faults):  # if it fails, packets are read from here on
            self._container.seek(at, stream=self._stream)
        self._stream.codec_context.flush_buffers()

    def _packets(self, target: int, key: int, *, first: bool, fast: bool) -> list[Any]:
        """Return the packets from the last key frame at or before ``key`` up to ``target``.

        Args:
            target: When the picture is shown, in units of the stream's time base.
            key: Latest time of the key frame, likewise.
            first: Nothing is before this position, so packets before a key frame are taken, too.
            fast: Return the key frame only.
        """
        held: list[Any] = []
        size = 0
        for packet in self._container.demux(self._stream):
            if self._stopped():
                raise ServiceUnavailable("The work was stopped.")
            if not packet.size:  # the end of the stream
                continue
            late = _time(packet, key) > key
            if packet.is_keyframe and late and not held and not first:
                break
            if packet.is_keyframe and not late:
                held, size = [], 0
            if not (held or packet.is_keyframe or first):
                continue
            if held and packet.dts is not None and packet.dts > target:
                break
            if fast and held:
                continue
            held.append(packet)
            size += packet.size
            self._check(len(held), size)
        self._taken += len(held)
        return held

    def _check(self, count: int, size: int) -> None:
        most, room = self._limits.video_frames, self._limits.render_bytes // 4
        if self._taken + count > most:
            raise BadRequest(
                f"The key frame before this moment is more than {most} pictures away; {M_FAST}"
            )
        if size > room:
            raise ImageTooLarge(
                f"The key frame before this moment is more than {room} bytes away; {M_FAST}"
            )

    def _decode(self, packets: list[Any], target: int) -> tuple[Any, Any]:
        """Return the last picture at or before ``target``, and the first one; ``None`` for none."""
        before = earliest = None
        context = self._stream.codec_context
        for packet in [*packets, None] if packets else []:  # None: return the buffered pictures
            if self._stopped():
                raise ServiceUnavailable("The work was stopped.")
            try:
                frames = context.decode(packet)
            except MemoryError:
                raise
            except self._faults:  # a damaged packet is skipped, as players do
                continue
            for frame in frames:
                self.decoded += 1
                earliest = earliest or frame
                if frame.pts is not None and frame.pts > target:
                    return before, earliest
                before = frame
        return before, earliest


def _time(packet: Any, unsaid: int) -> int:
    times = (time for time in (packet.pts, packet.dts) if time is not None)
    return int(next(times, unsaid))
