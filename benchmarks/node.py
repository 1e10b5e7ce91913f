"""A DICOM node under tiny objects: none lost, none twice, memory flat.

    python benchmarks/node.py --run model/runs/<name> --objects 10000

Starts `triage_pict.py --listen` and sends it small films over four associations at once, each object again
where the node says that too many wait. Memory is the node's resident set, once a thousand objects were taken
and at the end.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE
from results import ROOT, command, describe_machine, parser, scratch

_SENDERS, _SIDE = 4, 32


def film(number: int) -> Dataset:
    """A film of 32 × 32 grey pixels, of no patient."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    pixels = np.random.default_rng(number).integers(0, 256, (_SIDE, _SIDE), np.uint8)
    for name, value in {
            "SOPClassUID": ComputedRadiographyImageStorage, "SOPInstanceUID": generate_uid(),
            "StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid(), "Modality": "CR",
            "PatientID": "", "Rows": _SIDE, "Columns": _SIDE, "SamplesPerPixel": 1, "BitsAllocated": 8,
            "PhotometricInterpretation": "MONOCHROME2", "BitsStored": 8, "HighBit": 7,
            "PixelRepresentation": 0, "PixelData": pixels.tobytes()}.items():
        setattr(made, name, value)
    written = BytesIO()
    made.save_as(written, enforce_file_format=True)
    return made


def send(port: int, numbers: range, statuses: Counter[str]) -> list[str]:
    """Send films over one association; their instances."""
    client = AE()
    client.add_requested_context(ComputedRadiographyImageStorage, ExplicitVRLittleEndian)
    sending, sent = client.associate("127.0.0.1", port, ae_title="PNEUMO_TF"), []
    for number in numbers:
        one = film(number)
        while (status := sending.send_c_store(one).Status) != 0:
            statuses[f"0x{status:04X}"] += 1
            time.sleep(1)
        statuses["taken"] += 1
        sent.append(str(one.SOPInstanceUID))
    sending.release()
    return sent


def main() -> None:
    """Start the node, send, wait for the answers, count."""
    typed = parser(__doc__)
    typed.add_argument("--run", type=Path, required=True)
    typed.add_argument("--objects", type=int, default=10_000)
    options = typed.parse_args()
    with scratch() as place:
        node = subprocess.Popen(
            [sys.executable, ROOT / "scripts/triage_pict.py", place / "hospital", "--listen", "0",
             "--run", options.run.resolve(), "-o", place / "list", "--lang", "en"],
            stdout=subprocess.PIPE, text=True)
        assert node.stdout is not None
        ports = (re.search(r":(\d+)\.?$", line.strip()) for line in node.stdout)
        port = next(int(found[1]) for found in ports if found)
        try:
            measure(node, port, place / "hospital", options.objects)
        finally:
            node.terminate()
            node.wait()


def measure(node: subprocess.Popen[str], port: int, folder: Path, objects: int) -> None:
    """Print what became of so many objects, how quickly, and what memory the node took."""
    def resident() -> float:
        return psutil.Process(node.pid).memory_info().rss / 2**20

    def answered() -> set[str]:
        return {path.stem for path in (folder / "answers").rglob("*.json")}

    statuses, began, early = Counter[str](), time.perf_counter(), 0.0
    with ThreadPoolExecutor(_SENDERS) as pool:
        parts = [pool.submit(send, port, range(first, objects, _SENDERS), statuses)
                 for first in range(_SENDERS)]
        while not all(part.done() for part in parts):
            time.sleep(0.5)
            if not early and statuses["taken"] >= min(1000, objects // 2):
                early = resident()
        sent = {uid for part in parts for uid in part.result()}
    taken_after = time.perf_counter() - began
    while len(answered()) < objects and node.poll() is None:
        time.sleep(2)
    seconds, late = time.perf_counter() - began, resident()
    kept = {path.stem for path in (folder / "films").glob("[!.]*.dcm")}
    print(f"{describe_machine()}\n$ {command()}\n")
    print(f"{objects:,} objects over {_SENDERS} associations: on disk after {taken_after:.0f} s "
          f"({objects / taken_after:.0f}/s), answered after {seconds:.0f} s ({objects / seconds:.0f}/s)")
    print(f"lost {len(sent - kept)}, unanswered {len(sent - answered())}, of nobody {len(kept - sent)}; "
          f"answers of the node: {dict(statuses)}")
    print(f"memory {early:.0f} MiB after the first thousand, {late:.0f} MiB at the end "
          f"({100 * (late / early - 1):+.1f} %)")


if __name__ == "__main__":
    main()
