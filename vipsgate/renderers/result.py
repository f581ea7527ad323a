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
        render: Seconds from the first look at the file to the last byte.
        missing: Characters of its text that no font has.
        notes: What was not followed to the letter, but for what the text of the process says.
        probe: Seconds of ``render`` that reading the header took; 0 for a video.
        predicted: Seconds of ``queue``, as predicted when it began to wait.
        choice: The quality that was searched for; ``None`` where none was.
        master: The file for a master, where one was made and is wanted, to be closed likewise; -1
            else.
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
