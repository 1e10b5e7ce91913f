"""The bytes of a film -> its image, and the facts of its file that could give its class away."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from pneumo_tf.errors import FilmError

# No vector formats: Pillow hands those to outside programs.
_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP", "PPM", "JPEG2000")
_TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)
# What Pillow's decoders raise for damaged data.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)
# Luminance table of ITU-T T.81 (the JPEG standard), table K.1, in natural order.
_STANDARD_TABLE = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99])


def open_film(data: bytes, *, decode: bool = True) -> Image.Image:
    """The image in `data`, whatever its file was called.

    Args:
        data: A file's bytes.
        decode: Read the pixels too; without, only the header, which doesn't show a truncated file.

    Raises:
        FilmError: Empty, no image, truncated, or with more pixels than Pillow holds safe; `received` says
            which.
    """
    if not data:
        raise _unreadable("empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(BytesIO(data), formats=_FORMATS)
            if decode:
                image.load()
    except _TOO_LARGE as failure:
        raise _unreadable("too many pixels (a decompression bomb)") from failure
    except UnidentifiedImageError as failure:
        raise _unreadable("not an image, whatever its name says") from failure
    except _DAMAGE as failure:
        raise _unreadable("truncated or damaged image") from failure
    return image


def film_facts(image: Image.Image, data: bytes) -> dict[str, str]:
    """Facts of the file that `image` came from, as text: format, mode, width, height, bytes, jpeg_quality."""
    tables: dict[int, Sequence[int]] = getattr(image, "quantization", {})
    quality = str(jpeg_quality(tables[0])) if 0 in tables else ""
    return {"format": image.format or "", "mode": image.mode, "width": str(image.width),
            "height": str(image.height), "bytes": str(len(data)), "jpeg_quality": quality}


def jpeg_quality(table: Sequence[int]) -> int:
    """Quality, 1 to 100, that the Independent JPEG Group's encoder must have been given for `table`.

    Args:
        table: The 64 luminance divisors, in natural order. Another encoder's table gives the nearest quality.
    """
    return int(np.abs(_tables_of_all_qualities() - np.asarray(table)).sum(axis=1).argmin()) + 1


def _tables_of_all_qualities() -> np.ndarray:
    """(100, 64) tables as libjpeg's jpeg_quality_scaling and jpeg_add_quant_table make them."""
    quality = np.arange(1, 101)
    percent = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.clip((_STANDARD_TABLE * percent[:, None] + 50) // 100, 1, 255)


def _unreadable(why: str) -> FilmError:
    return FilmError("A film must be an image that can be read to its end.", received=why,
                     remedy="Export or download it again, or leave it out.")
