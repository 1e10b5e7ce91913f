"""Files to begin from: small ones of every kind that this program reads, and what is known to be hostile."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

STRUCTURED = b"\x00"  # first byte of what Hypothesis makes a structure of


def images() -> Iterator[bytes]:
    """Pictures in every format and mode, with metadata, several frames, and headers of impossible sizes."""
    grey = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 24), np.uint8))
    deep = Image.fromarray(np.arange(480, dtype=np.uint16).reshape(20, 24) * 100)
    exif = Image.Exif()
    exif[274] = 6  # to be turned
    for reader in ("JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP", "PPM", "JPEG2000"):
        for picture in (grey, grey.convert("RGB"), grey.convert("P"), grey.convert("RGBA"), grey.convert("1"),
                        grey.convert("CMYK"), deep):
            file = io.BytesIO()
            try:
                picture.save(file, reader, exif=exif)
            except (OSError, TypeError, ValueError):
                continue  # a mode that the format doesn't have
            yield file.getvalue()
    for reader in ("TIFF", "GIF", "WEBP", "PNG"):
        file = io.BytesIO()
        grey.save(file, reader, save_all=True, append_images=[grey.rotate(90)])
        yield file.getvalue()
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "group4"):
        file = io.BytesIO()
        (grey.convert("1") if compression == "group4" else grey).save(file, "TIFF", compression=compression)
        yield file.getvalue()
    yield b"P5 60000 60000 255\n"
    yield _png_of(60000, 60000, zlib.compress(bytes(2**20)))
    zeros = zlib.compress(bytes(2**22))
    yield _png_of(20, 24, zeros, (b"zTXt", b"Comment\0\0" + zeros))
    # A directory that is the next one after itself.
    yield b"II*\0\x08\0\0\0\x01\0\x00\x01\x04\0\xff\xff\xff\xff\0\0\0\0\x08\0\0\0"


def _png_of(width: int, height: int, data: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), *chunks, (b"IDAT", data),
             (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts)


def dicoms() -> Iterator[bytes]:
    """Films of both byte orders of the header, compressed and not, with windows and tables."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless

    pixels = np.arange(400, dtype=np.uint16).reshape(20, 20) * 10
    table = Dataset()
    table.LUTDescriptor, table.LUTData, table.ModalityLUTType = [16, 0, 12], list(range(16)), "US"
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    wavelets = io.BytesIO()
    Image.fromarray(pixels).save(wavelets, "JPEG2000", no_jp2=True)
    for syntax, told in ((ExplicitVRLittleEndian, {}), (ImplicitVRLittleEndian, {}),
                         (ExplicitVRLittleEndian, {"WindowCenter": 2000, "WindowWidth": 1000}),
                         (ExplicitVRLittleEndian, {"ModalityLUTSequence": [table]}),
                         (ExplicitVRLittleEndian, {"VOILUTSequence": [table],
                                                   "PixelAspectRatio": ["2", "1"]}),
                         (RLELossless, {}), (JPEG2000Lossless, {"BitsStored": 16, "HighBit": 15})):
        film, file = Dataset(), io.BytesIO()
        film.file_meta = FileMetaDataset()
        film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == RLELossless else syntax
        for name, value in ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1", "SOPInstanceUID": "1.2.3",
                             "StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.2.1", "Modality": "CR",
                             "PatientID": "7", "Rows": 20, "Columns": 20, "SamplesPerPixel": 1,
                             "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": 16,
                             "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0} | told).items():
            setattr(film, name, value)
        packed = syntax == JPEG2000Lossless
        film.PixelData = encapsulate([wavelets.getvalue()]) if packed else pixels.tobytes()
        film["PixelData"].VR = "OB" if packed else "OW"
        if syntax == RLELossless:
            film.compress(syntax)
        film.save_as(file, enforce_file_format=True)
        yield file.getvalue()


def tables(good: bytes) -> Iterator[bytes]:
    """A table as it is, and what spreadsheets and other systems make of such."""
    yield good
    yield good.replace(b",", b";")
    yield b"sep=;\r\n" + good.replace(b",", b";").replace(b"\n", b"\r\n")
    yield b"\xef\xbb\xbf" + good
    yield good.decode().encode("utf-16")
    yield b"id,clase\n=1+1,\"a\nb\"\n"
    yield b"id,clase\n\0,\0\n"
    yield b"id,clase,id\n1,A,2\n"
    yield b"id,clase,label,facts,file\n1,A,x,y,../../etc/passwd\n"
    yield b'id,clase\n"1,A\n'


def records(good: Mapping[str, Any]) -> Iterator[bytes]:
    """A record as it is, and JSON that isn't one."""
    yield json.dumps(good).encode()
    yield b"[" * 200_000
    yield b'{"a":' * 50_000
    yield b"NaN"
    yield b'{"classes": ["A", "A"], "positive": "B", "test": [], "steps": 1e999}'
    yield b"1" * 10_000
    yield b'{"classes": "AB", "positive": "A", "operating_point": 7, "test": {}}'
    for length in (16, 64, 256, 1024):
        yield STRUCTURED + bytes(np.random.default_rng(length).integers(0, 256, length, np.uint8))


def checkpoints() -> Iterator[bytes]:
    """PyTorch's two formats by hand, a pickle that calls something, and one that unpacks to gigabytes."""
    for protocol in (2, 4):
        yield pickle.dumps({"weight": [1.0]}, protocol)
    for opcodes in (_STATE, b"cposix\nsystem\n(S'true'\ntR.", b"(lp0\ng0\na.", b"((((((((t."):
        yield _zip({"archive/data.pkl": opcodes, "archive/data/0": np.arange(4, dtype="<f4").tobytes()})
        yield pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2) + opcodes
    yield _zip({"archive/data.pkl": bytes(2**24)})
    yield _zip({"archive/data.pkl": _STATE, "archive/data/0": _zip({"a": bytes(2**20)})})


# {"fc.weight": a (2, 2) tensor of 4 floats}, as torch.save writes it
_STATE = (b"\x80\x02}X\x09\0\0\0fc.weightctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storage"
          b"ctorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQK\0K\x02K\x02\x86K\x02K\x01\x86\x89ccollections\nOrderedDict\n)RtRs.")


def safetensors() -> Iterator[bytes]:
    """Tensors of several kinds, and headers that lie."""
    from safetensors.numpy import save

    yield save({"fc.weight": np.zeros((2, 2), np.float32), "a": np.zeros(3, np.int64)})
    for header in (b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}',
                   b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}', b"[" * 100_000,
                   b'{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'):
        yield struct.pack("<Q", len(header)) + header + bytes(4)
    yield struct.pack("<Q", 2**63)


def hdf5() -> Iterator[bytes]:
    """Weights as Keras writes them, and links, cycles and datasets that lie elsewhere."""
    import h5py

    def file(fill: Any) -> bytes:
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as opened:
            fill(opened)
        return buffer.getvalue()

    def weights(opened: Any, name: str = "dense") -> Any:
        opened.attrs["layer_names"] = [name]
        group = opened.create_group(name)
        group.attrs["weight_names"] = ["kernel", "bias"]
        group["kernel"], group["bias"] = np.zeros((3, 2), "f4"), np.zeros(2, "f4")
        return group

    def cycle(opened: Any) -> None:
        weights(opened)["again"] = opened["/"]

    def outside(opened: Any) -> None:
        group = weights(opened)
        del group["kernel"], group["bias"]
        group["kernel"] = h5py.ExternalLink("/etc/passwd", "/")
        group["bias"] = h5py.SoftLink("/dense/bias")

    def elsewhere(opened: Any) -> None:
        group = weights(opened)
        del group["kernel"]
        group.create_dataset("kernel", (3, 2), "f4", external=[("/etc/passwd", 0, 24)])

    def huge(opened: Any) -> None:
        group = weights(opened)
        del group["kernel"]
        group.create_dataset("kernel", (2**30, 2**10), "f4", chunks=(2**10, 2**10), compression="gzip")

    def odd(opened: Any) -> None:
        opened.attrs["layer_names"] = np.void(b"\0" * 8)
        opened["dense"] = np.array([b"a"], h5py.string_dtype())

    yield from map(file, (weights, cycle, outside, elsewhere, huge, odd))
    for length in (64, 256, 1024):
        yield STRUCTURED + bytes(np.random.default_rng(length).integers(0, 256, length, np.uint8))


def weights_file(told: Mapping[str, Any], parts: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]],
                 inner: str) -> bytes:
    """A whole HDF5 file: attributes of its root, and groups of attributes and parts, all below `inner`.

    Names that Keras lists are right where no attribute says otherwise. A part is a dataset (shape, dtype,
    whether packed) or a link (a file or "", a place). What HDF5 can't name or store is left out.
    """
    import h5py

    buffer, refusals = io.BytesIO(), (TypeError, ValueError, OSError, KeyError, RuntimeError)
    with h5py.File(buffer, "w") as file:
        root = file.require_group(inner)
        for layer, (attributes, tensors) in {"": ({"layer_names": list(parts)} | told, {}), **parts}.items():
            with suppress(*refusals):
                group = root.require_group(layer) if layer else root
                for name, value in ({"weight_names": list(tensors)} | attributes).items():
                    group.attrs[name] = value
            for name, (shape, kind, packed) in tensors.items():
                with suppress(*refusals):
                    if isinstance(shape, str):
                        group[name] = h5py.ExternalLink(shape, kind) if shape else h5py.SoftLink(kind)
                    else:
                        group.create_dataset(name, shape, kind, **({"compression": "gzip"} if packed else {}))
    return buffer.getvalue()


def archives() -> Iterator[bytes]:
    """Films, and members that lead out, link, nest, repeat or unpack to gigabytes."""
    film = next(images())
    yield _zip({"NORMAL/1.jpeg": film, "PNEUMONIA/2.jpeg": film})
    yield _zip({"../1.jpeg": film})
    yield _zip({"C:\\1.jpeg": film, "a/.. /b.png": film, "CON.png": film})
    yield _zip({"a.zip": _zip({"b.zip": _zip({"c.jpeg": film})})})
    yield _zip({"zeros.png": bytes(2**24)})
    link = zipfile.ZipInfo("NORMAL/link.jpeg")
    link.external_attr = 0xA1FF << 16
    yield _zip({link: b"/etc/passwd"})
    whole = _zip({"NORMAL/1.jpeg": film})
    yield whole + whole
    yield whole[:-22] + whole[-22:].replace(b"PK\x05\x06", b"PK\x06\x06")


def _zip(members: Mapping[Any, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def changed_member(data: bytes, change: Callable[[bytes], bytes], seed: int) -> bytes:
    """A zip of which one member is changed and its checksum told anew; a large one or none changes itself."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(member.file_size for member in archive.infolist()) > 2**20:
                return change(data)
            members = {name: archive.read(name) for name in archive.namelist()}
        name = list(members)[seed % len(members)]
        return _zip(members | {name: change(members[name])})
    except (zipfile.BadZipFile, zlib.error, ValueError, ZeroDivisionError, NotImplementedError, RuntimeError,
            OSError, EOFError):
        return change(data)


def changed_header(data: bytes, change: Callable[[bytes], bytes], _: int) -> bytes:
    """Tensors of safetensors of which the header is changed and its length told anew."""
    length = int.from_bytes(data[:8], "little")
    if length > len(data) - 8:
        return change(data)
    header = change(data[8 : 8 + length])
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def arrays(path: Path) -> Iterator[bytes]:
    """An .npz file, and some that hold objects or lie about their shape."""
    yield path.read_bytes()
    file = io.BytesIO()
    np.savez(file, mean=np.array([{}], object))
    yield file.getvalue()
    for header in (b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }",
                   b"{'descr': [('a', 'O')], 'fortran_order': False, 'shape': (), }", b"(" * 500,
                   b"0" * 9000):
        yield _zip({"mean.npy": b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header})


def networks(path: Path) -> Iterator[bytes]:
    """A .keras file, and some whose configuration asks for more than layers."""
    yield path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    for changed in ({"class_name": "Lambda", "module": "keras.layers", "config": {}}, [], {"a": config},
                    {"class_name": "Functional", "module": "keras", "config": {"layers": {}}},
                    {"class_name": "Dense", "module": "keras.layers", "config": {"units": 2**40}},
                    {"class_name": {}, "module": []}):
        yield _zip(members | {"config.json": json.dumps(changed).encode()})
    yield _zip(members | {"config.json": b"[" * 100_000})
    yield _zip(members | {"model.weights.h5": next(hdf5())})
