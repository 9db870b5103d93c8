"""Cases that are handed their input line by line, each line only when the one before was answered.

What a case is not handed yet is not in the sandbox: the lines stay with the caller, who sends the next one when the
supervisor passes on what the code printed for the last. So code that decides online can be held to it: nothing of what
is to come can be read, guessed from memory, or left behind by another case, for it is not there.

A case prints a line when it is ready for the first one, and one more for each that it got. Behind the last comes the
end of standard input.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

HEADER = struct.Struct(">Q")  # bytes that follow
MOST_BYTES = 4000  # of a line: what a pipe takes whole or not at all
_END = HEADER.pack(0)


def check_turns(turns: Sequence[Sequence[str]], num_cases: int) -> None:
    """Refuse what cannot be handed over.

    Raises:
        ValueError: There is not a list of lines for each case, or one is no line.
    """
    if len(turns) != num_cases:
        raise ValueError(f"turns has {len(turns)} lists for {num_cases} cases: expected one each.")
    for line in (line for lines in turns for line in lines):
        if not isinstance(line, str) or "\n" in line or len(line.encode()) > MOST_BYTES:
            raise ValueError(f"a turn is {line!r:.100}: expected one line of text, of {MOST_BYTES} bytes at most.")


def converse(
    records: Iterator[dict[str, Any]], send: Callable[[bytes], None], turns: Sequence[Sequence[str]]
) -> Iterator[dict[str, Any]]:
    """The caller's side: answer what cases print with their next line.

    Args:
        records: From the supervisor.
        send: Writes to it.
        turns: Lines of each case.

    Yields:
        All other records; those of cases with ``replies``, what the case printed.
    """
    replies: list[str] = []
    number = 0
    for record in records:
        if "reply" in record:
            replies.append(record["reply"])
            place = len(replies) - 1
            lines = turns[number] if number < len(turns) else ()
            line = lines[place].encode() + b"\n" if place < len(lines) else None
            send(_END if line is None else HEADER.pack(len(line)) + line)
        elif "stopped" in record:
            yield record | {"replies": replies}
            replies, number = [], number + 1
        else:
            yield record


class Handover:
    """The supervisor's side: standard output of a case, answered on its standard input.

    Args:
        pipe: What the case prints.
        to: Where its standard input is written; closed at the end.
        most: Bytes that a case may print.
        write_line: Writes a record to the caller.
        read_exactly: Reads so many bytes from the caller.
    """

    def __init__(
        self,
        pipe: int,
        to: int,
        most: int,
        write_line: Callable[[dict[str, Any]], None],
        read_exactly: Callable[[int], bytes],
    ) -> None:
        os.set_blocking(to, False)  # code that prints and never reads must not stop its supervisor
        self.pipe, self.data, self.num_bytes = pipe, bytearray(), 0
        self._to: int | None = to
        self._most, self._write_line, self._read_exactly = most, write_line, read_exactly
        self._is_ended = False
        self._waited = 0.0

    @property
    def is_over(self) -> bool:
        """Whether it printed too much."""
        return self.num_bytes > self._most

    def text(self) -> str:
        """What is left unanswered."""
        return self.data.decode("utf-8", "replace")

    def take(self) -> int:
        """Read what is there, and answer it; how much it was."""
        chunk = os.read(self.pipe, 1 << 16)
        self.num_bytes += len(chunk)
        self.data += chunk
        while not self.is_over and not self._is_ended and (end := self.data.find(b"\n")) >= 0:
            line = self.data[:end].decode("utf-8", "replace")
            del self.data[: end + 1]
            self._answer(line)
        return len(chunk)

    def take_waited(self) -> float:
        """Seconds that were spent waiting for the caller since this was last asked: not the code's."""
        waited, self._waited = self._waited, 0.0
        return waited

    def close(self) -> None:
        """Close the standard input of the case."""
        if self._to is not None:
            os.close(self._to)
            self._to = None

    def _answer(self, line: str) -> None:
        asked = time.monotonic()
        self._write_line({"reply": line})
        (size,) = HEADER.unpack(self._read_exactly(HEADER.size))  # one for each reply, or the pipe would be out of step
        turn = self._read_exactly(size)
        self._waited += time.monotonic() - asked
        if not size:
            self._is_ended = True
            self.close()
        elif self._to is not None:
            try:
                os.write(self._to, turn)
            except (BlockingIOError, BrokenPipeError):  # it does not read, or is gone
                self.close()
