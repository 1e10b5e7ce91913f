"""An original film -> a film as the network sees it: one mode, brightness, contrast, one canvas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple, Self

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from pneumo_tf.data.images import in_mode
from pneumo_tf.data.preparation.lungs import Box, lungs_box
from pneumo_tf.errors import OptionError

AUTO = "auto"  # lungs for films of chests, else thumbnail; `prepare` settles which
FITS = (AUTO, "thumbnail", "pad", "squash", "crop", "lungs")
_TUTORIAL = {"brightness": 0.7, "contrast": 2.0}
_LARGEST = 10_000  # pixels of a side
_MARGIN = 0.05  # round the lungs, of their box on every side
_NEAR_BLACK, _LIT = 16, 200  # grey levels of what is no body, up to and from which letters are written
_CORNER = 0.15  # of width and height


@dataclass(frozen=True, slots=True)
class FilterOptions:
    """What is done to the pixels of every film.

    Attributes:
        brightness: Factor on the pixel values; 1 changes nothing. None is 1 where lungs are cut out, whose
            darkest and brightest greys the tutorial's filter would clip, and else the tutorial's 0.7.
        contrast: Factor on the distance from the film's mean grey; None is 1 or the tutorial's 2, likewise.
        size: Pixels of the longer side, or of both.
        fit: "thumbnail" keeps the proportions and never enlarges, "pad" centres the film on a black
            square, "squash" stretches it to the square, "crop" keeps the square in its middle, "lungs"
            stretches the box of the lungs to the square, or crops where none are found.
        color: Keep colour, for photographs; else every film is 8-bit grey.
        depth: Bits of grey that films of more than 8 are scaled from, all of them alike; None where there are
            no such films, or where each is to be scaled from its own.

    Raises:
        OptionError: A value that has no meaning.
    """

    brightness: float | None = None
    contrast: float | None = None
    size: int = 299
    fit: str = "thumbnail"
    color: bool = False
    depth: int | None = field(default=None, compare=False)  # a fact of the originals, not a choice

    def __post_init__(self) -> None:
        for name, usual in _TUTORIAL.items():
            if getattr(self, name) is None and self.fit != AUTO:
                object.__setattr__(self, name, 1.0 if self.fit == "lungs" else usual)
            factor = getattr(self, name)
            if factor is not None and not 0 < factor < 1e300:
                raise OptionError(f"The {name} must be a number above 0.", received=f"{factor}",
                                  remedy="Take 1 to change nothing.")
        if not 1 <= self.size <= _LARGEST:
            raise OptionError(f"The size must be 1 to {_LARGEST} pixels.", received=f"{self.size}",
                              remedy="Take 299, which is what InceptionV3 sees.")
        if self.depth is not None and not 1 <= self.depth <= 32:
            raise OptionError("A film has 1 to 32 bits of grey.", received=f"{self.depth}",
                              remedy="Prepare the films again.")
        if self.fit not in FITS:
            raise OptionError(f"The fit must be one of {', '.join(FITS)}.", received=self.fit,
                              remedy="Take thumbnail, which keeps the proportions.")

    def to_json(self) -> dict[str, Any]:
        """The options as JSON holds them; the depth only where there is one."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Options that `to_json` wrote; other keys are left alone, missing ones take their default."""
        told = {known.name: content.get(known.name) for known in fields(cls)}
        return cls(**{name: value for name, value in told.items() if value is not None})


def apply_filters(image: Image.Image, options: FilterOptions) -> Image.Image:
    """A film in one mode, brightened, contrasted, then resized, in the order of the tutorial.

    The mode comes first, so that a grey film gives the same pixels whether it was stored as grey, colour
    or palette: each class of the public films is stored in its own way, and a network would learn that.
    On a grey film the result is exactly that of the tutorial's calls.

    Args:
        image: A film as `images.read_film` gives it.

    Returns:
        An 8-bit image in mode "L", or "RGB" with `options.color`, without metadata.
    """
    return framed_and_filtered(image, options).image


class Framed(NamedTuple):
    """A filtered film; whether its frame is what was asked for, which it isn't where a film shows no lungs;
    and facts of the frame that it came in, as `framing_facts` gives them."""

    image: Image.Image
    as_asked: bool
    framing: dict[str, str]


def framed_and_filtered(image: Image.Image, options: FilterOptions) -> Framed:
    """As `apply_filters`, and what there is to know of the film's frame."""
    image = in_mode(image, "RGB" if options.color else "L")
    box = find_lungs(image) if options.fit == "lungs" else None
    framing = framing_facts(image, box)
    if box is not None:
        image = image.crop(box.widened(_MARGIN).pixels(*image.size))
    elif options.fit in ("crop", "lungs"):
        side = min(image.size)
        left, top = ((length - side) // 2 for length in image.size)
        image = image.crop((left, top, left + side, top + side))
    # Framed before it is toned, which looks at the mean of the film.
    toned = _toned(image, options.brightness or 1, options.contrast or 1)
    fitted = _fitted(toned, options.size, options.fit)
    return Framed(fitted, options.fit != "lungs" or box is not None, framing)


def framing_facts(image: Image.Image, lungs: Box | None) -> dict[str, str]:
    """How a film was framed and marked, as text: shares in 0-1, whatever the film shows.

    Returns:
        `near_black`, of the film; `corner_marks`, the share of its four corners that is nearly white, as
        letters are; and where the lungs were found `lungs_width` and `lungs_height`, of the film's own.
    """
    grey = np.asarray(in_mode(image, "L"))
    height, width = (max(1, round(_CORNER * side)) for side in grey.shape)
    corners = [grey[rows, columns] for rows in (slice(height), slice(-height, None))
               for columns in (slice(width), slice(-width, None))]
    shares = {"near_black": np.mean(grey <= _NEAR_BLACK),
              "corner_marks": np.mean([np.mean(corner >= _LIT) for corner in corners])}
    if lungs is not None:
        shares |= {"lungs_width": lungs.right - lungs.left, "lungs_height": lungs.bottom - lungs.top}
    return {name: f"{share:.4f}" for name, share in shares.items()}


def find_lungs(image: Image.Image) -> Box | None:
    """The box of the lungs on a film in any mode; None where there are no plausible ones."""
    return lungs_box(np.asarray(in_mode(image, "L")))


def _toned(image: Image.Image, brightness: float, contrast: float) -> Image.Image:
    """Brightened, then contrasted about the mean; a grey film in one pass, because each grey level becomes
    another one, and Pillow itself says which."""
    if image.mode != "L":
        return ImageEnhance.Contrast(ImageEnhance.Brightness(image).enhance(brightness)).enhance(contrast)
    every = Image.frombytes("L", (256, 1), bytes(range(256)))
    bright = ImageEnhance.Brightness(every).enhance(brightness)
    mean = int(np.average(list(bright.tobytes()), weights=image.histogram()) + 0.5)  # as Pillow rounds it
    levels = Image.blend(Image.new("L", bright.size, mean), bright, contrast)
    toned = image.point(list(levels.tobytes()))
    toned.info = {}  # else it would go on into the new file
    return toned


def _fitted(image: Image.Image, size: int, fit: str) -> Image.Image:
    """The image, which is ours to change, with `size` as its longer side or as both."""
    square = (size, size)
    if fit == "thumbnail":
        image.thumbnail(square, Image.Resampling.LANCZOS)
        return image
    if fit == "pad":
        return ImageOps.pad(image, square, Image.Resampling.LANCZOS, color=0)
    return image.resize(square, Image.Resampling.LANCZOS)
