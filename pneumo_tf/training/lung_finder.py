"""Phantoms -> the weights of the lung finder.

No film was annotated: the phantoms' air column is the true mask. So that what is learnt holds on real films,
every step meets the phantoms under another exposure, framing, posture and disease than before, far beyond
what is plausible.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import keras
import numpy as np
from keras import ops

from pneumo_tf.data.preparation.lungs import SIZE, standardised
from pneumo_tf.models.lung_finder import build_lung_finder
from pneumo_tf.phantoms.anatomy import sample_patient
from pneumo_tf.phantoms.film import sample_shot
from pneumo_tf.phantoms.lesions import Kind
from pneumo_tf.phantoms.shapes import Frame, Plane
from pneumo_tf.phantoms.write import Phantom, draw_shot
from pneumo_tf.progress import progress_bar
from pneumo_tf.training.optimizers import rate_schedule
from pneumo_tf.training.trunk import ahead

BATCH = 24
_KINDS: tuple[Kind, ...] = ("normal", "bacteria", "virus")
_SIDE = 288  # of a phantom, in pixels
_SPAN = 3.7  # body units that it shows: arms, chin and belly too
_STRANGE = 0.12  # share of views that show no chest
_PEAK = 3e-3


def draw_wide_phantom(seed: int) -> Phantom:
    """A phantom in a wide frame, from a newborn's short chest and large heart to a youth's."""
    rng = np.random.default_rng([seed, 9])
    patient, shot = sample_patient(seed), sample_shot(seed)
    patient = replace(patient, lung_height=patient.lung_height * rng.uniform(0.75, 1.1),
                      heart=patient.heart * rng.uniform(0.95, 1.35))
    angle = rng.normal(0, 0.08)
    scale = _SIDE / _SPAN
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([0, 0.72])
    frame = Frame(_SIDE, _SIDE, np.column_stack([turn, _SIDE / 2 - turn @ middle]))
    shot = replace(shot, frame=frame, pose=replace(shot.pose, arms=rng.uniform(-1.4, 1.45),
                                                   inspiration=rng.uniform(0.75, 1.0)))
    return draw_shot(_KINDS[seed % len(_KINDS)], patient, shot)


def sample_pair(phantom: Phantom, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """A phantom as yet another machine would have taken it, standardised, and its mask in [0, 1].

    Both are float32 (96, 96).
    """
    film, mask = _framed(phantom, rng)
    if rng.random() < _STRANGE:
        film, mask = _no_chest(film, rng), np.zeros_like(mask)
    film = _attached(_diseased(film, mask, rng), rng)
    film = _exposed(film, rng)
    return standardised(_processed(film, rng)), mask


def _framed(phantom: Phantom, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """The phantom zoomed, stretched, turned, moved, bent and mirrored; film in [0, 1], both (96, 96)."""
    rows, columns = np.nonzero(phantom.lungs)
    centre = np.array([np.ptp(columns) / 2 + columns.min(), np.ptp(rows) / 2 + rows.min()])
    extent = np.array([np.ptp(columns), np.ptp(rows)])
    share = np.exp(rng.uniform(np.log(0.5), np.log(1.25)))  # of the frame that the lungs take
    window = extent / share * np.exp(rng.uniform(-0.25, 0.25, 2))
    shift = rng.uniform(-0.5, 0.5, 2) * np.maximum(np.abs(window - extent), 0.12 * window)
    angle = rng.normal(0, 0.09) if rng.random() < 0.9 else rng.uniform(-0.5, 0.5)
    grid = np.stack(np.meshgrid(*[(np.arange(SIZE) + 0.5) / SIZE - 0.5] * 2), axis=-1)
    if rng.random() < 0.5:
        grid[..., 0] *= -1
    grid += _bending(rng, rng.uniform(0, 0.025))
    turned = grid @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    place = (centre + shift + turned * window).astype(np.float32)
    border = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_CONSTANT
    blur = float(window.max()) / SIZE / 3  # the window holds more pixels than the view
    soft = cv2.GaussianBlur(phantom.film, (0, 0), max(blur, 0.3))
    film = cv2.remap(soft, place[..., 0], place[..., 1], cv2.INTER_LINEAR, borderMode=border)
    mask = cv2.remap(phantom.lungs.astype(np.float32), place[..., 0], place[..., 1], cv2.INTER_LINEAR)
    return film.astype(np.float32) / 255, mask


def _bending(rng: np.random.Generator, strength: float) -> Plane:
    coarse = rng.standard_normal((5, 5, 2))
    return strength * cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)


def _field(rng: np.random.Generator, cells: int) -> Plane:
    """A smooth random field of unit deviation, float32 (96, 96)."""
    coarse = rng.standard_normal((cells, cells)).astype(np.float32)
    return cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)


def _no_chest(film: Plane, rng: np.random.Generator) -> Plane:
    """To be refused, in [0, 1]: a film on its side or in disorder, a limb, clouds with bars and discs."""
    kind = rng.integers(5)
    if kind == 0:
        return np.ascontiguousarray(np.rot90(film, int(rng.integers(1, 4))))  # OpenCV draws on no other
    if kind == 1:
        cell = SIZE // 4
        tiles = film.reshape(4, cell, 4, cell).swapaxes(1, 2).reshape(16, cell, cell)
        return rng.permutation(tiles).reshape(4, 4, cell, cell).swapaxes(1, 2).reshape(SIZE, SIZE)
    if kind == 2:
        return _limb(rng)
    picture = 0.5 + rng.uniform(0.1, 0.5) * _field(rng, int(np.exp(rng.uniform(0.7, np.log(SIZE)))))
    for _ in range(rng.integers(0, 8)):
        ends = rng.integers(-SIZE // 4, SIZE + SIZE // 4, (2, 2)).tolist()
        grey = float(rng.uniform(0, 1))
        if rng.random() < 0.5:
            cv2.line(picture, ends[0], ends[1], grey, int(rng.integers(1, 30)))
        else:
            cv2.circle(picture, ends[0], int(rng.integers(2, 40)), grey, -1)
    return np.clip(picture, 0, 1)


def _limb(rng: np.random.Generator) -> Plane:
    """A round limb along the film with one or two hollow bones in it."""
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32) / SIZE
    middle = columns - rng.uniform(0.3, 0.7) + rng.uniform(-0.3, 0.3) * rows
    middle += 0.1 * np.sin(rng.uniform(1, 6) * rows + rng.uniform(0, 6))
    half = rng.uniform(0.15, 0.5) * (1 + rng.uniform(-0.4, 0.4) * rows)
    film = rng.uniform(0.3, 0.6) * np.sqrt(np.maximum(1 - (middle / half) ** 2, 0))
    for _ in range(rng.integers(1, 3)):
        bone = (middle - half * rng.uniform(-0.5, 0.5)) / (half * rng.uniform(0.12, 0.3))
        wall = np.sqrt(np.maximum(1 - bone**2, 0)) - 0.7 * np.sqrt(np.maximum(1 - (bone / 0.7) ** 2, 0))
        film = film + rng.uniform(0.3, 0.8) * wall
    return np.clip(film + rng.uniform(0, 0.1), 0, 1)


def _diseased(film: Plane, mask: Plane, rng: np.random.Generator) -> Plane:
    """Blurred opacities and gas anywhere; now and then a whole lung is white, or both are."""
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32) / SIZE
    for _ in range(rng.integers(0, 4)):
        centre, radii = rng.uniform(0, 1, 2), rng.uniform(0.05, 0.3, 2)
        blob = np.exp(-(((columns - centre[0]) / radii[0]) ** 2) - ((rows - centre[1]) / radii[1]) ** 2)
        goal = rng.uniform(0.55, 0.95) if rng.random() < 0.75 else rng.uniform(0, 0.25)
        film = film + rng.uniform(0.2, 0.9) * blob * (goal - film)
    if rng.random() < 0.25:
        body = cv2.GaussianBlur(mask, (0, 0), rng.uniform(2, 6))
        side = np.ones_like(columns) if rng.random() < 0.4 else 1 / (1 + np.exp(40 * (columns - 0.5)))
        film = film + rng.uniform(0.4, 1) * body * side * (rng.uniform(0.5, 0.8) - film)
    return film


def _attached(film: Plane, rng: np.random.Generator) -> Plane:
    """Lines, tubes, electrodes, clips and letters."""
    grey = (np.clip(film, 0, 1) * 255).astype(np.uint8)
    for _ in range(rng.integers(0, 4) if rng.random() < 0.35 else 0):
        track = np.cumsum(np.r_[rng.uniform(0, SIZE, (1, 2)), rng.normal(0, 9, (7, 2))], axis=0)
        cv2.polylines(grey, [track.astype(np.int32)], False, int(rng.integers(180, 256)), 1, cv2.LINE_AA)
    for _ in range(rng.integers(0, 5) if rng.random() < 0.4 else 0):
        place = rng.integers(0, SIZE, 2).tolist()
        level = int(rng.integers(200, 256)) if rng.random() < 0.85 else 0
        if rng.random() < 0.5:
            cv2.putText(grey, str(rng.choice(list("RLAP"))), place, cv2.FONT_HERSHEY_SIMPLEX,
                        float(rng.uniform(0.2, 0.5)), level, 1, cv2.LINE_AA)
        else:
            cv2.circle(grey, place, int(rng.integers(1, 5)), level, -1)
    return grey.astype(np.float32) / 255


def _exposed(film: Plane, rng: np.random.Generator) -> Plane:
    """Another tube voltage, processing and shading; seldom the negative."""
    film = np.clip(film, 0, 1) ** np.exp(rng.uniform(-0.7, 0.7))
    film = film * (1 + 0.25 * rng.uniform(0, 1) * _field(rng, int(rng.integers(2, 4))))
    film = film + 0.15 * rng.uniform(0, 1) * _field(rng, int(rng.integers(2, 6)))
    film = film.mean() + np.exp(rng.uniform(-0.7, 0.5)) * (film - film.mean()) + rng.uniform(-0.25, 0.25)
    return 1 - film if rng.random() < 0.12 else film


def _processed(film: Plane, rng: np.random.Generator) -> Plane:
    """Blur or sharpening, noise, CLAHE and a frame round the film."""
    if rng.random() < 0.4:
        soft = cv2.GaussianBlur(film, (0, 0), rng.uniform(0.4, 1.6))
        film = soft if rng.random() < 0.6 else film + rng.uniform(0.3, 1.5) * (film - soft)
    film = film + rng.uniform(0, 0.04) * rng.standard_normal(film.shape)
    grey: Plane = (np.clip(film, 0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.3:
        cells = int(rng.integers(2, 9))
        grey = cv2.createCLAHE(float(rng.uniform(1, 5)), (cells, cells)).apply(grey)
    if rng.random() < 0.4:
        top, bottom, left, right = (rng.integers(0, 12, 4) * (rng.random(4) < 0.6)).tolist()
        level = 0 if rng.random() < 0.6 else rng.integers(256)
        grey[:top], grey[SIZE - bottom :], grey[:, :left], grey[:, SIZE - right :] = [level] * 4
    return grey


def masks_loss(truth: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Cross-entropy plus one minus the Dice coefficient of each film."""
    crossed = ops.mean(keras.losses.binary_crossentropy(truth, logits, from_logits=True))
    found = ops.sigmoid(logits)
    both, sizes = (ops.sum(part, axis=(1, 2, 3)) for part in (truth * found, truth + found))
    return crossed + 1 - ops.mean((2 * both + 20) / (sizes + 20))


def train_lung_finder(*, phantoms: int = 1400, steps: int = 1000, seed: int = 42,
                      workers: int = 2) -> keras.Model:
    """Draw phantoms and train the finder on ever new views of them.

    Args:
        workers: Threads that draw; the result doesn't depend on them.
    """
    keras.utils.set_random_seed(seed)
    model = build_lung_finder()
    optimizer = keras.optimizers.AdamW(rate_schedule("one-cycle", _PEAK, steps), weight_decay=1e-4)
    model.compile(optimizer, masks_loss)
    with ThreadPoolExecutor(workers) as pool, progress_bar("Phantoms", phantoms) as advance:
        drawn = []
        for phantom in pool.map(draw_wide_phantom, range(seed * 100_000, seed * 100_000 + phantoms)):
            drawn.append(phantom)
            advance(1)
    with ThreadPoolExecutor(workers) as pool, progress_bar("Training", steps) as advance:
        for films, masks in _batches(drawn, pool, steps=steps, seed=seed):
            model.train_on_batch(films, masks)
            advance(1)
    return keras.Model(model.input, model.output, name=model.name)  # without its loss, which can't be cloned


def _batches(drawn: list[Phantom], pool: ThreadPoolExecutor, *, steps: int,
             seed: int) -> Iterator[tuple[Plane, Plane]]:
    def batch(step: int) -> tuple[Plane, Plane]:
        rng = np.random.default_rng([seed, step])
        pairs = [sample_pair(drawn[row], rng) for row in rng.integers(len(drawn), size=BATCH)]
        films, masks = (np.stack(part)[..., None] for part in zip(*pairs, strict=True))
        return films, masks

    return ahead(pool, batch, range(steps), depth=8)
