"""A view's parameters put into effect: one affine warp, then one pixel transform."""

from __future__ import annotations

import cv2
import numpy as np

from pneumo_tf.training.view import Range, View, affine_matrix

# Films are spread over the threads, not the parts of one film.
cv2.setNumThreads(1)
_NARROWEST_BLUR = 0.1  # a narrower kernel is the identity on whole pixels
_ROUNDING = 1e-9  # of coordinates that lie on an edge, in pixels
_FLAT = 1e-30  # a slope that can be divided by and stays 0 over any film


def apply_view(image: np.ndarray, view: View) -> np.ndarray:
    """One affine warp and one pixel transform; a step that has nothing to do is left out.

    Args:
        image: uint8 (H, W, C); left unchanged.
        view: What to do; `CLEAN` is the identity.

    Returns:
        uint8 (H, W, C) in new memory.
    """
    seen = _erase(_requantise(_transform_pixels(_warp(image, view), view), view), view)
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


def _transform_pixels(image: np.ndarray, view: View) -> np.ndarray:
    """Grey scale by a table of 256 values, then blur and noise, rounded once."""
    levels = _grey_levels(image, view)
    if view.blur <= _NARROWEST_BLUR and view.noise <= 0 and view.multiply == (1, 1):
        return image if levels is None else cv2.LUT(image, _whole(levels)).reshape(image.shape)
    pixels: np.ndarray = image if levels is None else cv2.LUT(image, levels)
    if view.blur > _NARROWEST_BLUR:
        pixels = cv2.GaussianBlur(pixels.astype(np.float32, copy=False), (0, 0), view.blur)
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
