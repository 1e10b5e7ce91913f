"""Answers as DICOM objects of the film's study: a structured report, and a picture that every viewer shows.

The report is a Comprehensive 3D SR by template TID 1500 of PS3.16, as the profile IHE AI Results asks for.
Both say whose film it is, as the film does: they belong into the archive that it came from, nowhere else.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pneumo_tf.data.dicom import ABSENT, read_header
from pneumo_tf.data.images import in_mode, read_film_file
from pneumo_tf.data.shards import open_file
from pneumo_tf.errors import FilmError, OptionError
from pneumo_tf.names import fold
from pneumo_tf.reading.answer import Answer
from pneumo_tf.report.words import Language
from pneumo_tf.runs.folder import RunFolder

if TYPE_CHECKING:
    from highdicom import ContributingEquipment
    from highdicom.sr import CodedConcept, Measurement, MeasurementReport
    from pydicom import Dataset

MAKER = "pneumo_tf"
_SCHEME = "99PNEUMO_TF"  # of classes that SNOMED CT isn't asked for
_FINDINGS = {"pneumonia": ("233604007", "Pneumonia"), "neumonia": ("233604007", "Pneumonia"),
             "bacterial": ("53084003", "Bacterial pneumonia"), "viral": ("75570004", "Viral pneumonia")}
_IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
# Attributes that an object inherits from its film: those that must be there, though empty, and others.
_MUST = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
         "StudyDate", "StudyTime", "ReferringPhysicianName")
_MAY = ("PatientAge", "PatientSize", "PatientWeight", "StudyDescription", "Manufacturer",
        "ManufacturerModelName", "Modality", "InstanceNumber")
_SERIES = {"report": 9001, "capture": 9002}
_LARGEST = 1024  # pixels of the picture's longer side
_SMALLEST = 512


def write_report(answer: Answer, source: Dataset, run: RunFolder, words: Language) -> Dataset:
    """The structured report of one film's answer.

    The call is a measurement: the probability of the class that is looked for (of several classes, of the one
    that is called), beside it the score and the threshold that decided, under each the run as its algorithm,
    with the call in words. Of a refused film there is no probability but the measurement that it was refused,
    with the reason in words. The same film, run and language give the same UIDs.

    Args:
        answer: The film's.
        source: Its header, as `data.dicom.read_header` gives it; it isn't changed.
        run: What answered.
        words: Language of the sentences.

    Raises:
        FilmError: The film has no study or instance that a report could belong to.
        OptionError: highdicom isn't installed.
    """
    hd = _highdicom()
    film = inherited(source)
    return hd.sr.Comprehensive3DSR(
        evidence=[film], content=_content(answer, film, run, words),
        **_series(film, run, words, "report"), is_complete=True, record_evidence=False,
        specific_character_set="ISO_IR 192", content_qualification="RESEARCH",
        coding_schemes=[hd.coding_schemes.CodingSchemeIdentificationItem(_SCHEME, name=MAKER)],
        contributing_equipment=_equipment(run), transfer_syntax_uid="1.2.840.10008.1.2.1")


def write_capture(answer: Answer, picture: NDArray[np.uint8], source: Dataset, run: RunFolder,
                  words: Language) -> Dataset:
    """The film as a secondary capture in colour, with the answer in words below it.

    Args:
        answer: The film's.
        picture: The film or its overlay, uint8 (H, W, 3).
        source: Its header, as `data.dicom.read_header` gives it; it isn't changed.
        run: What answered.
        words: Language of the sentences.

    Raises:
        FilmError: The film has no study or instance that a capture could belong to.
        OptionError: highdicom isn't installed.
    """
    hd = _highdicom()
    film, drawn = inherited(source), captioned(picture, sentences(answer, run, words))
    capture = hd.sc.SCImage.from_ref_dataset(
        film, np.asarray(drawn), "RGB", 8, "PATIENT", patient_orientation=("L", "F"),
        **_series(film, run, words, "capture"), specific_character_set="ISO_IR 192",
        content_qualification="RESEARCH", contributing_equipment=_equipment(run))
    capture.PatientOrientation = capture.Laterality = ""  # nobody told us
    capture.ConversionType, capture.BurnedInAnnotation = "WSD", "NO"  # what is burnt in names no patient
    capture.ImageComments = words.say("dicom.title")
    reference = hd.sr.CodedConcept("121322", "DCM", "Source image for image processing operation")
    capture.SourceImageSequence = [_reference(film, reference)]
    if source.get("LossyImageCompression") == "01":  # PS3.3 C.7.6.1.1.5: once lossy, always lossy
        capture.LossyImageCompression = "01"
    return capture


def results_of(film: Path, answer: Answer, *, run: RunFolder, words: Language,
               draw: Callable[[Path, Answer], NDArray[np.uint8]] | None = None) -> list[Dataset]:
    """What is sent back of a film: its report, and its capture where it has a picture.

    Args:
        film: Its file.
        answer: Its answer.
        run: What answered.
        words: Language of the sentences.
        draw: Gives the heat map of an answered film, uint8 (h, w, 3), which stands beside the film.

    Returns:
        Nothing of a file that belongs to no study.
    """
    try:
        with open_file(film) as file:
            source = read_header(file)
        report = write_report(answer, source, run, words)
    except FilmError:
        return []
    try:
        shown = in_mode(read_film_file(film), "RGB")
    except FilmError:
        return [report]
    shown.thumbnail((_LARGEST, _LARGEST), Image.Resampling.LANCZOS)
    picture = np.asarray(shown)
    if draw is not None and not answer.refusal:
        heat = Image.fromarray(draw(film, answer))
        width = round(heat.width * shown.height / heat.height)
        picture = np.hstack([picture, np.asarray(heat.resize((width, shown.height)))])
    return [report, write_capture(answer, picture, source, run, words)]


def sentences(answer: Answer, run: RunFolder, words: Language) -> list[str]:
    """What the answer says, a line each: no diagnosis, the call or the refusal, its threshold, the run."""
    lines = [words.say("dicom.title")]
    if answer.refusal or answer.probability is None:
        lines.append(words.say("dicom.refused", reason=answer.reason or answer.refusal))
    else:
        lines.append(words.say("dicom.call", call=answer.call, label=_subject(answer, run),
                               probability=words.percent(answer.probability)))
        if answer.threshold is not None and answer.score is not None:
            lines.append(words.say("dicom.threshold", label=run.positive, score=words.decimals(answer.score),
                                   threshold=words.decimals(answer.threshold)))
        lines += [answer.reason] if answer.reason else []
    return [*lines, words.say("dicom.run", run=run.name, version=_version(run))]


def captioned(picture: NDArray[np.uint8], lines: Sequence[str]) -> Image.Image:
    """A picture (H, W, 3) at a size to be looked at, the lines on black below it, the first in red."""
    image = Image.fromarray(picture).convert("RGB")
    factor = np.clip(max(image.size), _SMALLEST, _LARGEST) / max(image.size)
    width, height = (max(1, round(side * factor)) for side in image.size)
    page = max(width, _SMALLEST)
    size = page // 40
    # Pillow's own has no accents.
    font = ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), size)
    wrapped = [(row, number == 0) for number, line in enumerate(lines) for row in wrap(line, 60)]
    drawn = Image.new("RGB", (page, height + round((len(wrapped) + 1) * 1.4 * size)))
    drawn.paste(image.resize((width, height), Image.Resampling.BICUBIC), ((page - width) // 2, 0))
    pen = ImageDraw.Draw(drawn)
    for number, (row, is_title) in enumerate(wrapped):
        pen.text((size, height + (0.5 + 1.4 * number) * size), row, font=font,
                 fill=(255, 120, 110) if is_title else (235, 235, 235))
    return drawn


def inherited(source: Dataset) -> Dataset:
    """What an object of the same study takes over from a film: no attribute that would make it invalid.

    An age without its unit, a date with hyphens and a sex in words are put right; any other value that its
    type forbids is left out.

    Raises:
        FilmError: No study, series, instance or kind.
    """
    from pydicom import Dataset

    film = Dataset()
    for name in (*_IDENTITY, *_MUST, *_MAY):
        value = _valid(name, source.get(name))
        if value is not None:
            setattr(film, name, value)
        elif name in _IDENTITY:
            raise FilmError("A report belongs to a film with its study, series and instance.",
                            received=f"a film without a valid {name}", remedy="Export the film again.")
        elif name in _MUST:
            setattr(film, name, "")
    film.SpecificCharacterSet = "ISO_IR 192"
    return film


def _valid(name: str, value: object) -> object | None:
    """A value as the standard has it (PS3.5 6.2); None where there is none, or none such."""
    from pydicom import config
    from pydicom.datadict import dictionary_VR
    from pydicom.valuerep import validate_value

    if value is None or not str(value).strip():
        return None
    text = _put_right(name, str(value).strip())
    if (name == "PatientSex" and text not in ("M", "F", "O")) or ("Date" in name and len(text) != 8):
        return None
    try:
        validate_value(dictionary_VR(name), text, config.RAISE)
    except ValueError:
        return None
    return text


def _put_right(name: str, text: str) -> str:
    if name == "PatientAge" and (told := re.fullmatch(r"(\d{1,3}) ?([DWMY]?)", text.upper())):
        return f"{int(told[1]):03}{told[2] or 'Y'}"
    if name == "PatientSex":
        return text[0].upper()
    if "Date" in name:
        return re.sub(r"\D", "", text)
    return text


def _content(answer: Answer, film: Dataset, run: RunFolder, words: Language) -> MeasurementReport:
    hd = _highdicom()
    sr, finding = hd.sr, _subject(answer, run)
    tracking = sr.TrackingIdentifier(uid=_uid(film.SOPInstanceUID, run.name, finding),
                                     identifier=f"{finding} in {film.SOPInstanceUID}")
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        finding_type=None if answer.probability is None else _finding(finding, run),
        source_images=[sr.SourceImageForMeasurementGroup(film.SOPClassUID, film.SOPInstanceUID)],
        measurements=_measurements(answer, film, run, words))
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=_uid(run.name), name=MAKER, manufacturer_name=MAKER, model_name=run.name)
    observed = sr.ObservationContext(observer_device_context=sr.ObserverContext(
        sr.CodedConcept("121007", "DCM", "Device"), device))
    spoken = sr.CodedConcept(words.code, "RFC5646", {"en": "English", "es": "Spanish"}[words.code])
    return sr.MeasurementReport(
        observed, procedure_reported=sr.CodedConcept("363679005", "SCT", "Imaging procedure"),
        imaging_measurements=[group], title=sr.CodedConcept("126000", "DCM", "Imaging Measurement Report"),
        language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(spoken))


def _measurements(answer: Answer, film: Dataset, run: RunFolder, words: Language) -> list[Measurement]:
    """The probability, and what decided: the score and its threshold; or that there is none.

    A probability without a value would say so too, but the validators ask for one.
    """
    sr = _highdicom().sr
    unit = sr.CodedConcept("1", "UCUM", "no units")
    algorithm = sr.AlgorithmIdentification(name=MAKER, version=_version(run),
                                           parameters=sentences(answer, run, words))
    told = [("REFUSED", _SCHEME, "Film refused, not answered", 1)] if answer.probability is None else \
        [("122157", "DCM", "Probability", answer.probability),
         ("SCORE", _SCHEME, "Score before calibration", answer.score),
         ("122411", "DCM", "Threshold Value", answer.threshold)]
    return [sr.Measurement(sr.CodedConcept(code, scheme, meaning), round(value, 4), unit,
                           algorithm_id=algorithm)
            for code, scheme, meaning, value in told if value is not None]


def _subject(answer: Answer, run: RunFolder) -> str:
    """The class that the probability is of."""
    return run.positive if run.is_binary or not answer.call else answer.call


def _finding(label: str, run: RunFolder) -> CodedConcept:
    """A class as a coded finding: in SNOMED CT where its name is a usual one, else in a scheme of our own."""
    sr = _highdicom().sr
    if fold(label) in _FINDINGS:
        value, meaning = _FINDINGS[fold(label)]
        return sr.CodedConcept(value, "SCT", meaning)
    return sr.CodedConcept(f"CLASS{run.classes.index(label)}", _SCHEME, _short(label))


def _short(text: str) -> str:
    """What 64 bytes can hold of a text (type LO of PS3.5 6.2, by the validator that counts bytes)."""
    return text.encode()[:64].decode(errors="ignore")


def _series(film: Dataset, run: RunFolder, words: Language, kind: str) -> dict[str, object]:
    """The series that a run adds beside one of the film's, for a kind of objects, and this one's place."""
    what = (run.name, words.code, kind)
    return {"series_instance_uid": _uid(film.SeriesInstanceUID, *what), "series_number": _SERIES[kind],
            "sop_instance_uid": _uid(film.SOPInstanceUID, *what),
            "instance_number": max(1, int(film.get("InstanceNumber") or 1)),
            "manufacturer": MAKER, "manufacturer_model_name": _short(run.name),
            "software_versions": _version(run), "device_serial_number": _short(run.name),
            "series_description": words.say("dicom.series")}


def _uid(*what: str) -> str:
    """The same UID for the same words: what is written again takes the place of what was written before."""
    from pydicom.uid import generate_uid

    return generate_uid(entropy_srcs=[MAKER, *map(str, what)])


def _equipment(run: RunFolder) -> list[ContributingEquipment]:
    hd = _highdicom()
    purpose = hd.sr.CodedConcept("109102", "DCM", "Processing Equipment")
    return [hd.ContributingEquipment(MAKER, purpose, manufacturer_model_name=_short(run.name),
                                     software_versions=_version(run))]


def _reference(film: Dataset, purpose: CodedConcept) -> Dataset:
    from pydicom import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = film.SOPClassUID, film.SOPInstanceUID
    item.PurposeOfReferenceCodeSequence = [purpose]
    return item


def _version(run: RunFolder) -> str:
    return str((run.facts.get("versions") or {}).get(MAKER) or "unknown")


def _highdicom() -> Any:
    """The library, with its own messages silenced: they quote names."""
    try:
        import highdicom
    except ImportError as failure:
        raise OptionError("Answers are written as DICOM by highdicom.", received=ABSENT,
                          remedy="pip install 'pneumo_tf[dicom]'") from failure
    logging.getLogger("highdicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"(pydicom|highdicom)(\.|$)")
    return highdicom
