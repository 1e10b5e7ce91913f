"""A film cut into superpixels: by neighbourhood and shade (SLIC), by clustering every pixel, or by colour.

Whatever the method, a superpixel is the set of pixels that share a number. Those of SLIC are in one piece;
those of the clusterings need not be.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.errors import FilmError, OptionError

Film = NDArray[np.uint8]
Labels = NDArray[np.int32]

SUPERPIXELS, COLOURS = 80, 12
SHADE = 0.5  # from black to white is as far as half the film's side


def segment(film: Film, method: str = "slic", *, count: int | None = None, seed: int = 0) -> Labels:
    """Number every pixel of a film by its superpixel.

    Args:
        film: uint8 (H, W, 3).
        method: "slic", "kmeans", "birch" or "colour".
        count: Superpixels wanted, of which there may be fewer; None takes 80, or 12 colours.
        seed: Of the clusterings' starts; SLIC and Birch use none.

    Returns:
        int32 (H, W), numbers from 0 without gaps.

    Raises:
        FilmError: Not a film in 8-bit colour, or all of one colour.
        OptionError: Unknown method, fewer than two superpixels wanted.
    """
    check_film(film)
    if method not in SEGMENTATIONS:
        raise OptionError("The superpixels must be made in a way that this program knows.", received=method,
                          remedy=f"Choose one of: {', '.join(SEGMENTATIONS)}.")
    count = (COLOURS if method == "colour" else SUPERPIXELS) if count is None else count
    if count < 2:
        raise OptionError("A film must be cut into at least two superpixels.", received=f"{count}")
    if (film == film[0, 0]).all():
        raise FilmError("A film must show something to be cut into superpixels.",
                        received="all its pixels have one colour", remedy="Choose another film.")
    labels = SEGMENTATIONS[method](film, count, seed)
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)


def check_film(film: NDArray[np.generic]) -> None:
    """Refuse what isn't one film in 8-bit colour.

    Raises:
        FilmError: Another shape or dtype than uint8 (H, W, 3).
    """
    if film.ndim != 3 or film.shape[2] != 3 or film.dtype != np.uint8 or 0 in film.shape:
        raise FilmError("A film to be explained must be uint8 (height, width, 3).",
                        received=f"{film.dtype} {film.shape}",
                        remedy="Read it with pneumo_tf.training.pixels.load_film.")


def outlined(film: Film, labels: Labels) -> Film:
    """The film with the borders of its superpixels drawn in yellow, uint8 (H, W, 3)."""
    from skimage.segmentation import mark_boundaries

    return np.rint(255 * mark_boundaries(film, labels, color=(1, 1, 0), mode="inner")).astype(np.uint8)


def _slic(film: Film, count: int, seed: int) -> NDArray[np.integer]:
    """Achanta et al., SLIC Superpixels, TPAMI 2012; in Lab colour, on a grid of starts."""
    from skimage.segmentation import slic

    return np.asarray(slic(film, n_segments=count, start_label=0))


def _kmeans(film: Film, count: int, seed: int) -> NDArray[np.integer]:
    return _k_means(_places_and_shades(film), count, seed).reshape(film.shape[:2])


def _birch(film: Film, count: int, seed: int) -> NDArray[np.integer]:
    """Zhang et al., BIRCH, SIGMOD 1996: pixels gather in small balls first, which are then merged."""
    from sklearn.cluster import Birch

    pixels = _places_and_shades(film)
    balls = Birch(threshold=0.03, n_clusters=None).fit(pixels)
    balls.set_params(n_clusters=min(count, len(balls.subcluster_centers_)))
    return np.asarray(balls.partial_fit().predict(pixels)).reshape(film.shape[:2])


def _colour(film: Film, count: int, seed: int) -> NDArray[np.integer]:
    """K-means of the colours alone: pixels of one shade belong together wherever they lie."""
    return _k_means(film.reshape(-1, 3).astype(np.float32), count, seed).reshape(film.shape[:2])


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


SEGMENTATIONS: dict[str, Callable[[Film, int, int], NDArray[np.integer]]] = {
    "slic": _slic, "kmeans": _kmeans, "birch": _birch, "colour": _colour}
