"""Synthetic films with known lesions, of children's chests or of skin: data for demos, tests and measuring.

No patient stands behind them and nothing medical may be concluded from them. They are drawn from small
physical models (see anatomy.py and skin.py); NORMAL chest films carry confounders (thymus, strong vessels,
shallow breath, scoliosis) and every nuisance is drawn without knowing the class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from pneumo_tf.errors import FilmError, OptionError
from pneumo_tf.phantoms.anatomy import AIR_SHARE, WATER, Patient, draw_body, lung_mask, sample_patient
from pneumo_tf.phantoms.film import Shot, expose, sample_shot
from pneumo_tf.phantoms.lesions import Kind, fluid, lesion_mask
from pneumo_tf.phantoms.skin import SkinKind, SkinPhantom, draw_skin
from pneumo_tf.processes import in_processes
from pneumo_tf.storage import make_folder, read_json, replacing, write_json

_RECORD = "phantoms.json"
_MODEL = 1  # raise it when the same seed draws other films
_BACTERIAL_SHARE = 0.6
_CHEST, _SKIN = "chest_xray", "skin"  # the folder of the films


@dataclass(frozen=True)
class Phantom:
    """A drawn film and what is known of it.

    Attributes:
        film: uint8 (H, W).
        lesion: Where the lesion lies, bool (H, W); empty on a normal film.
        lungs: Where the healthy child's lungs hold air that heart and diaphragm don't hide, bool (H, W).
    """

    film: NDArray[np.uint8]
    lesion: NDArray[np.bool_]
    lungs: NDArray[np.bool_]


@dataclass(frozen=True)
class PhantomFile:
    """One film of a set: `stem` is its path under chest_xray/ or skin/ and masks/, without a suffix."""

    stem: str
    kind: Kind | SkinKind
    patient_seed: int
    film_seed: int


def draw_phantom(kind: Kind, *, patient_seed: int, film_seed: int) -> Phantom:
    """Draw one film, always the same for the same arguments.

    Args:
        kind: "normal", "bacteria" (a consolidated lobe) or "virus" (streaks and patches on both sides).
        patient_seed: Fixes anatomy and disease. The anatomy is the same for every kind, except that a
            virus overinflates the lungs by up to 3 %.
        film_seed: Fixes size, positioning, breath, exposure, noise, markers and borders, whatever the kind.

    Raises:
        OptionError: Unknown kind, negative seed.
    """
    if kind not in get_args(Kind) or min(patient_seed, film_seed) < 0:
        raise OptionError("A phantom is normal, bacteria or virus, and its seeds are at least 0.",
                          received=f"kind {kind}, seeds {patient_seed} and {film_seed}")
    return draw_shot(kind, sample_patient(patient_seed), sample_shot(film_seed))


def draw_shot(kind: Kind, patient: Patient, shot: Shot) -> Phantom:
    """Draw one exposure of a patient, framed and processed as `shot` says."""
    if kind == "virus":
        shot = replace(shot, pose=replace(shot.pose, inspiration=1.03 * shot.pose.inspiration))
    body = draw_body(patient, shot.pose, shot.frame)
    lost = fluid(kind, patient, shot.frame, air=body.air, lung_height=body.lung_height)
    film = expose(shot, body.attenuation + np.float32(WATER * AIR_SHARE) * lost, healthy=body.attenuation)
    return Phantom(film, lesion_mask(lost, shot.frame), lung_mask(body.air, shot.frame))


def plan_phantoms(*, films: int, patients: int, seed: int, skin: bool = False) -> list[PhantomFile]:
    """The films of a set: half of the patients are healthy, 60 % of the sick have bacteria.

    Every patient has one film; the others fall to patients at random. Of skin, half of the patients have a
    benign lesion.

    Raises:
        OptionError: Fewer than 2 patients, fewer films than patients, negative seed.
    """
    if patients < 2 or films < patients or seed < 0:
        raise OptionError("A set of phantoms needs 2 patients, a film of each, and a seed of at least 0.",
                          received=f"{patients} patients, {films} films, seed {seed}",
                          remedy="Ask for as many films as patients, or more.")
    rng = np.random.default_rng([seed, 0])
    counts = 1 + np.bincount(rng.integers(patients, size=films - patients), minlength=patients)
    sick = patients // 2
    bacterial = round(_BACTERIAL_SHARE * sick)
    shares: dict[Kind | SkinKind, int] = {"benign": patients - sick, "malignant": sick} if skin else \
        {"normal": patients - sick, "bacteria": bacterial, "virus": sick - bacterial}
    kinds = [kind for kind, share in shares.items() for _ in range(share)]
    numbered: Counter[str] = Counter()
    plan: list[PhantomFile] = []
    for index, (kind, count) in enumerate(zip(kinds, counts, strict=True)):
        numbered[kind] += 1
        first = sum(file.kind == kind for file in plan) + 1
        names = [f"train/{kind}/IM-{index + 1:04}-{own:04}" for own in range(1, count + 1)] if skin else \
            _names(kind, number=numbered[kind], first=first, count=int(count))
        plan += [PhantomFile(name, kind, _seed(seed, index, 0), _seed(seed, index, own))
                 for own, name in enumerate(names, start=1)]
    return plan


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def _names(kind: str, *, number: int, first: int, count: int) -> list[str]:
    """Names as in the public data set, where each subtype numbers its own patients."""
    if kind != "normal":
        return [f"train/PNEUMONIA/person{number}_{kind}_{first + own}" for own in range(count)]
    stem = f"train/NORMAL/{'NORMAL2-' if number % 2 == 0 else ''}IM-{number:04}-0001"
    return [stem] if count == 1 else [f"{stem}-{own:04}" for own in range(1, count + 1)]


def write_phantoms(folder: str | Path, *, films: int = 240, patients: int = 160, seed: int = 42,
                   workers: int = 1, skin: bool = False) -> Path:
    """Draw a set of films into `folder`, or reuse the same set if it already lies there.

    Writes `chest_xray/train/<CLASS>/*.jpeg`, `masks/train/PNEUMONIA/*.png` (0 or 255, same stems) and
    `phantoms.json`. The folder appears whole or not at all; the same arguments give identical bytes.

    Args:
        workers: Processes that draw.
        skin: Draw skin lesions in colour: `skin/train/benign/*.jpeg`, `skin/train/malignant/*.jpeg`, and
            a mask of each.

    Returns:
        The `chest_xray` or `skin` folder.

    Raises:
        OptionError: Numbers without meaning.
        FilmError: Something else lies in `folder`.
        StorageError: It can't be written.
        ProcessError: A process was killed.
    """
    folder = Path(folder)
    if workers < 1:
        raise OptionError("At least one process must draw.", received=f"{workers} workers")
    plan = plan_phantoms(films=films, patients=patients, seed=seed, skin=skin)
    record = {"model": _MODEL, "films": films, "patients": patients, "seed": seed,
              "files": [asdict(file) for file in plan]}
    root = folder / (_SKIN if skin else _CHEST)
    if _holds(folder, record, plan):
        return root
    make_folder(folder.parent)
    with replacing(folder) as temporary:
        in_processes(partial(_write, temporary), plan, workers=workers, description="Drawing films")
        write_json(temporary / _RECORD, record)
    return root


def _holds(folder: Path, record: dict[str, object], plan: list[PhantomFile]) -> bool:
    """Whether the wanted set lies in the folder; an absent or empty folder is free for it."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    wanted = (path for file in plan for path in _paths(folder, file))
    if _read(folder / _RECORD) == record and all(path.is_file() for path in wanted):
        return True
    raise FilmError("Phantoms must be written to a new or empty folder, or to one with the same set.",
                    received=f"{folder}, which holds something else",
                    remedy="Name another folder, or delete that one.")


def _read(record: Path) -> object:
    try:
        return read_json(record)
    except (OSError, ValueError):
        return None  # no record of ours: whatever lies there is not our set


def _paths(folder: Path, file: PhantomFile) -> list[Path]:
    """Where a film lies, and its mask where it has a lesion."""
    root = _SKIN if file.kind in get_args(SkinKind) else _CHEST
    film, mask = folder / root / f"{file.stem}.jpeg", folder / "masks" / f"{file.stem}.png"
    return [film] if file.kind == "normal" else [film, mask]


def _write(folder: Path, file: PhantomFile) -> None:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # there are as many processes as cores
    is_skin = file.kind in get_args(SkinKind)
    draw: Callable[..., Phantom | SkinPhantom] = draw_skin if is_skin else draw_phantom
    phantom = draw(file.kind, patient_seed=file.patient_seed, film_seed=file.film_seed)
    cv2.setNumThreads(threads)
    quality = int(np.random.default_rng([file.film_seed, 8]).integers(72, 96))
    film, *mask = _paths(folder, file)
    image = phantom.film[..., ::-1] if is_skin else phantom.film  # OpenCV has blue first
    _encode(film, image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    for path in mask:
        _encode(path, phantom.lesion.astype(np.uint8) * 255, [])


def _encode(path: Path, image: NDArray[np.uint8], options: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _, code = cv2.imencode(path.suffix, image, options)
    path.write_bytes(code.tobytes())
