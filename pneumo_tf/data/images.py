"""The one door to image files: which files are films, their pixels with 8 bits, and the facts of the file.

Nothing else in the package decodes an image file, so that every command accepts the same films and gives
the same pixels for them.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pneumo_tf.errors import FilmError


class Format(NamedTuple):
    """One format of films: Pillow's name for its reader, and how its files are called."""

    reader: str
    suffixes: tuple[str, ...]


# A new format is a row here. One that Pillow can't read brings its own reader: an ImageFile that is given to
# Image.register_open under the row's name. No vector formats: Pillow hands those to outside programs.
FORMATS = (
    Format("JPEG", (".jpeg", ".jpg", ".jpe", ".jfif")),
    Format("PNG", (".png",)),
    Format("BMP", (".bmp",)),
    Format("TIFF", (".tif", ".tiff")),
    Format("GIF", (".gif",)),
    Format("WEBP", (".webp",)),
    Format("PPM", (".pgm", ".ppm")),
    Format("JPEG2000", (".jp2", ".j2k")),
)
SUFFIXES = tuple(suffix for row in FORMATS for suffix in row.suffixes)
JPEG_QUALITY = 95  # of prepared films

# What Pillow's decoders raise for damaged data.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)
_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
# Luminance table of ITU-T T.81 (the JPEG standard), table K.1, in natural order.
_STANDARD_TABLE = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99])

# Where Pillow would only warn, open_film refuses; catch_warnings isn't safe in the threads that read films.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def open_film(data: bytes | BinaryIO, *, decode: bool = True) -> Image.Image:
    """The image in a file as it is stored, whatever the file is called.

    Args:
        data: A file's bytes, or the open file.
        decode: Read the pixels too; without, only the header, which doesn't show a truncated file.

    Raises:
        FilmError: Empty, no image, truncated, or with more pixels than Pillow holds safe; `received` says
            which.
    """
    file = BytesIO(data) if isinstance(data, bytes) else data
    with _damage_refused():
        try:
            image = Image.open(file, formats=[row.reader for row in FORMATS])
        except UnidentifiedImageError as failure:
            why = "not an image, whatever its name says" if file.seek(0, SEEK_END) else "empty file"
            raise _unreadable(why) from failure
        if image.width * image.height > (Image.MAX_IMAGE_PIXELS or float("inf")):
            raise _unreadable("too many pixels (a decompression bomb)")
        if decode:
            image.load()
    return image


def read_film(data: bytes) -> Image.Image:
    """The film in a file's bytes, upright, with 8 bits a channel, in mode "L" or "RGB".

    Raises:
        FilmError: As `open_film`, or floating-point pixels, whose white nobody knows.
    """
    image = open_film(data)
    with _damage_refused():
        return to_eight_bits(ImageOps.exif_transpose(image))


def read_film_file(path: Path) -> Image.Image:
    """The film in a file, as `read_film` gives it.

    Raises:
        FilmError: The file can't be opened, or isn't a complete image; the message names it.
    """
    try:
        return read_film(_content(path))
    except FilmError as failure:
        raise FilmError("A film must be a complete image.", received=f"{path} ({failure.received})",
                        remedy="Replace it or leave it out.") from failure


def to_eight_bits(image: Image.Image) -> Image.Image:
    """The film with 8 bits a channel and no transparency, in mode "L" or "RGB".

    16 bits are scaled (65535 becomes 255), where Pillow would clip everything above 255 to white. What is
    transparent becomes black, the colour of a film's surround.

    Raises:
        FilmError: Floating-point pixels.
    """
    if image.mode.startswith("I"):  # "I" is how Pillow opens some 16-bit files
        grey = np.asarray(image).astype(np.float64).clip(0, 65535)
        return Image.fromarray(np.rint(grey / 257).astype(np.uint8))
    if image.mode == "F":
        raise FilmError("A film must have whole numbers as pixels.", received="floating-point pixels",
                        remedy="Export it with 8 or 16 bits.")
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")
    return in_mode(image, "L" if image.mode in ("1", "L") else "RGB")


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    """The image in a mode of Pillow's; the same object where it is in that mode already."""
    return image if image.mode == mode else image.convert(mode)  # convert() copies even where it needn't


def prepared_jpeg(image: Image.Image) -> bytes:
    """A prepared film as the bytes of its file: prepare_pict.py and predictions share this encoder."""
    file = BytesIO()
    image.save(file, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
    return file.getvalue()


def thumbnail(path: Path, size: tuple[int, int], *, mode: str = "L", quality: int = 78) -> bytes:
    """A small JPEG of a film that keeps its proportions.

    Args:
        size: Greatest width and height in pixels.
        mode: "L" for grey, "RGB" for colour.
        quality: Of the JPEG, 1 to 100.

    Raises:
        FilmError: The film can't be read.
    """
    image = open_film(_content(path), decode=False)
    with _damage_refused():
        image.draft(mode, (2 * size[0], 2 * size[1]))  # a JPEG is then decoded at a fraction of its size
        small = in_mode(to_eight_bits(ImageOps.exif_transpose(image)), mode)
    small.thumbnail(size, Image.Resampling.LANCZOS)
    file = BytesIO()
    small.save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()


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
    # As libjpeg's jpeg_quality_scaling and jpeg_add_quant_table make the tables of all qualities.
    quality = np.arange(1, 101)
    percent = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    tables = np.clip((_STANDARD_TABLE * percent[:, None] + 50) // 100, 1, 255)
    return int(np.abs(tables - np.asarray(table)).sum(axis=1).argmin()) + 1


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as failure:
        raise _unreadable(failure.strerror or str(failure)) from failure


@contextmanager
def _damage_refused() -> Iterator[None]:
    try:
        yield
    except Image.DecompressionBombError as failure:
        raise _unreadable("too many pixels (a decompression bomb)") from failure
    except _DAMAGE as failure:
        raise _unreadable("truncated or damaged image") from failure


def _unreadable(why: str) -> FilmError:
    return FilmError("A film must be an image that can be read to its end.", received=why,
                     remedy="Export or download it again, or leave it out.")
