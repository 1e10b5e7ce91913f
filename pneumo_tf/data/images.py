"""The one door to image files: which files are films, their pixels with 8 bits, and the facts of the file.

Nothing else in the package decodes an image file, so that every command accepts the same films and gives
the same pixels for them.
"""

from __future__ import annotations

import re
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

from pneumo_tf.data.dicom import DicomFilm, identify
from pneumo_tf.data.shards import read_bytes
from pneumo_tf.errors import FilmError


class Format(NamedTuple):
    """One format of films: Pillow's name for its reader, and how its files are called."""

    reader: str
    suffixes: tuple[str, ...]


# A new format is a row here. One that Pillow can't read brings its own reader: an ImageFile that is given to
# Image.register_open under the row's name. No vector formats: Pillow hands those to outside programs.
FORMATS = (
    Format("DICOM", (".dcm", ".dicom", ".ima")),  # first: such a file may be a TIFF as well (PS3.10 7.1)
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
# What may well be a film, in a format that isn't read.
UNREAD = dict.fromkeys((".nii", ".mha", ".mhd", ".nrrd", ".heic", ".heif", ".avif", ".jxl", ".pdf", ".psd",
                        ".svg", ".npy", ".npz"), "image format that isn't read: export it as PNG")
BLANK = "blank: every pixel alike"
JPEG_QUALITY = 95  # of prepared films
LEAST_SIDE = 16  # pixels; what is smaller is an icon or a broken export
LARGEST_ASPECT = 10  # longer side by shorter one; a film of a whole spine has 4

# What Pillow's decoders raise for damaged data.
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, MemoryError,
           struct.error, zlib.error)
_BITS, _INVERTED = "bits of grey", "white is zero"  # what open_film notes of a film with more than 8 bits
_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
# Luminance table of ITU-T T.81 (the JPEG standard), table K.1, in natural order.
_STANDARD_TABLE = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99])

Image.register_open(DicomFilm.format, DicomFilm)
# Where Pillow would only warn, open_film refuses; catch_warnings isn't safe in the threads that read films.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)
# Damage is refused or harmless; a person who reads a thousand films can do nothing with a tag of one.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def open_film(data: bytes | BinaryIO, *, decode: bool = True) -> Image.Image:
    """The image in a file as it is stored, whatever the file is called.

    Args:
        data: A file's bytes, or the open file.
        decode: Read the pixels too; without, only the header, which doesn't show a truncated file.

    Raises:
        FilmError: Empty, no image, truncated, of several frames, of a size that no film has, or with more
            pixels than Pillow holds safe; `received` says which.
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
        _refuse_shape(image)
        _refuse_frames(image)
        is_deep_colour = ";16" in str(image.tile) and not _is_deep(image)
        if decode:
            image.load()
        if decode and is_deep_colour and np.asarray(image)[..., :3].max() < 128:
            raise _unreadable("colour of 16 bits a channel, of which fewer are used")  # Pillow keeps but 8
        if _is_deep(image):
            image.info |= {_BITS: _declared_bits(image, file),
                           _INVERTED: image.format == "TIFF" and _tag(image, 262) == 0}
    return image


def read_film(data: bytes, *, depth: int | None = None) -> Image.Image:
    """The film in a file's bytes, upright, with 8 bits a channel, in mode "L" or "RGB".

    Args:
        depth: Bits of grey that a film of more than 8 is scaled from, as `to_eight_bits` takes it.

    Raises:
        FilmError: As `open_film` and `to_eight_bits`.
    """
    image = open_film(data)
    with _damage_refused():
        return to_eight_bits(ImageOps.exif_transpose(image), depth)


def refuse_blank(film: Image.Image) -> Image.Image:
    """The film of `read_film` again; a FilmError where all of its pixels are alike."""
    if all(low == high for low, high in np.reshape(film.getextrema(), (-1, 2))):
        raise _unreadable(BLANK)
    return film


def read_film_file(path: Path, *, depth: int | None = None) -> Image.Image:
    """The film in a file, as `read_film` gives it.

    Raises:
        FilmError: The file can't be opened, or isn't a complete image; the message names it, a DICOM file by
            its instance.
    """
    content = b""
    try:
        content = _content(path)
        return read_film(content, depth=depth)
    except FilmError as failure:
        identity = identify(content)
        name = identity.instance if identity else path
        raise FilmError("A film must be a complete image.", received=f"{name} ({failure.received})",
                        remedy="Replace it or leave it out.") from failure


def film_depth(image: Image.Image) -> int | None:
    """Bits of grey of a decoded film: those that its file declares, or more where a pixel needs them.

    Films of 10, 12 or 14 bits are kept in files of 16. None where the file has no more than 8 bits a channel.
    """
    if not _is_deep(image):
        return None
    return max(8, image.info.get(_BITS, 0), int(np.asarray(image).max()).bit_length())


def to_eight_bits(image: Image.Image, depth: int | None = None) -> Image.Image:
    """The film with 8 bits a channel and no transparency, in mode "L" or "RGB".

    More than 8 bits are scaled, where Pillow would clip everything above 255 to white; where 0 is white, the
    greys are turned. What is transparent becomes black, the colour of a film's surround.

    Args:
        depth: Bits that are scaled from: with 12, 4095 becomes 255. Films that are compared need the same
            one; None takes the film's own, of `film_depth`.

    Raises:
        FilmError: Floating-point pixels, whose white nobody knows, or more bits than `depth`.
    """
    if _is_deep(image):  # "I" is how Pillow opens some 16-bit files
        own = film_depth(image) or 0
        if depth and own > depth:
            raise FilmError("A film must not have more levels of grey than those that it is compared with.",
                            received=f"{own} bits, where they have {depth}",
                            remedy="Export it with as many bits, or leave it out.")
        grey = np.asarray(image).astype(np.float64).clip(0)
        levels = np.rint(grey * 255 / (2 ** (depth or own) - 1)).astype(np.uint8)
        return Image.fromarray(255 - levels if image.info.get(_INVERTED) else levels)
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


def thumbnail(path: Path, size: tuple[int, int], *, quality: int = 78) -> bytes:
    """A small JPEG of a film that keeps its proportions, and its colours where it has some.

    Args:
        size: Greatest width and height in pixels.
        quality: Of the JPEG, 1 to 100.

    Raises:
        FilmError: The film can't be read.
    """
    image = open_film(_content(path), decode=False)
    with _damage_refused():
        image.draft(None, (2 * size[0], 2 * size[1]))  # a JPEG is then decoded at a fraction of its size
        small = to_eight_bits(ImageOps.exif_transpose(image))
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


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I")


def _refuse_shape(image: Image.Image) -> None:
    shorter, longer = sorted(image.size)
    if shorter < LEAST_SIDE:
        raise _unreadable("too small for a film")
    if longer > LARGEST_ASPECT * shorter:
        raise _unreadable("too long and narrow for a film")


def _refuse_frames(image: Image.Image) -> None:
    """One film a file, but for smaller copies of the first frame, as scanners and telephones add them."""
    width = image.width
    for frame in range(1, getattr(image, "n_frames", 1)):
        image.seek(frame)
        is_copy = _tag(image, 254) & 1 if image.format == "TIFF" \
            else image.format == "MPO" and image.width < width
        image.seek(0)
        if not is_copy:
            raise _unreadable("several frames in one file")


def _declared_bits(image: Image.Image, file: BinaryIO) -> int:
    """Bits that the file says to be in use; 0 where it doesn't say."""
    if image.format == "PNG":
        file.seek(0)
        told = re.search(rb"\x00\x00\x00\x01sBIT(.)", file.read(4096), re.DOTALL)
        return told[1][0] if told else 0
    if image.format == "TIFF":
        bits, largest = _tag(image, 258), max(_tag(image, 281), _tag(image, 341))
        return largest.bit_length() or (bits if bits < 16 else 0)
    return 16  # Pillow scales JPEG 2000 and PGM to all of them


def _tag(image: Image.Image, number: int) -> int:
    """A number of a TIFF's directory: 254 kind, 258 bits, 262 meaning of 0, 281 and 341 largest value."""
    return int(np.max(image.tag_v2.get(number, 0)))  # type: ignore[attr-defined]


def _content(path: Path) -> bytes:
    try:
        return read_bytes(path)
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
