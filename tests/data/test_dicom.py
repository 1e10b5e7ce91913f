"""DICOM films as they are meant to be seen: each step of the standard against dcmtk, and what is refused."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
import skimage.draw
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless
from scipy import ndimage

from pneumo_tf.data.dicom import ABSENT, Identity, identify
from pneumo_tf.data.images import open_film, read_film, read_film_file
from pneumo_tf.data.preparation.lungs import lungs_box
from pneumo_tf.errors import FilmError

Make = Callable[..., bytes]
RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)  # each value of 12 bits once
SIGNED = (RAMP.astype(int) - 2048).astype(np.int16)
WINDOW = {"BitsStored": 12, "WindowCenter": 2000, "WindowWidth": 1000}
KIND = "DICOM of another kind than CR, DX or a secondary capture of them"
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def table(first: int, bits: int, levels: np.ndarray) -> list[Dataset]:
    """A sequence of one look-up table."""
    item = Dataset()
    item.LUTDescriptor = [len(levels), first, bits]
    item.LUTData = [int(level) for level in levels]
    item.ModalityLUTType = "US"
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    return [item]


def grey(data: bytes) -> np.ndarray:
    return np.asarray(read_film(data)).astype(int)


def refused(data: bytes) -> str:
    with pytest.raises(FilmError) as refusal:
        read_film(data)
    return refusal.value.received


STEPS = {
    "all of 12 bits where no window is given": (RAMP, {"BitsStored": 12}),
    "8 bits as they are": (RAMP.astype(np.uint8), {}),
    "a window": (RAMP, WINDOW),
    "a window of width 1": (RAMP, WINDOW | {"WindowWidth": 1}),
    "an exact window": (RAMP, WINDOW | {"VOILUTFunction": "LINEAR_EXACT"}),
    "a sigmoid window": (RAMP, WINDOW | {"VOILUTFunction": "SIGMOID"}),
    "the first of two windows": (RAMP, WINDOW | {"WindowCenter": [2000, 9], "WindowWidth": [1000, 9]}),
    "white is zero": (RAMP, WINDOW | {"PhotometricInterpretation": "MONOCHROME1"}),
    "white is zero without a window": (RAMP, {"BitsStored": 12, "PhotometricInterpretation": "MONOCHROME1"}),
    "signed values": (SIGNED, WINDOW | {"WindowCenter": 0}),
    "signed values without a window": (SIGNED, {"BitsStored": 12}),
    "rescaled": (RAMP, WINDOW | {"RescaleSlope": 2, "RescaleIntercept": -100}),
    "rescaled downward": (RAMP, {"BitsStored": 12, "RescaleSlope": -1, "RescaleIntercept": 4095}),
    "a modality table": (RAMP, WINDOW | {"ModalityLUTSequence": table(0, 12, 4095 - np.arange(4096))}),
    "a table of interest with 8 bits": (RAMP, {"BitsStored": 12,
                                               "VOILUTSequence": table(1000, 8, np.arange(256))}),
    "a table of interest with 12 bits": (RAMP, {"BitsStored": 12,
                                                "VOILUTSequence": table(500, 12, 4 * np.arange(1000))}),
    "an overlay in the unused bits": (RAMP | np.uint16(0xF000), WINDOW),
}


@pytest.mark.parametrize("step", STEPS)
def test_every_step_gives_the_display_values_of_dcmtk(step: str, dicom_film: Make, tmp_path: Path,
                                                      program: Callable[..., str]) -> None:
    pixels, attributes = STEPS[step]
    data = dicom_film(pixels, **attributes)
    (tmp_path / "film.dcm").write_bytes(data)
    view = ["+Wi", "1"] if "WindowCenter" in attributes else \
        ["+Wl", "1"] if "VOILUTSequence" in attributes else ["-W"]
    program("dcm2pnm", "-O", "+on", *view, tmp_path / "film.dcm", tmp_path / "film.png")
    theirs = np.asarray(Image.open(tmp_path / "film.png").convert("L")).astype(int)
    assert np.abs(grey(data) - theirs).max() <= 1  # where they round down
    assert np.ptp(theirs) > 240


@pytest.mark.parametrize(("value", "shown"), [(1499, 0), (1500, 0), (1999, 127), (2000, 128), (2499, 255),
                                              (2500, 255)])
def test_a_window_begins_and_ends_where_the_standard_says(value: int, shown: int, dicom_film: Make) -> None:
    # C.11.2.1.2.1: x <= c - 0.5 - (w-1)/2 is black, x > c - 0.5 + (w-1)/2 is white.
    assert grey(dicom_film(RAMP, **WINDOW)).ravel()[value] == shown


@pytest.mark.parametrize(("attributes", "size"), [
    ({"PixelAspectRatio": [1, 2]}, (128, 64)), ({"PixelSpacing": [0.4, 0.2]}, (64, 128)),
    ({"ImagerPixelSpacing": [0.2, 0.4]}, (128, 64)), ({"PixelSpacing": [0, 0]}, (64, 64)),
    ({"PixelSpacing": [0.1431, 0.143]}, (64, 64))])
def test_pixels_become_square(attributes: dict[str, list[float]], size: tuple[int, int],
                              dicom_film: Make) -> None:
    data = dicom_film(RAMP, **WINDOW, **attributes)
    assert open_film(data, decode=False).size == read_film(data).size == size


def test_the_png_of_the_display_values_has_the_same_pixels(dicom_film: Make) -> None:
    film, file = read_film(dicom_film(RAMP, **WINDOW)), BytesIO()
    film.save(file, "PNG")
    assert read_film(file.getvalue()).tobytes() == film.tobytes()


def test_a_film_and_its_inverse_that_says_so_look_alike(dicom_film: Make) -> None:
    one = dicom_film(RAMP, **WINDOW)
    other = dicom_film(4095 - RAMP, **WINDOW | {"WindowCenter": 2096,
                                                "PhotometricInterpretation": "MONOCHROME1"})
    assert (grey(one) == grey(other)).all()


EDGES = {"ShutterLeftVerticalEdge": 11, "ShutterRightVerticalEdge": 30, "ShutterUpperHorizontalEdge": 5,
         "ShutterLowerHorizontalEdge": 24}
ROUND = {"CenterOfCircularShutter": [20, 25], "RadiusOfCircularShutter": 12}
CORNERS = {"VerticesOfThePolygonalShutter": [4, 6, 34, 6, 34, 46]}


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("shapes", [["RECTANGULAR"], ["CIRCULAR"], ["POLYGONAL"],
                                    ["RECTANGULAR", "CIRCULAR", "POLYGONAL"]])
def test_what_a_shutter_hides_is_black_and_the_rest_stays(
        shapes: list[str], photometric: str, dicom_film: Make) -> None:
    rows, columns = np.mgrid[1:41, 1:51]
    seen = {"RECTANGULAR": (columns >= 11) & (columns <= 30) & (rows >= 5) & (rows <= 24),
            "CIRCULAR": np.hypot(rows - 20, columns - 25) <= 12,
            "POLYGONAL": skimage.draw.polygon2mask((40, 50), [(3, 5), (33, 5), (33, 45)])}
    pixels = np.random.default_rng(0).integers(20, 200, (40, 50), np.uint8)
    told = {"PhotometricInterpretation": photometric, **EDGES, **ROUND, **CORNERS}
    shown, bare = (grey(dicom_film(pixels, ShutterShape=some, **told)) for some in (shapes, None))
    expected = np.logical_and.reduce([seen[shape] for shape in shapes])
    edge = expected ^ ndimage.binary_erosion(expected) | ndimage.binary_dilation(expected) ^ expected
    np.testing.assert_array_equal(shown[~edge], np.where(expected, bare, 0)[~edge])
    if shapes == ["RECTANGULAR"]:
        np.testing.assert_array_equal(shown, np.where(expected, bare, 0))


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless], ids=lambda uid: uid.name)
@pytest.mark.parametrize("pixels", [RAMP, SIGNED, RAMP.astype(np.uint8)], ids=["12 bits", "signed", "8 bits"])
def test_what_is_compressed_without_loss_looks_as_before(syntax: str, pixels: np.ndarray,
                                                         dicom_film: Make) -> None:
    plain = dicom_film(pixels, BitsStored=8 if pixels.itemsize == 1 else 12)
    assert (grey(compressed(plain, syntax)) == grey(plain)).all()


def compressed(data: bytes, syntax: str) -> bytes:
    film, file = pydicom.dcmread(BytesIO(data)), BytesIO()
    film.compress(syntax, generate_instance_uid=False)
    film.save_as(file)
    return file.getvalue()


@pytest.mark.parametrize(("option", "loss"), [("+e1", 0), ("+el", 0), ("+eb", 4), ("+ee", 4)],
                         ids=["lossless, first order", "lossless", "baseline", "extended"])
@pytest.mark.parametrize("bits", [8, 12])
def test_jpeg_of_dcmtk_is_read(option: str, loss: int, bits: int, dicom_film: Make, tmp_path: Path,
                               program: Callable[..., str]) -> None:
    if (option, bits) == ("+eb", 12):
        pytest.skip("baseline JPEG has 8 bits")
    smooth = np.add.outer(np.arange(64), np.arange(64)) * (2**bits - 1) // 126
    plain = dicom_film(smooth.astype(np.uint8 if bits == 8 else np.uint16), BitsStored=bits)
    (tmp_path / "plain.dcm").write_bytes(plain)
    said = program("dcmcjpeg", option, tmp_path / "plain.dcm", tmp_path / "jpeg.dcm")
    assert said == ""
    assert np.abs(grey((tmp_path / "jpeg.dcm").read_bytes()) - grey(plain)).max() <= loss


@pytest.mark.parametrize(("attributes", "why"), [
    ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, KIND),  # MR
    ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.34"}, KIND),  # a report
    ({"SOPClassUID": "1.2.3"}, KIND),
    ({"SOPClassUID": CAPTURE, "Modality": "MR"}, KIND),
    ({"SOPClassUID": CAPTURE, "Modality": "OT", "ConversionType": "WSD"}, KIND),
    ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1"},
     "DICOM of a detector's raw signal, not meant to be looked at"),
    ({"PresentationIntentType": "FOR PROCESSING"},
     "DICOM of a detector's raw signal, not meant to be looked at"),
    ({"NumberOfFrames": 2}, "several frames in one file"),
    ({"PhotometricInterpretation": "RGB"}, "DICOM in colour, where a film is grey"),
    ({"PhotometricInterpretation": "PALETTE COLOR"}, "DICOM in colour, where a film is grey"),
    ({"SamplesPerPixel": 3}, "DICOM in colour, where a film is grey"),
    ({"Rows": None}, "DICOM without an image"),
    ({"Rows": 4, "Columns": 4}, "too small for a film"),
    ({"Rows": 64000, "Columns": 64000}, "too many pixels (a decompression bomb)"),
    ({"PixelAspectRatio": [1, 600]}, "too long and narrow for a film"),
    ({"BitsStored": 7}, "DICOM of other than 8 to 16 bits of grey"),
    ({"BitsAllocated": 32, "BitsStored": 24}, "DICOM of other than 8 to 16 bits of grey"),
    ({"Rows": 65}, "truncated or damaged image"),
    ({"BitsStored": 12, "HighBit": 15}, "DICOM of other than 8 to 16 bits of grey"),
    ({"WindowCenter": 1, "WindowWidth": 9, "VOILUTFunction": "CUBIC"},
     "DICOM with a window of an unknown function"),
    ({"ShutterShape": "BITMAP"}, "DICOM with a shutter of an unknown shape"),
    ({"ShutterShape": "CIRCULAR"}, "truncated or damaged image"),
])
def test_what_is_no_film_is_refused_with_the_reason(attributes: dict[str, object], why: str,
                                                    dicom_film: Make) -> None:
    assert refused(dicom_film(RAMP, **attributes)) == why


@pytest.mark.parametrize("attributes", [
    {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1", "Modality": "DX"},
    {"SOPClassUID": CAPTURE}, {"SOPClassUID": CAPTURE, "Modality": "OT", "ConversionType": "DF"}],
    ids=["DX", "a capture of CR", "a digitised film"])
def test_other_kinds_of_films_are_read(attributes: dict[str, object], dicom_film: Make) -> None:
    assert read_film(dicom_film(RAMP, **WINDOW, **attributes)).mode == "L"


@pytest.mark.parametrize("window", [
    {"WindowCenter": 0, "WindowWidth": 0}, {"WindowCenter": "", "WindowWidth": ""}, {"WindowCenter": 9},
    {"WindowCenter": 1, "WindowWidth": -5}])
def test_a_window_that_is_none_counts_as_none(window: dict[str, object], dicom_film: Make) -> None:
    assert (grey(dicom_film(RAMP, BitsStored=12, **window)) == grey(dicom_film(RAMP, BitsStored=12))).all()


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless], ids=lambda uid: uid.name)
def test_a_frame_that_would_unpack_to_another_size_is_never_unpacked(
        syntax: str, dicom_film: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    film = pydicom.dcmread(BytesIO(compressed(dicom_film(RAMP), syntax)))
    size = struct.pack(">2I", 64, 64) if syntax == JPEG2000Lossless else struct.pack(">2H", 64, 64)
    assert size in film.PixelData
    film.PixelData = film.PixelData.replace(size, b"\x7f" * len(size), 1)
    file = BytesIO()
    film.save_as(file)
    monkeypatch.setattr("pydicom.pixels.pixel_array", lambda *_, **__: pytest.fail("it was unpacked"))
    assert refused(file.getvalue()) == "truncated or damaged image"


def test_a_film_is_read_though_it_may_be_a_tiff_as_well(dicom_film: Make) -> None:
    data = dicom_film(RAMP, **WINDOW)
    tiff = BytesIO()
    Image.new("L", (64, 64), 7).save(tiff, "TIFF")
    assert open_film(tiff.getvalue()[:8] + data[8:]).format == "DICOM"


def test_bytes_that_are_cut_or_changed_are_refused_and_never_crash(dicom_film: Make) -> None:
    data = dicom_film(RAMP, **WINDOW, VOILUTSequence=table(0, 8, np.arange(256)))
    random, outcomes = np.random.default_rng(0), set()
    for _ in range(300):
        changed = bytearray(data[: random.integers(132, len(data))] if random.random() < 0.3 else data)
        for place in random.integers(132, min(len(changed), 900), size=3):
            changed[place] = random.integers(256)
        outcomes.add(read_or_refused(bytes(changed)))
    assert {"read", "truncated or damaged image", KIND} <= outcomes


def read_or_refused(data: bytes) -> str:
    try:
        return "read" if read_film(data).mode == "L" else "read in colour"
    except FilmError as failure:
        return failure.received


PYDICOMS_OWN = sorted(path for path in (Path(pydicom.__file__).parent / "data/test_files").rglob("*")
                      if path.is_file())


@pytest.mark.parametrize("path", PYDICOMS_OWN, ids=lambda path: path.name)
def test_pydicom_s_own_files_are_read_or_refused_with_a_reason(path: Path) -> None:
    outcome = read_or_refused(path.read_bytes())
    assert re.match(r"read$|not an image|several frames|DICOM|truncated", outcome)
    assert outcome != "read" or pydicom.dcmread(path).Modality == "CR"


def relabelled(path: Path) -> bytes | None:
    """One of pydicom's own files as if it were a CR film; None where it has no grey image."""
    film = pydicom.dcmread(path, force=True)
    if film.get("SamplesPerPixel") != 1 or not {"PixelData", "TransferSyntaxUID"} <= {*film.dir(),
                                                                                      *film.file_meta.dir()}:
        return None
    film.SOPClassUID = film.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    file = BytesIO()
    film.save_as(file)
    return file.getvalue()


def test_pixels_of_pydicom_s_own_files_are_those_of_pydicom() -> None:
    read = {}
    for path in PYDICOMS_OWN:
        if path.suffix != ".dcm" or not (data := relabelled(path)):
            continue
        try:
            shown = grey(data)
        except FilmError as failure:
            read[path.name] = failure.received
            continue
        film, read[path.name] = pydicom.dcmread(BytesIO(data)), "read"
        values = apply_voi_lut(apply_modality_lut(film.pixel_array, film), film)
        turned = -values if film.PhotometricInterpretation == "MONOCHROME1" else values
        # Their scale is another; what is darker there must not be brighter here.
        assert (np.diff(shown.ravel()[np.argsort(turned, axis=None)]) >= 0).all(), path.name
    assert list(read.values()).count("read") >= 14, read
    assert read["JPGExtended.dcm"] == read["JPEG2000.dcm"] == read["MR_small_bigendian.dcm"] == "read"
    assert read["MR_truncated.dcm"] == "truncated or damaged image"
    assert read["rtdose.dcm"] == "several frames in one file"


def test_without_the_library_it_is_said_how_to_get_it(dicom_film: Make,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert refused(dicom_film(RAMP)) == ABSENT
    assert "pip install 'pneumo_tf[dicom]'" in ABSENT


class TestWhoseFilmItIs:
    def test_uids_and_the_patient_are_read(self, dicom_film: Make) -> None:
        data = dicom_film(RAMP, PatientID=" 7 ", StudyInstanceUID="1.2", SeriesInstanceUID="1.3",
                          SOPInstanceUID="1.4")
        assert identify(data) == Identity("7", "1.2", "1.3", "1.4")

    def test_another_file_is_nobody_s(self) -> None:
        assert identify(b"\xff\xd8\xff" + bytes(200)) is None

    def test_what_is_no_uid_is_unknown(self, dicom_film: Make) -> None:
        found = identify(dicom_film(RAMP, StudyInstanceUID="..", SOPInstanceUID="Garcia^Maria"))
        assert found is not None
        assert found.study == ""
        assert re.fullmatch(r"sha256-[0-9a-f]{16}", found.instance)

    def test_a_damaged_header_leaves_a_hash_of_the_bytes(self) -> None:
        found = identify(bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL\x04")
        assert found is not None
        assert found[:3] == ("", "", "")
        assert found.instance.startswith("sha256-")


def test_no_value_of_a_header_reaches_a_log_or_a_warning(dicom_film: Make, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = dicom_film(RAMP, PatientID="GARCIA" * 20, SpecificCharacterSet="GARCIA", WindowCenter=1,
                          WindowWidth=1, VOILUTFunction="GARCIA")
    (tmp_path / "film").write_bytes(data)
    read = ("import sys\nfrom pathlib import Path\nfrom pneumo_tf.data.images import read_film_file\n"
            "from pneumo_tf.errors import FilmError\n"
            "try: read_film_file(Path(sys.argv[1]))\nexcept FilmError as failure: print(failure)")
    theirs = "import sys, pydicom\nprint(pydicom.dcmread(sys.argv[1]).PatientID)"
    ours, theirs = (subprocess.run([sys.executable, "-W", "always", "-c", code, str(tmp_path / "film")],
                                   capture_output=True, text=True, check=True) for code in (read, theirs))
    assert "unknown function" in ours.stdout
    assert "GARCIA" not in ours.stdout + ours.stderr
    assert "GARCIA" in theirs.stderr  # that is what is silenced


@pytest.mark.parametrize(("name", "lungs"), [
    ("cr_chest_monochrome2", True), ("rg_chest_jpeg2000", True), ("cr_chest_monochrome1", True),
    ("RG3_J2KI", False), ("RG3_J2KR", False)])
def test_lungs_are_found_on_real_chests_and_not_on_a_leg(name: str, lungs: bool, shared: Path) -> None:
    film = read_film_file(shared / f"data/dicom/{name}.dcm")
    assert (lungs_box(np.asarray(film)) is not None) is lungs


def test_a_decoder_that_panics_is_a_film_that_cant_be_read(monkeypatch: pytest.MonkeyPatch,
                                                           dicom_film: Make) -> None:
    """Decoders in Rust raise what no `except Exception` hears."""
    class PanicException(BaseException):
        pass

    def panic(*_: object, **__: object) -> None:
        raise PanicException

    monkeypatch.setattr("pydicom.pixels.pixel_array", panic)
    assert refused(dicom_film(RAMP, BitsStored=12)) == "truncated or damaged image"
