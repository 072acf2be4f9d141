"""`.npy` files, read without ever unpickling: header first, then exactly the bytes that the header promises."""

from __future__ import annotations

import io
import mmap
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from jewelenh.errors import PairsError

Array: TypeAlias = npt.NDArray[Any]
_HEAD_BYTES = 1 << 14
"""More than the longest header that NumPy accepts without being told to trust it (10,000 characters)."""
_PARSING = threading.Lock()
"""NumPy parses a header as a Python literal. Where two threads do that at once, CPython 3.11 up to .7 at times fails
with a SystemError (python/cpython#106905)."""


@dataclass(frozen=True)
class Header:
    """What a `.npy` file says about itself, and where its values begin."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    """Column-major: the values lie in the opposite order."""
    offset: int

    @property
    def n_bytes(self) -> int:
        """Return the size of the values, without the header."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def read_header(path: Path) -> Header:
    """Read a header and hold the file's size against it.

    Raises:
        PairsError: missing, not a `.npy` file, Python objects (unpickling runs code), truncated or too long.
    """
    try:
        with path.open("rb") as file:
            head = io.BytesIO(file.read(_HEAD_BYTES))
            found = file.seek(0, io.SEEK_END)
        version = np.lib.format.read_magic(head)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        with _PARSING:
            shape, fortran, dtype = read(head)
        header = Header(shape, dtype, fortran, head.tell())
    except FileNotFoundError as error:
        raise PairsError("The file is missing.", where=path) from error
    except (OSError, ValueError, KeyError) as error:
        raise PairsError("This is not a readable .npy file.", where=path, found=error) from error
    if header.dtype.hasobject:
        raise PairsError("The file holds Python objects, which are never unpickled.", where=path, found=dtype)
    if found != header.offset + header.n_bytes:
        kind = "truncated" if found < header.offset + header.n_bytes else "longer than its header says"
        raise PairsError(
            f"The file is {kind}.", where=path, expected=f"{header.offset + header.n_bytes} bytes", found=found
        )
    return header


def view(path: Path, header: Header) -> Array:
    """Map a file's values read-only; only the pages that are touched are read. Half the time of `np.memmap`."""
    order: Any = "F" if header.fortran else "C"
    try:
        with path.open("rb", buffering=0) as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.ndarray(header.shape, header.dtype, mapped, header.offset, order=order)
    except (OSError, ValueError, TypeError) as error:
        raise PairsError("The file can no longer be read.", where=path, found=error) from error


def npy_bytes(array: Array) -> bytes:
    """Return a `.npy` file of a C-contiguous array."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()
