"""Opening bytes that may be anything, and the facts of files, against Pillow's own encoder."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from pneumo_tf.data.images import film_facts, jpeg_quality, open_film
from pneumo_tf.errors import FilmError


def encoded(image: Image.Image, format: str = "JPEG", **options: int) -> bytes:
    file = BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def noise(side: int = 64) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side), np.uint8))


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


def test_more_pixels_than_pillow_holds_safe_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(noise(64), "PNG")
    for limit in (3000, 1000):  # where Pillow warns, and where it raises
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(FilmError, match="too many pixels"):
            open_film(data)
