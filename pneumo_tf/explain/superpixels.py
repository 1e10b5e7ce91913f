"""Cutting a film into superpixels, and hiding some of them.

A superpixel is the set of pixels that share a label. Those of SLIC are connected; those of the clusterings
(k-means, Birch, colours) need not be.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from pneumo_tf.errors import FilmError, OptionError, check_known

Film = NDArray[np.uint8]  # (H, W, 3)
Films = NDArray[np.uint8]  # (n, H, W, 3)
Labels = NDArray[np.int32]  # (H, W), the superpixel of each pixel, from 0 without gaps
Presence = NDArray[np.bool_]  # (n, superpixels)
Scorer = Callable[[Films], NDArray[np.float32]]  # films to the scores of their classes (n, K)

ABSENT = ("zero", "mean", "blur")
BATCH = 32

SUPERPIXELS, COLOURS = 80, 12
SHADE = 0.5  # from black to white is as far as half the film's side


def segment(film: Film, method: str = "slic", *, count: int | None = None, seed: int = 0) -> Labels:
    """Number every pixel of a film by its superpixel.

    Args:
        method: "slic", "kmeans", "birch" or "colour".
        count: Superpixels wanted, of which there may be fewer; None takes 80, or 12 colours.
        seed: Of the clusterings' starts; SLIC and Birch use none.

    Raises:
        FilmError: Not a film in 8-bit colour, or all of one colour.
        OptionError: Unknown method, fewer than two superpixels wanted.
    """
    check_film(film)
    check_known("segmentation", method, SEGMENTATIONS)
    count = (COLOURS if method == "colour" else SUPERPIXELS) if count is None else count
    if count < 2:
        raise OptionError("A film must be cut into at least two superpixels.", received=f"{count}")
    if is_blank(film):
        raise FilmError("A film must show something to be cut into superpixels.",
                        received="all its pixels have one colour", remedy="Choose another film.")
    labels = SEGMENTATIONS[method](film, count, seed)
    return np.unique(labels, return_inverse=True)[1].reshape(film.shape[:2]).astype(np.int32)


def check_film(film: NDArray[np.generic]) -> None:
    """Refuse what isn't one film in 8-bit colour.

    Raises:
        FilmError: Another shape or dtype than uint8 (H, W, 3).
    """
    if film.ndim != 3 or film.shape[2] != 3 or film.dtype != np.uint8 or 0 in film.shape:
        raise FilmError("A film to be explained must be uint8 (height, width, 3).",
                        received=f"{film.dtype} {film.shape}",
                        remedy="Read it with pneumo_tf.training.pixels.load_film.")


def is_blank(film: Film) -> bool:
    """Whether all pixels of a film have one colour."""
    return bool((film == film[0, 0]).all())


def outlined(film: Film, labels: Labels) -> Film:
    """The film with the borders of its superpixels drawn in yellow, uint8 (H, W, 3)."""
    from skimage.segmentation import mark_boundaries

    return np.rint(255 * mark_boundaries(film, labels, color=(1, 1, 0), mode="inner")).astype(np.uint8)


def _slic(film: Film, count: int, seed: int) -> NDArray[np.integer]:
    """Achanta et al., SLIC Superpixels, TPAMI 2012; in Lab colour, on a grid of starts."""
    from skimage.segmentation import slic

    return np.asarray(slic(film, n_segments=count, start_label=0))


def _birch(film: Film, count: int, seed: int) -> NDArray[np.integer]:
    """Zhang et al., BIRCH, SIGMOD 1996: pixels gather in small balls first, which are then merged."""
    from sklearn.cluster import Birch

    pixels = _places_and_shades(film)
    balls = Birch(threshold=0.03, n_clusters=None).fit(pixels)
    balls.set_params(n_clusters=min(count, len(balls.subcluster_centers_)))
    return np.asarray(balls.partial_fit().predict(pixels))


def _k_means(points: NDArray[np.float32], count: int, seed: int) -> NDArray[np.integer]:
    """Sculley, Web-Scale K-Means Clustering, WWW 2010; all points are assigned at the end."""
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    distinct = len(np.unique(points, axis=0))
    clusters = MiniBatchKMeans(min(count, distinct), batch_size=4096, n_init=1, random_state=seed)
    with threadpool_limits(1):  # so small a batch is done before other threads are awake
        return np.asarray(clusters.fit_predict(points))


def _places_and_shades(film: Film) -> NDArray[np.float32]:
    """One row per pixel: its row and column in [0, 1] of the longer side, its shade in [0, SHADE]."""
    height, width = film.shape[:2]
    rows, columns = np.mgrid[:height, :width] / max(height - 1, width - 1, 1)
    shades = SHADE * film.mean(axis=2) / 255
    return np.stack([rows, columns, shades], axis=-1).reshape(-1, 3).astype(np.float32)


# By colour alone pixels of one shade belong together wherever they lie.
SEGMENTATIONS: dict[str, Callable[[Film, int, int], NDArray[np.integer]]] = {
    "slic": _slic,
    "kmeans": lambda film, count, seed: _k_means(_places_and_shades(film), count, seed),
    "birch": _birch,
    "colour": lambda film, count, seed: _k_means(film.reshape(-1, 3).astype(np.float32), count, seed)}


def filling(film: Film, absent: str, labels: Labels | None = None) -> Film:
    """The pixels that stand where a superpixel is absent.

    "zero" is black, "mean" the mean colour of each superpixel (of the film, without labels), "blur" the film
    without detail: a Gaussian of a tenth of its longer side.

    Raises:
        OptionError: Another word.
    """
    check_known("filling", absent, ABSENT)
    if absent == "zero":
        return np.zeros_like(film)
    if absent == "blur":
        return np.asarray(cv2.GaussianBlur(film, (0, 0), max(film.shape) / 10), dtype=np.uint8)
    regions = np.zeros(film.shape[:2], np.int32) if labels is None else labels
    sizes = np.bincount(regions.ravel())
    sums = [np.bincount(regions.ravel(), film[..., channel].ravel()) for channel in range(3)]
    return np.rint(np.stack(sums, axis=-1) / sizes[:, None]).astype(np.uint8)[regions]


def perturbed(film: Film, fill: Film, labels: Labels, presence: Presence) -> Films:
    """One film per row: its own pixels where the superpixel is present, else the filling."""
    mask = np.repeat(labels.ravel(), 3)
    shown = np.take(255 * presence.view(np.uint8), mask, axis=1).reshape(-1, *film.shape)
    shown &= film ^ fill  # 255 lets the film through, 0 the filling: bits are faster than comparisons
    shown ^= fill
    return shown


def scores_of(film: Film, fill: Film, labels: Labels, presence: Presence, *,
              scorer: Scorer) -> NDArray[np.float32]:
    """Scores (n, K) of the perturbed films; never more than a batch of them exists."""
    batches = [presence[start : start + BATCH] for start in range(0, len(presence), BATCH)]
    return np.concatenate([scorer(perturbed(film, fill, labels, rows)) for rows in batches])
