"""The result of a job: the finished picture, and the measurements of its rendering."""

from __future__ import annotations

from typing import NamedTuple

from ..image.notes import Notes
from ..image.search import Choice
from ..worker import protocol


class Result(NamedTuple):
    """A finished picture, or a report about one.

    Attributes:
        mime: Content-Type.
        size: Size in bytes.
        descriptor: A memfd with the bytes, to be closed by the receiver of the result.
        queue: Seconds waited for a worker.
        render: Seconds from opening the source to the last byte.
        missing: Number of characters of its text that no font has.
        notes: Notes on what was changed or ignored, except those that the process text implies.
        probe: Seconds of ``render`` spent on the header; 0 for a video.
        predicted: The value of ``queue`` that was predicted when it began to wait.
        choice: The result of a search for a quality; ``None`` without one.
        master: A descriptor of the file with the master of the source, to be closed likewise; -1 if
            none was made or wanted.
    """

    mime: str
    size: int
    descriptor: int
    queue: float
    render: float
    missing: int
    notes: Notes = ()
    probe: float = 0.0
    predicted: float = 0.0
    choice: Choice | None = None
    master: int = -1

    @classmethod
    def of(cls, output: protocol.Output, queue: float, predicted: float) -> Result:
        """Make a result of a worker's output.

        Args:
            output: The output; its descriptors become those of the result.
            queue: Seconds that the job has waited for a worker.
            predicted: The value of ``queue`` that was predicted when it began to wait.
        """
        return cls(
            output.mime,
            output.size,
            output.descriptor,
            queue,
            output.seconds,
            output.missing,
            output.notes,
            output.probe,
            predicted,
            output.choice,
            output.master,
        )

    def close(self) -> None:
        """Close the descriptors."""
        protocol.close([self.descriptor] if self.master < 0 else [self.descriptor, self.master])

    def output(self) -> protocol.Output:
        """Return the result as a worker's output."""
        return protocol.Output(
            self.mime,
            self.size,
            self.descriptor,
            self.render,
            self.probe,
            self.missing,
            self.notes,
            self.choice,
            self.master,
        )
