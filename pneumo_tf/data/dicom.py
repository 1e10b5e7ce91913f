"""DICOM files: the film as it is meant to be seen, with 8 bits, and whose it is.

Clauses are of DICOM PS3.3 unless another part is named. Nothing of a file's header leaves this module but
what `Identity` holds: no message names a value, and the library's own messages, which do, are silenced.
"""

from __future__ import annotations

import hashlib
import logging
import re
import struct
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFile

from pneumo_tf.errors import FilmError

if TYPE_CHECKING:
    from pydicom import Dataset

HEAD = 132  # bytes that tell a DICOM file: 128 of anybody's, then DICM (PS3.10 7.1)
ABSENT = "DICOM file: to read it, pip install 'pneumo_tf[dicom]'"
_DAMAGED = "truncated or damaged image"
_FILMS = ("1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1")  # CR; DX, for presentation
_RAW = "1.2.840.10008.5.1.4.1.1.1.1.1"  # DX, for processing
_CAPTURES = ("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.2", "1.2.840.10008.5.1.4.1.1.7.3")
_MODALITIES = ("CR", "DX", "RG")
_ROUNDING = 0.01  # by which the sides of a square pixel may differ
_DEFLATED = "1.2.840.10008.1.2.1.99"
# What pydicom and its decoders raise for damaged data, most of which is read when it is first asked for.
_DAMAGE: tuple[type[Exception], ...] = (
    OSError, EOFError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, AssertionError,
    ArithmeticError, MemoryError, struct.error)

Grey = NDArray[np.floating]


class Identity(NamedTuple):
    """Whose film it is; an empty string means unknown.

    Attributes:
        patient: Patient ID. A personal datum: it is hashed by `patients.patient_of` and never written.
        study, series: UIDs.
        instance: What the film is called in every record and message, since a hospital's folders and files
            are called after patients: its UID, or a hash of its bytes where it has none.
    """

    patient: str
    study: str
    series: str
    instance: str


class DicomFilm(ImageFile.ImageFile):
    """Pillow's reader of DICOM films: mode "L", 0 is black whatever the file calls black, square pixels."""

    format = "DICOM"
    format_description = "DICOM film"

    def _open(self) -> None:
        assert self.fp is not None
        if not begins_as_dicom(self.fp.read(HEAD)):
            raise SyntaxError("no DICOM")  # Pillow asks the next reader
        with _damage_refused():
            header = _dataset(self.fp, pixels=False)
            _refuse_kind(header)
            _refuse_pixels(header)
            self._mode, self._size = "L", _square_pixels(header)

    def load(self) -> Image.core.PixelAccess | None:
        """Decode the pixels."""
        if self._im is None:
            assert self.fp is not None
            with _damage_refused():
                shown = Image.fromarray(_display_values(_dataset(self.fp, pixels=True)))
            self.im = shown.resize(self.size, Image.Resampling.BILINEAR).im  # a copy where nothing changes
        return Image.Image.load(self)


def begins_as_dicom(head: bytes) -> bool:
    """Whether a file's first bytes are those of DICOM, whatever the file is called."""
    return head[128:HEAD] == b"DICM"


def is_uid(text: str) -> bool:
    """Whether a text is a UID (PS3.5 9.1), and so does as the name of a file."""
    return len(text) <= 64 and re.fullmatch(r"\d+(\.\d+)*", text) is not None


def identify(data: bytes | IO[bytes]) -> Identity | None:
    """Whose film a file holds, as far as its header can be read; None where it is no DICOM.

    UIDs that aren't UIDs count as unknown: they become names of files.
    """
    file = BytesIO(data) if isinstance(data, bytes) else data
    file.seek(0)
    if not begins_as_dicom(file.read(HEAD)):
        return None
    try:
        with _damage_refused():
            header = _dataset(file, pixels=False)
            patient = str(header.get("PatientID") or "").strip()
            uids = [str(header.get(name, "")) for name in
                    ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")]
    except FilmError:
        patient, uids = "", ["", "", ""]
    study, series, instance = (uid if is_uid(uid) else "" for uid in uids)
    if not instance:
        file.seek(0)
        instance = f"sha256-{hashlib.sha256(file.read()).hexdigest()[:16]}"
    return Identity(patient, study, series, instance)


def read_header(file: IO[bytes]) -> Dataset:
    """All that a DICOM file says of its film, personal data among it, without the pixels.

    Raises:
        FilmError: No DICOM, or damaged, or there is no library to read it.
    """
    file.seek(0)
    if not begins_as_dicom(file.read(HEAD)):
        raise _refused("not a DICOM file")
    with _damage_refused():
        return _dataset(file, pixels=False)


def silent_pydicom() -> Any:
    """The library, which would quote values of a header in its warnings.

    Raises:
        ImportError: It isn't installed.
    """
    import pydicom

    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
    return pydicom


def _dataset(file: IO[bytes], *, pixels: bool) -> Dataset:
    """The data set of a file, without its pixels unless they are asked for.

    Raises:
        FilmError: There is no library to read it.
    """
    try:
        pydicom = silent_pydicom()
    except ImportError as failure:
        raise _refused(ABSENT, remedy="Install it, or export the film as PNG.") from failure
    file.seek(HEAD)
    meta = pydicom.filereader.read_dataset(cast(BinaryIO, file), is_implicit_VR=False, is_little_endian=True,
                                           stop_when=lambda tag, vr, length: tag.group != 2)  # PS3.10 7.1
    if meta.get("TransferSyntaxUID") == _DEFLATED:
        raise _refused("DICOM compression that isn't read")  # it would unpack to any size, unseen
    file.seek(0)
    return pydicom.dcmread(file, stop_before_pixels=not pixels)


def _refuse_kind(header: Dataset) -> None:
    """A film is CR (A.2), DX for presentation (A.26), or a secondary capture (A.8) of such a one."""
    kind, modality = header.get("SOPClassUID"), header.get("Modality")
    if kind == _RAW or header.get("PresentationIntentType") == "FOR PROCESSING":  # C.8.11.1.1.1
        raise _refused("DICOM of a detector's raw signal, not meant to be looked at")
    # C.8.6.1: whoever digitises films may call them Other.
    digitised = modality == "OT" and header.get("ConversionType") == "DF"
    if kind not in _FILMS and not (kind in _CAPTURES and (modality in _MODALITIES or digitised)):
        raise _refused("DICOM of another kind than CR, DX or a secondary capture of them")


def _refuse_pixels(header: Dataset) -> None:
    from pydicom.pixels import get_decoder

    if not (header.get("Rows") and header.get("Columns")):
        raise _refused("DICOM without an image")
    if int(header.get("NumberOfFrames") or 1) > 1:  # C.7.6.6
        raise _refused("several frames in one file")
    if header.get("SamplesPerPixel", 1) != 1 or \
            header.get("PhotometricInterpretation") not in ("MONOCHROME1", "MONOCHROME2"):  # C.7.6.3.1.2
        raise _refused("DICOM in colour, where a film is grey")
    if header.BitsAllocated not in (8, 16) or not 8 <= header.BitsStored <= header.BitsAllocated \
            or header.get("HighBit", header.BitsStored - 1) != header.BitsStored - 1:  # C.7.6.3.1
        raise _refused("DICOM of other than 8 to 16 bits of grey")
    try:
        decoder = get_decoder(header.file_meta.TransferSyntaxUID)
    except NotImplementedError as failure:
        raise _refused("DICOM compression that isn't read") from failure
    if not decoder.is_available:
        raise _refused(ABSENT, remedy="Install it, or export the film as PNG.")


def _square_pixels(header: Dataset) -> tuple[int, int]:
    """Width and height of a film whose pixels are made square by adding to the side that has too few.

    C.7.6.3.1.7: the aspect ratio is vertical to horizontal, as is the spacing (10.7.1.3) that stands for it.
    """
    width, height = int(header.Columns), int(header.Rows)
    for name in ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        down, across = map(float, header.get(name) or (0, 0))
        if down > 0 and across > 0:
            ratio = down / across if abs(down / across - 1) > _ROUNDING else 1
            return max(width, round(width / ratio)), max(height, round(height * ratio))
    return width, height


def _display_values(dataset: Dataset) -> NDArray[np.uint8]:
    """Stored values, through modality, VOI and polarity, as grey (H, W) with 0 black and 255 white.

    Overlays, which are drawn over a film (C.9.2), are left away; what a shutter hides is black.
    """
    values, low, high = _modality_values(dataset)
    grey = _of_interest(values, dataset, low=low, high=high)
    if dataset.PhotometricInterpretation == "MONOCHROME1":  # C.7.6.3.1.2: the lowest is white, after VOI
        grey = 1 - grey
    return np.rint(255 * _shuttered(grey, dataset)).astype(np.uint8)


def _stored_values(dataset: Dataset) -> NDArray[np.integer]:
    """The samples, without what older files keep in the bits above them (PS3.5 8.1.1), such as overlays."""
    from pydicom.pixels import pixel_array

    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        _refuse_other_size(dataset)
    values: NDArray[np.integer] = pixel_array(dataset, raw=True, correct_unused_bits=True)
    if values.shape != (dataset.Rows, dataset.Columns):
        raise _refused(_DAMAGED)
    return values


def _refuse_other_size(dataset: Dataset) -> None:
    """A compressed frame of another size than the header's: the decoder would make room for all of it."""
    from pydicom.encaps import get_frame

    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    rows, columns = dataset.Rows, dataset.Columns
    if _coded_size(frame) not in (None, (rows, columns)) or len(frame) > 4 * rows * columns + 2**20:
        raise _refused(_DAMAGED)


def _coded_size(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns that a frame of JPEG, JPEG-LS or JPEG 2000 declares; None for another compression."""
    if (start := frame[:256].find(b"\xff\x4f\xff\x51")) >= 0:  # ITU-T T.800 A.5.1
        across, down, left, top = struct.unpack_from(">4I", frame, start + 8)
        return down - top, across - left
    place = 2
    while frame[:2] == b"\xff\xd8":  # ITU-T T.81 B.2.2: the frame's header, after other segments
        if frame[place + 1] in {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}:
            rows, columns = struct.unpack_from(">2H", frame, place + 5)
            return rows, columns
        place += 1 if frame[place + 1] == 0xFF else 2 + struct.unpack_from(">H", frame, place + 2)[0]
    return None


def _modality_values(dataset: Dataset) -> tuple[Grey, float, float]:
    """The values after the Modality LUT module (C.11.1), with the lowest and highest there can be."""
    stored = _stored_values(dataset)
    if table := dataset.get("ModalityLUTSequence"):
        values, highest = _looked_up(stored, table[0])
        return values, 0, highest
    first = -(2 ** (dataset.BitsStored - 1)) if dataset.PixelRepresentation == 1 else 0
    slope = float(dataset.get("RescaleSlope") or 1)
    intercept = float(dataset.get("RescaleIntercept") or 0)
    low, high = sorted(slope * end + intercept for end in (first, first + 2**dataset.BitsStored - 1))
    return stored * slope + intercept, low, high


def _of_interest(values: Grey, dataset: Dataset, *, low: float, high: float) -> Grey:
    """The values after the VOI LUT module (C.11.2), from 0 to 1; the first of several views."""
    if table := dataset.get("VOILUTSequence"):  # C.11.2.1.1
        shown, highest = _looked_up(values, table[0])
        return shown / highest
    centre, width = (_first(dataset.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if centre is None or not width or width < 0:  # nothing of the kind, or nothing that C.11.2.1.2.1 allows
        return (values - low) / (high - low)
    function = str(dataset.get("VOILUTFunction") or "LINEAR").strip().upper()
    if function == "SIGMOID":  # C.11.2.1.3.1
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    if function == "LINEAR":  # C.11.2.1.2.1; a width of 1 is a step
        centre, width = centre - 0.5, max(width - 1, 1e-9)
    elif function != "LINEAR_EXACT":  # C.11.2.1.3.2
        raise _refused("DICOM with a window of an unknown function")
    return np.clip((values - centre) / width + 0.5, 0, 1)


def _shuttered(grey: Grey, dataset: Dataset) -> Grey:
    """Black outside of the display shutter, of one shape or of what several have in common (C.7.6.11).

    Its rows and columns count from 1; its edges are still seen.
    """
    shapes = dataset.get("ShutterShape") or ()
    for shape in [shapes] if isinstance(shapes, str) else shapes:
        seen = Image.new("1", grey.shape[::-1])
        draw = ImageDraw.Draw(seen)
        if shape == "RECTANGULAR":
            left, top, right, bottom = (int(dataset[f"Shutter{edge}Edge"].value) - 1 for edge in (
                "LeftVertical", "UpperHorizontal", "RightVertical", "LowerHorizontal"))
            draw.rectangle((left, top, right, bottom), fill=1)
        elif shape == "CIRCULAR":
            row, column = (int(place) - 1 for place in dataset.CenterOfCircularShutter)
            draw.circle((column, row), int(dataset.RadiusOfCircularShutter), fill=1)
        elif shape == "POLYGONAL":
            places = [int(place) - 1 for place in dataset.VerticesOfThePolygonalShutter]
            draw.polygon([*zip(places[1::2], places[::2], strict=True)], fill=1)
        else:
            raise _refused("DICOM with a shutter of an unknown shape")
        grey = grey * np.asarray(seen)
    return grey


def _looked_up(values: NDArray[Any], table: Dataset) -> tuple[Grey, float]:
    """The values after a look-up table, and the highest that it can give (C.11.1.1 and C.11.2.1.1)."""
    entries, first, bits = (int(number) for number in table.LUTDescriptor)
    entries, data = entries % 2**16 or 2**16, table.LUTData  # 0 stands for 65,536
    if isinstance(data, bytes):
        order = ">" if table.original_encoding[1] is False else "<"
        data = np.frombuffer(data, f"{order}u{2 if len(data) >= 2 * entries else 1}")
    levels = np.asarray(data)
    places = np.clip(np.rint(values) - first, 0, min(entries, len(levels)) - 1)
    return levels[places.astype(np.intp)].astype(np.float64), 2.0**bits - 1


def _first(value: Any) -> float | None:
    """The first of one or several numbers; None where there is none."""
    numbers = np.atleast_1d(np.asarray([] if value is None or value == "" else value, dtype=float))
    return float(numbers[0]) if numbers.size else None


@contextmanager
def _damage_refused() -> Iterator[None]:
    try:
        yield
    except (*_DAMAGE, *_library_errors()) as failure:
        raise _refused(_DAMAGED) from failure
    except BaseException as failure:
        if type(failure).__name__ != "PanicException":  # of decoders in Rust, which has no class to import
            raise
        raise _refused(_DAMAGED) from failure


def _library_errors() -> tuple[type[Exception], ...]:
    """Errors of pydicom's own, which has been imported by what raises them."""
    errors = sys.modules.get("pydicom.errors")
    return (errors.BytesLengthException, errors.InvalidDicomError) if errors else ()


def _refused(why: str, *, remedy: str = "Export it again, or leave it out.") -> FilmError:
    return FilmError("A film must be an image that can be read to its end.", received=why, remedy=remedy)
