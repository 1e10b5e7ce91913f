"""Views of a film: as another room, machine or day would have taken it.

Two parts, never one function: `sample_view` draws the parameters of a view, `apply_view` changes the pixels
by them. So a view can be written down, repeated and compared, and the pixels never depend on the number of
workers. A new parameter is a field of `View`, its range in `Augmentation`, its draw at the end of
`sample_view`, and what it does to the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np

from pneumo_tf.errors import check_known

Range = tuple[float, float]
Box = tuple[float, float, float, float]
Border = Literal["black", "nearest", "constant"]
Mark = tuple[Box, int]

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
NO_FRAME: Box = (0.0, 0.0, 0.0, 0.0)
_SHARPENING_RADIUS = 1 / 90  # of the side: 1.4 pixels of 128
# Films are spread over the threads, not the parts of one film.
cv2.setNumThreads(1)
_NARROWEST_BLUR = 0.1  # a narrower kernel is the identity on whole pixels
_ROUNDING = 1e-9  # of coordinates that lie on an edge, in pixels
_FLAT = 1e-30  # a slope that can be divided by and stays 0 over any film
_ATTEMPTS = 10  # to place a box, as in torchvision


@dataclass(frozen=True, slots=True)
class View:
    """The parameters of one view, in the order in which they act. The default is the film itself.

    One affine warp (crop, flips, scale and aspect, shear, rotation, shift), local equalisation, the grey
    levels (gamma, contrast, brightness, offset), blur, sharpening, multiplicative and additive noise, a frame
    and marks, a JPEG, an erased box.

    Attributes:
        rotation: Degrees, counter-clockwise about the centre.
        scale: Magnification.
        aspect: Width over height of the magnification.
        shift_x, shift_y: To the right and down, as fractions of the width and of the height.
        gamma: Exponent of the grey scale.
        contrast: Factor about the film's mean.
        brightness: Factor.
        blur: Standard deviation of a Gaussian, in pixels.
        noise: Standard deviation of Gaussian noise in grey levels, one draw for all channels of a pixel.
        noise_seed: Seed of both noises.
        jpeg_quality: Quality of a JPEG requantisation, from 1; 100 and above leave it out.
        flip: Left to right.
        flip_vertical: Top to bottom.
        shear: Degrees by which upright lines lean to the right.
        crop: Left, top, width and height of what fills the view, as fractions of the film.
        multiply: Bounds of the factors; each channel of each pixel is multiplied by its own.
        erase: Box of the view that becomes black, as fractions.
        border: What comes into the frame from outside: "black", into which the film's edge fades over one
            pixel; the "nearest" pixel; or "constant", black without fading, as in SciPy and Keras.
        offset: Grey levels added after brightness.
        clahe: Clip limit of a contrast-limited adaptive histogram equalisation; 0 and below leave it out.
        clahe_tiles: Its tiles along each side.
        sharpen: Share of the difference from a blurred copy that is added; 0 and below leave it out.
        frame: Widths of a plain border at the top, bottom, left and right, as fractions of the side.
        frame_grey: Its grey level.
        marks: Boxes of one grey level each, such as letters, clips and electrodes are.
    """

    rotation: float = 0.0
    scale: float = 1.0
    aspect: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    gamma: float = 1.0
    contrast: float = 1.0
    brightness: float = 1.0
    blur: float = 0.0
    noise: float = 0.0
    noise_seed: int = 0
    jpeg_quality: float = 100.0
    flip: bool = False
    flip_vertical: bool = False
    shear: float = 0.0
    crop: Box = WHOLE
    multiply: Range = (1.0, 1.0)
    erase: Box | None = None
    border: Border = "black"
    offset: float = 0.0
    clahe: float = 0.0
    clahe_tiles: int = 8
    sharpen: float = 0.0
    frame: Box = NO_FRAME
    frame_grey: int = 0
    marks: tuple[Mark, ...] = ()


CLEAN = View()


@dataclass(frozen=True, slots=True)
class Augmentation:
    """The ranges that the parameters of a view are drawn from; the default leaves a film as it is.

    A range is drawn from uniformly, those of scale, gamma and the aspects uniformly in the logarithm. Units
    are those of `View`. A range that goes on past the value that changes nothing (0 for blur, noise, CLAHE
    and sharpening, 100 for the JPEG) leaves that share of the views without it.

    Attributes:
        flip: Probability of a left-right flip. 0 for chest films: the heart lies on the left.
        flip_vertical: Probability of a top-bottom flip.
        crop_area: Share of the film that a random resized crop keeps, as torchvision draws it.
        crop_aspect: Width over height of the crop, relative to the film's own.
        multiply: Bounds of the factors, passed on as they are.
        erase: Probability of an erased rectangle.
        erase_area: Its share of the view.
        erase_aspect: Its width over height, relative to the view's own.
        border: As of a view, or "either" of black and nearest.
        frame: Probability of a frame; each of its sides is up to a tenth of the film wide, or missing.
        marks: Most marks, from none on.
    """

    rotation: Range = (0, 0)
    scale: Range = (1, 1)
    aspect: Range = (1, 1)
    shift: Range = (0, 0)
    gamma: Range = (1, 1)
    contrast: Range = (1, 1)
    brightness: Range = (1, 1)
    blur: Range = (0, 0)
    noise: Range = (0, 0)
    jpeg_quality: Range = (100, 100)
    flip: float = 0.0
    flip_vertical: float = 0.0
    shear: Range = (0, 0)
    crop_area: Range = (1, 1)
    crop_aspect: Range = (1, 1)
    multiply: Range = (1, 1)
    erase: float = 0.0
    erase_area: Range = (0.02, 0.33)
    erase_aspect: Range = (0.3, 3.3)
    border: Border | Literal["either"] = "black"
    offset: Range = (0, 0)
    clahe: Range = (0, 0)
    sharpen: Range = (0, 0)
    frame: float = 0.0
    marks: int = 0


FILMS = Augmentation(rotation=(-12, 12), scale=(0.85, 1.25), aspect=(0.9, 1.1), shift=(-0.06, 0.06),
                     gamma=(0.75, 1.35), contrast=(0.75, 1.3), brightness=(0.85, 1.15), blur=(0, 1.2),
                     noise=(0, 6), jpeg_quality=(35, 100))

# What other hospitals do to a film whose frame has been normalised: mild geometry, strong grey levels.
STRONG = Augmentation(rotation=(-12, 12), scale=(0.9, 1.2), aspect=(0.87, 1.15), shift=(-0.05, 0.05),
                      flip=0.5, border="either", gamma=(0.6, 1.65), contrast=(0.67, 1.5), offset=(-38, 38),
                      clahe=(-7, 4), blur=(-3, 1.6), sharpen=(-4, 1.5), noise=(-10, 12), frame=0.5, marks=3,
                      jpeg_quality=(25, 200))

PRESETS = {
    "none": Augmentation(),
    "films": FILMS,
    "strong": STRONG,
    "tutorial": Augmentation(rotation=(-30, 30), shift=(-0.2, 0.2), flip=0.5, border="nearest"),
    "skin": Augmentation(crop_area=(0.08, 1), crop_aspect=(3 / 4, 4 / 3), flip=0.5, border="nearest"),
    "assignment": Augmentation(flip=0.5, rotation=(-20, 20), multiply=(1.2, 1.5)),
}


def get_preset(name: str) -> Augmentation:
    """An augmentation by its name.

    - `none`: the film as it is.
    - `films`: another room, machine and day; mild, and never flipped.
    - `strong`: another hospital: grey levels, sharpness, noise, JPEG, frames and marks far from the film's
      own, half of the films flipped, so that nothing but the picture of the lungs is left to learn.
    - `tutorial`: rotation up to 30°, shifts up to a fifth, half of the films flipped, borders continued.
    - `skin`: a random resized crop of 8 to 100 % of the image, half of them flipped.
    - `assignment`: half of the films flipped, rotation up to 20°, each channel of each pixel times its own
      factor between 1.2 and 1.5, clipped at 255. The assignment's flip "en el eje horizontal" is read as
      left to right: positions along the horizontal axis are reversed, as torchvision, which it works with,
      calls a horizontal flip. Mirrored about that axis instead, the patient would stand on the head.

    Raises:
        OptionError: Unknown name.
    """
    check_known("augmentation", name, PRESETS)
    return PRESETS[name]


def sample_view(augmentation: Augmentation, rng: np.random.Generator) -> View:
    """Draw the parameters of one view.

    The first thirteen draws always take place, in this order; later ones only where they are asked for. So
    the views of an augmentation stay the same when a parameter is added.
    """

    def log_uniform(bounds: Range) -> float:
        return float(np.exp(rng.uniform(*np.log(bounds))))

    ranges = augmentation
    return View(
        rotation=rng.uniform(*ranges.rotation), scale=log_uniform(ranges.scale),
        aspect=log_uniform(ranges.aspect), shift_x=rng.uniform(*ranges.shift),
        shift_y=rng.uniform(*ranges.shift), gamma=log_uniform(ranges.gamma),
        contrast=rng.uniform(*ranges.contrast), brightness=rng.uniform(*ranges.brightness),
        blur=rng.uniform(*ranges.blur), noise=rng.uniform(*ranges.noise),
        noise_seed=int(rng.integers(2**32)), jpeg_quality=rng.uniform(*ranges.jpeg_quality),
        flip=bool(rng.random() < ranges.flip),
        flip_vertical=ranges.flip_vertical > 0 and bool(rng.random() < ranges.flip_vertical),
        shear=rng.uniform(*ranges.shear) if ranges.shear != (0, 0) else 0.0,
        crop=_sample_crop(ranges, rng), multiply=ranges.multiply, erase=_sample_erasing(ranges, rng),
        border=ranges.border if ranges.border != "either" else "nearest" if rng.random() < 0.5 else "black",
        **_sample_elsewhere(ranges, rng))


def _sample_elsewhere(ranges: Augmentation, rng: np.random.Generator) -> dict[str, Any]:
    """What other machines and hospitals add; no draw where none of it is asked for."""
    drawn: dict[str, Any] = {name: rng.uniform(*getattr(ranges, name))
                             for name in ("offset", "clahe", "sharpen") if getattr(ranges, name) != (0, 0)}
    if drawn.get("clahe", 0) > 0:
        drawn["clahe_tiles"] = int(rng.integers(2, 9))
    if ranges.frame and rng.random() < ranges.frame:
        widths = rng.uniform(0, 0.1, 4) * (rng.random(4) < 0.6)
        drawn["frame"] = tuple(widths.tolist())
        drawn["frame_grey"] = 0 if rng.random() < 0.6 else int(rng.integers(256))
    if ranges.marks:
        drawn["marks"] = tuple(_sample_mark(rng) for _ in range(rng.integers(ranges.marks + 1)))
    return drawn


def _sample_mark(rng: np.random.Generator) -> Mark:
    """A small box, mostly bright, now and then dark."""
    left, top, width, height = (*rng.uniform(0, 1, 2), *rng.uniform(0.015, 0.1, 2))
    grey = rng.integers(200, 256) if rng.random() < 0.7 else rng.integers(40)
    return (left, top, width, height), int(grey)


def view_rng(seed: int, film: int, repeat: int) -> np.random.Generator:
    """The random stream of one film in one repeat (view number or epoch), whatever worker draws it."""
    return np.random.default_rng((seed, film, repeat))


def _sample_crop(ranges: Augmentation, rng: np.random.Generator) -> Box:
    """The box of a random resized crop; where none fits, the largest in the middle, as in torchvision."""
    if ranges.crop_area == ranges.crop_aspect == (1, 1):
        return WHOLE
    box = _sample_box(rng, ranges.crop_area, ranges.crop_aspect)
    if box is not None:
        return box
    aspect = float(np.clip(1, *ranges.crop_aspect))
    width, height = min(aspect, 1.0), min(1 / aspect, 1.0)
    return (1 - width) / 2, (1 - height) / 2, width, height


def _sample_erasing(ranges: Augmentation, rng: np.random.Generator) -> Box | None:
    if ranges.erase == 0 or rng.random() >= ranges.erase:
        return None
    return _sample_box(rng, ranges.erase_area, ranges.erase_aspect)


def _sample_box(rng: np.random.Generator, area: Range, aspect: Range) -> Box | None:
    """A box inside the unit square: its area and logarithmic aspect uniform, then its position."""
    for _ in range(_ATTEMPTS):
        share, ratio = rng.uniform(*area), float(np.exp(rng.uniform(*np.log(aspect))))
        width, height = float(np.sqrt(share * ratio)), float(np.sqrt(share / ratio))
        if width <= 1 and height <= 1:
            return rng.uniform(0, 1 - width), rng.uniform(0, 1 - height), width, height
    return None


def apply_view(image: np.ndarray, view: View) -> np.ndarray:
    """A view of a film, uint8 (H, W, C), in new memory; `CLEAN` is the identity.

    One affine warp and one pixel transform; whatever has nothing to do is left out.
    """
    seen = _transform_pixels(_equalise(_warp(image, view), view), view)
    seen = _erase(_requantise(_frame_and_mark(seen, view), view), view)
    return np.array(image) if seen is image else seen


def _warp(image: np.ndarray, view: View) -> np.ndarray:
    height, width = image.shape[:2]
    matrix = affine_matrix(view, height, width)
    if np.array_equal(matrix, np.eye(2, 3)):
        return image
    border = cv2.BORDER_REPLICATE if view.border == "nearest" else cv2.BORDER_CONSTANT
    warped = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=border,
                            borderValue=(0, 0, 0)).reshape(image.shape)  # OpenCV drops a single channel
    if view.border == "constant":
        warped *= _inside(matrix, height, width)
    return warped


def _inside(matrix: np.ndarray, height: int, width: int) -> np.ndarray:
    """bool (H, W, 1): where a view looks between the centres of its film's outermost pixels.

    Along a row of the view the film's x and y grow evenly, so each row is inside between two columns.
    """
    rows, columns = np.arange(height)[:, None], np.arange(width)
    low, high = np.zeros((height, 1)), np.full((height, 1), width - 1.0)
    for (across, down, start), length in zip(cv2.invertAffineTransform(matrix), (width, height), strict=True):
        first = down * rows + start
        edges = np.array([-_ROUNDING - first, length - 1 + _ROUNDING - first]) / (across or _FLAT)
        low, high = np.maximum(low, edges.min(axis=0)), np.minimum(high, edges.max(axis=0))
    return ((columns >= low) & (columns <= high))[..., None]


def _equalise(image: np.ndarray, view: View) -> np.ndarray:
    """Local equalisation, of a colour film that of its lightness alone."""
    if view.clahe <= 0:
        return image
    equaliser = cv2.createCLAHE(view.clahe, (view.clahe_tiles, view.clahe_tiles))
    if image.shape[-1] != 3:
        return equaliser.apply(image).reshape(image.shape)
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lab[..., 0] = equaliser.apply(np.ascontiguousarray(lab[..., 0]))
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)


def _frame_and_mark(image: np.ndarray, view: View) -> np.ndarray:
    if view.frame == NO_FRAME and not view.marks:
        return image
    height, width = image.shape[:2]
    changed = image.copy()
    top, bottom, left, right = (round(share * side) for share, side in
                                zip(view.frame, (height, height, width, width), strict=True))
    for edge in (changed[:top], changed[height - bottom :], changed[:, :left], changed[:, width - right :]):
        edge[:] = view.frame_grey
    for (x, y, across, down), grey in view.marks:
        changed[round(y * height) : round((y + down) * height),
                round(x * width) : round((x + across) * width)] = grey
    return changed


def _transform_pixels(image: np.ndarray, view: View) -> np.ndarray:
    """Grey scale by a table of 256 values, then blur, sharpening and noise, rounded once."""
    levels = _grey_levels(image, view)
    if view.blur <= _NARROWEST_BLUR and view.noise <= 0 and view.sharpen <= 0 and view.multiply == (1, 1):
        return image if levels is None else cv2.LUT(image, _whole(levels)).reshape(image.shape)
    pixels: np.ndarray = image if levels is None else cv2.LUT(image, levels)
    if view.blur > _NARROWEST_BLUR:
        pixels = cv2.GaussianBlur(pixels.astype(np.float32, copy=False), (0, 0), view.blur)
    if view.sharpen > 0:
        pixels = pixels.astype(np.float32, copy=False).reshape(image.shape)
        soft = cv2.GaussianBlur(pixels, (0, 0), _SHARPENING_RADIUS * max(image.shape[:2]))
        pixels = pixels + view.sharpen * (pixels - soft.reshape(image.shape))
    rng = np.random.default_rng(view.noise_seed)
    if view.multiply != (1, 1):
        pixels = cv2.multiply(pixels, _factors(view.multiply, image.shape, rng), dtype=cv2.CV_32F)
    pixels = pixels.reshape(image.shape)
    if view.noise > 0:
        noise = rng.standard_normal((*image.shape[:2], 1), dtype=np.float32)
        noise *= view.noise
        pixels = pixels + noise
    return _whole(pixels)


def _grey_levels(image: np.ndarray, view: View) -> np.ndarray | None:
    """float32 (256,): what each grey level becomes; None where all stay."""
    if (view.gamma, view.contrast, view.brightness, view.offset) == (1, 1, 1, 0):
        return None
    levels = np.linspace(0, 1, 256) ** view.gamma * 255
    if view.contrast != 1:
        mean = cv2.LUT(image, levels).mean()
        levels = mean + (levels - mean) * view.contrast
    return (levels * view.brightness + view.offset).astype(np.float32)


def _factors(ends: Range, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """float32 factors, drawn from 256 steps: between 1.2 and 1.5 they lie closer than a grey level shows."""
    steps = rng.integers(256, size=shape, dtype=np.uint8)
    return cv2.LUT(steps, np.linspace(*ends, 256, dtype=np.float32)).reshape(shape)


def _whole(pixels: np.ndarray) -> np.ndarray:
    """uint8, rounded and clipped; uses up the pixels it is given."""
    np.rint(pixels, out=pixels)
    return np.clip(pixels, 0, 255, out=pixels).astype(np.uint8)


def _requantise(image: np.ndarray, view: View) -> np.ndarray:
    """Through a JPEG and back, as films are sent from one system to another."""
    if view.jpeg_quality >= 100:
        return image
    colour = image.shape[-1] == 3
    ordered = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if colour else image
    _, encoded = cv2.imencode(".jpg", ordered, [cv2.IMWRITE_JPEG_QUALITY, int(view.jpeg_quality)])
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED))
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB) if colour else decoded.reshape(image.shape)


def _erase(image: np.ndarray, view: View) -> np.ndarray:
    if view.erase is None:
        return image
    height, width = image.shape[:2]
    left, top, across, down = view.erase
    erased = image.copy()
    erased[round(top * height) : round((top + down) * height),
           round(left * width) : round((left + across) * width)] = 0
    return erased


def affine_matrix(view: View, height: int, width: int) -> np.ndarray:
    """The 2×3 matrix that maps pixels (x, y) of the film to pixels of the view, about the centre."""
    angle, lean = np.deg2rad(view.rotation), np.tan(np.deg2rad(view.shear))
    cos, sin = np.cos(angle), np.sin(angle)
    across = view.scale * np.sqrt(view.aspect) * (-1 if view.flip else 1)
    down = view.scale / np.sqrt(view.aspect) * (-1 if view.flip_vertical else 1)
    linear = np.array([[cos * across, (sin - cos * lean) * down], [-sin * across, (cos + sin * lean) * down]])
    size = np.array([width, height])
    centre = (size - 1) / 2
    matrix = np.empty((2, 3))
    matrix[:, 2] = centre - linear @ centre + np.array([view.shift_x, view.shift_y]) * size
    matrix[:, :2] = linear
    return matrix if view.crop == WHOLE else matrix @ _crop_matrix(view.crop, size)


def _crop_matrix(crop: Box, size: np.ndarray) -> np.ndarray:
    """The 3×3 matrix by which a crop fills the film: pixel edges, not centres, meet the edges of the crop."""
    corner, share = np.array(crop[:2]), np.array(crop[2:])
    matrix = np.diag([*(1 / share), 1])
    matrix[:2, 2] = (0.5 - corner * size) / share - 0.5
    return matrix
