"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, content: bytes, *, prefix: str, folder: Path | None = None, sync: bool = False) -> None:
    """Write a file that its owner alone may read. What was there before stays until the new content is complete.

    :param prefix: how the name of the unfinished file begins, which a process that is killed leaves behind
    :param folder: where the unfinished file is, on the same disk (default: where the file will be)
    :param sync: whether it is on the disk when this returns
    """
    handle, temporary = tempfile.mkstemp(dir=folder or path.parent, prefix=prefix)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            if sync:
                os.fsync(handle)
        Path(temporary).replace(path)
    except BaseException:
        # Ctrl-C may come when the file has its name already.
        Path(temporary).unlink(missing_ok=True)
        raise
