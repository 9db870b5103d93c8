"""A report's files, each whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


def require_folder(folder: Path, otherwise: str = "") -> None:
    """Refuse a folder whose name a file has already.

    Args:
        folder: Need not be there.
        otherwise: What else would have done, for the message.

    Raises:
        FileExistsError: It is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{str(folder)!r} is a file: expected a folder{otherwise}. Choose another path.")


def write_files(files: Mapping[Path, str | bytes]) -> list[Path]:
    """Write files in their order, each whole; their folders are made if need be.

    Args:
        files: Path to content, made before this is called: what cannot be made leaves nothing behind.

    Returns:
        The paths.

    Raises:
        FileExistsError: A folder's name is a file's.
    """
    for folder in {path.parent for path in files}:
        require_folder(folder)
        folder.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        write_whole(path, content)
    return list(files)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write beside the target and rename: a reader sees the old file or the new one, never half of one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes files that only their owner can read
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
