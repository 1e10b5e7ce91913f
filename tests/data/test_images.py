"""The one door to image files: bytes that may be anything, their pixels, and the facts of their files."""

from __future__ import annotations

import ast
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile, TiffImagePlugin
from PIL.TiffImagePlugin import ImageFileDirectory_v2

import pneumo_tf
from pneumo_tf.data import images
from pneumo_tf.data.images import (
    FORMATS,
    SUFFIXES,
    Format,
    film_depth,
    film_facts,
    jpeg_quality,
    open_film,
    read_film,
    read_film_file,
    refuse_blank,
    thumbnail,
    to_eight_bits,
)
from pneumo_tf.errors import FilmError


def encoded(image: Image.Image, format: str = "JPEG", **options: int) -> bytes:
    file = BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def noise(side: int = 64) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side), np.uint8))


def same(first: Image.Image, second: Image.Image) -> bool:
    return first.mode == second.mode and np.array_equal(np.asarray(first), np.asarray(second))


@pytest.fixture
def grey() -> Image.Image:
    coarse = np.random.default_rng(0).integers(0, 256, (12, 16), np.uint8)
    return Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("quality", [1, 10, 25, 49, 50, 51, 75, 90, 95, 100])
def test_jpeg_quality_is_what_the_encoder_was_given(quality: int) -> None:
    image = Image.open(BytesIO(encoded(noise(), quality=quality)))
    assert jpeg_quality(image.quantization[0]) == quality


def test_facts_are_those_of_the_file() -> None:
    data = encoded(noise(40), quality=80)
    assert film_facts(open_film(data), data) == {"format": "JPEG", "mode": "L", "width": "40", "height": "40",
                                                 "bytes": str(len(data)), "jpeg_quality": "80"}


def test_a_png_has_no_jpeg_quality() -> None:
    data = encoded(noise(), "PNG")
    assert film_facts(open_film(data), data)["jpeg_quality"] == ""


@pytest.mark.parametrize(("data", "why"), [
    (b"", "empty file"),
    (b"<html><title>404 Not Found</title></html>", "not an image, whatever its name says"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image, whatever its name says"),
    (encoded(noise())[:900], "truncated or damaged image"),
    (encoded(noise(), "PNG")[:900], "truncated or damaged image"),
])
def test_what_is_no_whole_image_is_refused_with_the_reason(data: bytes, why: str) -> None:
    with pytest.raises(FilmError) as refusal:
        open_film(data)
    assert refusal.value.received == why


def test_sixteen_bits_are_scaled_and_not_clipped_to_white(grey: Image.Image) -> None:
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    assert deep.mode == "I;16"
    assert same(to_eight_bits(deep), grey)


@pytest.mark.parametrize(("deep", "shallow"), [(0, 0), (300, 1), (30000, 117), (65535, 255)])
def test_each_of_sixteen_bits_counts(deep: int, shallow: int) -> None:
    film = Image.fromarray(np.full((2, 2), deep, np.uint16))
    assert to_eight_bits(film, depth=16).getpixel((0, 0)) == shallow


def test_sixteen_bits_survive_a_png(grey: Image.Image) -> None:
    assert same(read_film(encoded(Image.fromarray(np.asarray(grey).astype(np.uint16) * 257), "PNG")), grey)


RAMP = np.tile(np.linspace(0, 4095, 64).astype(np.uint16), (64, 1))  # 12 bits


def tiff(pixels: np.ndarray, tags: dict[int, int]) -> bytes:
    file, directory = BytesIO(), ImageFileDirectory_v2()
    directory.update(tags)
    Image.fromarray(pixels).save(file, "TIFF", tiffinfo=directory)
    return file.getvalue()


def png_with_bits(pixels: np.ndarray, bits: int) -> bytes:
    data, body = encoded(Image.fromarray(pixels), "PNG"), b"sBIT" + bytes([bits])
    return data[:33] + struct.pack(">I", 1) + body + struct.pack(">I", zlib.crc32(body)) + data[33:]


@pytest.mark.parametrize(("data", "depth"), [
    (encoded(Image.fromarray(RAMP), "PNG"), 12),
    (encoded(Image.fromarray(RAMP * 16), "PNG"), 16),
    (encoded(Image.fromarray(RAMP // 8), "PNG"), 9),
    (png_with_bits(RAMP // 8, 12), 12),  # the file says more than the pixels need
    (png_with_bits(RAMP * 16, 12), 16),  # scaled, as the PNG standard asks for
    (tiff(RAMP // 4, {281: 4095}), 12),
    (tiff(RAMP // 4, {}), 10),
    (encoded(Image.fromarray(RAMP), "JPEG2000"), 16),  # Pillow scales these itself
    (encoded(Image.fromarray(RAMP), "PPM"), 16),
    (encoded(Image.fromarray((RAMP // 16).astype(np.uint8)), "PNG"), None),
])
def test_the_depth_is_what_the_file_says_or_the_pixels_need(data: bytes, depth: int | None) -> None:
    assert film_depth(open_film(data)) == depth


def test_twelve_bits_in_a_file_of_sixteen_keep_all_levels_that_eight_bits_can_hold() -> None:
    film = read_film(encoded(Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64)), "PNG"))
    assert len(np.unique(np.asarray(film))) == 256


def test_films_of_one_set_are_scaled_alike_and_a_deeper_one_is_refused() -> None:
    dark = encoded(Image.fromarray(RAMP // 2), "PNG")
    assert np.asarray(read_film(dark, depth=12)).max() == 127
    with pytest.raises(FilmError, match="16 bits, where they have 12"):
        read_film(encoded(Image.fromarray(RAMP * 16), "PNG"), depth=12)


@pytest.mark.parametrize("levels", [RAMP, RAMP * 16], ids=["12 bits", "16 bits"])
def test_where_zero_is_white_the_film_is_no_negative(levels: np.ndarray) -> None:
    black_is_zero, white_is_zero = (np.asarray(read_film(tiff(levels, {262: tag}))) for tag in (1, 0))
    assert black_is_zero[0, 0] == white_is_zero[0, -1] == 0
    assert (black_is_zero == 255 - white_is_zero).all()


def test_colour_that_lost_its_bits_in_pillow_is_refused() -> None:
    _, shallow = cv2.imencode(".png", np.dstack([RAMP] * 3))
    with pytest.raises(FilmError) as refusal:
        read_film(shallow.tobytes())
    assert refusal.value.received == "colour of 16 bits a channel, of which fewer are used"
    assert read_film(cv2.imencode(".png", np.dstack([RAMP * 16] * 3))[1].tobytes()).mode == "RGB"


@pytest.mark.parametrize("format", ["TIFF", "GIF", "PNG", "WEBP", "MPO"])
def test_a_file_of_several_frames_is_no_film(format: str) -> None:
    first, second = noise(), noise().transpose(Image.Transpose.ROTATE_90)
    file = BytesIO()
    first.save(file, format, save_all=True, append_images=[second])
    with pytest.raises(FilmError) as refusal:
        open_film(file.getvalue(), decode=False)
    assert refusal.value.received == "several frames in one file"


@pytest.mark.parametrize(("first", "others"), [("thumbnail", False), ("film", True)])
def test_a_thumbnail_among_the_pages_never_becomes_the_film(first: str, others: bool) -> None:
    file, film, small = BytesIO(), noise(), noise().resize((16, 16))
    pages = (film, small) if first == "film" else (small, film)
    kinds = [ImageFileDirectory_v2() for _ in pages]
    kinds[pages.index(small)][254] = 1
    with TiffImagePlugin.AppendingTiffWriter(file, new=True) as tiff_file:
        for page, kind in zip(pages, kinds, strict=True):
            page.save(tiff_file, "TIFF", tiffinfo=kind)
            tiff_file.newFrame()
    if others:
        assert same(read_film(file.getvalue()), film)
    else:
        with pytest.raises(FilmError, match="several frames"):
            read_film(file.getvalue())


def test_the_preview_that_a_telephone_adds_is_left_alone() -> None:
    file = BytesIO()
    noise().save(file, "MPO", save_all=True, append_images=[noise().resize((32, 32))])
    assert open_film(file.getvalue()).size == (64, 64)


@pytest.mark.parametrize(("size", "why"), [
    ((1, 1), "too small for a film"), ((4000, 3), "too small for a film"),
    ((300, 29), "too long and narrow for a film")])
def test_sizes_that_no_film_has_are_refused(size: tuple[int, int], why: str) -> None:
    with pytest.raises(FilmError) as refusal:
        open_film(encoded(Image.new("L", size), "PNG"), decode=False)
    assert refusal.value.received == why


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "I;16"])
def test_a_film_with_all_pixels_alike_is_blank(mode: str) -> None:
    with pytest.raises(FilmError, match="blank"):
        refuse_blank(read_film(encoded(Image.new(mode, (20, 20)), "PNG")))
    assert refuse_blank(noise()).size == (64, 64)


def test_one_bit_becomes_black_and_white() -> None:
    assert to_eight_bits(Image.new("1", (2, 2), 1)).getpixel((0, 0)) == 255


def test_what_is_transparent_becomes_black() -> None:
    assert to_eight_bits(Image.new("RGBA", (4, 4), (255, 255, 255, 0))).getpixel((0, 0)) == (0, 0, 0)


def test_a_transparent_palette_entry_becomes_black() -> None:
    palette = Image.new("P", (4, 4), 7)
    palette.putpalette(bytes([255]) * 768)
    palette.info["transparency"] = 7
    assert to_eight_bits(palette).getpixel((0, 0)) == (0, 0, 0)


def test_cmyk_white_paper_stays_white() -> None:
    assert to_eight_bits(Image.new("CMYK", (4, 4), (0, 0, 0, 0))).getpixel((0, 0)) == (255, 255, 255)


def test_floating_point_pixels_are_refused() -> None:
    with pytest.raises(FilmError, match="floating-point pixels"):
        to_eight_bits(Image.new("F", (4, 4)))


def test_a_film_that_was_stored_on_its_side_is_set_upright(grey: Image.Image) -> None:
    file, exif = BytesIO(), Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270° counter-clockwise to see it upright
    grey.save(file, "JPEG", exif=exif, quality=95)
    upright = read_film(file.getvalue())
    assert upright.size == (480, 640)
    expected = grey.transpose(Image.Transpose.ROTATE_270)
    assert np.abs(np.asarray(upright, float) - np.asarray(expected, float)).mean() < 2


def test_more_pixels_than_pillow_holds_safe_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(noise(64), "PNG")
    for limit in (3000, 1000):  # where Pillow warns, and where it raises
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(FilmError, match="too many pixels"):
            open_film(data)


@pytest.mark.parametrize("row", FORMATS, ids=lambda row: row.reader)
def test_every_format_of_the_table_is_read_under_each_of_its_names(row: Format, tmp_path: Path,
                                                                   grey: Image.Image,
                                                                   dicom_film: Callable[..., bytes]) -> None:
    data = dicom_film(np.asarray(grey)) if row.reader == "DICOM" else encoded(grey, row.reader)
    for suffix in row.suffixes:
        (tmp_path / f"film{suffix}").write_bytes(data)
        assert read_film_file(tmp_path / f"film{suffix}").size == grey.size
        assert suffix in SUFFIXES


class Toy(ImageFile.ImageFile):
    """A format that Pillow lacks: a mark of four bytes, then a square of 16 × 16 grey pixels."""

    format = "TOY"

    def _open(self) -> None:
        if self.fp.read(4) != b"TOY!":
            raise SyntaxError("no toy")
        self._size, self._mode = (16, 16), "L"
        self.tile = [ImageFile._Tile("raw", (0, 0, 16, 16), 4, "L")]


def test_a_format_that_pillow_lacks_is_one_more_row_with_its_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    film = b"TOY!" + bytes(range(256))
    with pytest.raises(FilmError, match="not an image"):
        read_film(film)
    monkeypatch.setitem(Image.OPEN, "TOY", (Toy, None))
    monkeypatch.setattr(images, "FORMATS", (*FORMATS, Format("TOY", (".toy",))))
    assert read_film(film).tobytes() == bytes(range(256))
    with pytest.raises(FilmError, match="truncated"):
        read_film(film[:20])


def test_a_file_that_is_no_film_is_named(tmp_path: Path) -> None:
    (tmp_path / "letter.jpeg").write_text("Dear doctor")
    for reading in (read_film_file, lambda path: thumbnail(path, (8, 8))):
        with pytest.raises(FilmError, match=r"No such file"):
            reading(tmp_path / "gone.jpeg")
        with pytest.raises(FilmError, match=r"not an image"):
            reading(tmp_path / "letter.jpeg")
    with pytest.raises(FilmError, match=r"letter\.jpeg"):
        read_film_file(tmp_path / "letter.jpeg")


DECODERS = {"imread", "imdecode", "load_img", "decode_image", "decode_jpeg", "decode_png", "read_file",
            "pixel_array"}
# A view's JPEG compression is encoded and decoded in memory; no file of anybody's is read there.
OWN_BYTES = {"imdecode": "training/views.py"}
READERS = {("data/images.py", "Image.open"), ("data/dicom.py", "pixel_array")}


def decoders(source: str) -> set[str]:
    """Calls that decode an image, and libraries that do nothing else."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute | ast.Name):
            name = node.attr if isinstance(node, ast.Attribute) else node.id
            found |= {name} & DECODERS
            found |= {"Image.open"} & {ast.unparse(node).removeprefix("PIL.")}
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [*(alias.name for alias in node.names), getattr(node, "module", None) or ""]
            found |= {name for name in names if name.partition(".")[0] == "imageio"}
            found |= DECODERS & set(names)
    return found


def test_no_other_module_decodes_an_image_file() -> None:
    package = Path(pneumo_tf.__file__).parent
    found = {(path.relative_to(package).as_posix(), call) for path in package.rglob("*.py")
             for call in decoders(path.read_text(encoding="utf-8"))}
    assert found == READERS | {(file, call) for call, file in OWN_BYTES.items()}


@pytest.mark.parametrize("line", [
    "from PIL import Image\nImage.open(path)", "import PIL.Image\nPIL.Image.open(path)", "cv2.imread(name)",
    "keras.utils.load_img(path)", "from keras.utils import load_img", "import imageio.v3 as iio",
    "tf.io.decode_image(data)", "pydicom.dcmread(path).pixel_array", "from pydicom.pixels import pixel_array",
])
def test_the_rule_itself_sees_decoders(line: str) -> None:
    assert decoders(line)
