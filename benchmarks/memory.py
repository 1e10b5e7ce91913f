"""Peak memory of a whole study, and how it grows with the number of films.

    python benchmarks/memory.py --films clasificacion --labels labels/labels.csv

Each study is `binary_class.py --recipe fast` in a process of its own with a cache of its own, from decoding
to the report. The baseline is what the tutorial holds: every film as 299 × 299 × 3 numbers of 32 bits, as
often as its lists and arrays keep it at the same time; measured with the smaller number of films.
"""

from __future__ import annotations

from pathlib import Path

from results import ROOT, Result, measured, parser, prepared_films, scratch, show

from pneumo_tf.cohort import Cohort
from pneumo_tf.data.labels import load_cohort, read_folder

# The tutorial's own loading, on one film so many times: a list of float32 arrays, then one array of them,
# divided by 255, then split.
TUTORIAL = """
import sys
import numpy as np
from PIL import Image
from sklearn.model_selection import train_test_split
image = Image.open(sys.argv[1]).convert("RGB").resize((299, 299))
films = np.array([np.asarray(image, "float32") for _ in range(int(sys.argv[2]))]) / 255
train, test = train_test_split(films, test_size=0.3)
"""


def study(films: Path, cohort: Cohort, folder: Path, options: list[str]) -> float:
    """Peak of a study of these films alone, which are linked into a folder of their own."""
    place = folder / f"films-{len(cohort)}"
    place.mkdir()
    for film in cohort:
        (place / film.file).symlink_to((films / film.file).absolute())
    cohort.write_csv(folder / "labels.csv")
    return measured(str(ROOT / "scripts/binary_class.py"), "-p", str(place), "-l", str(folder / "labels.csv"),
                    "-o", str(place) + "-model", "--cache", str(place) + "-cache", *options)[1]


def spread(cohort: Cohort, count: int) -> Cohort:
    """So many films, taken evenly."""
    step = max(1, len(cohort) // count)
    return Cohort(tuple(list(cohort)[::step][:count]))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--labels", type=Path, help="their table of labels (default: read from their names)")
    options.add_argument("--count", type=int, nargs=2, default=[1000, 5000], help="films of the two studies")
    options.add_argument("--backbone", default="efficientnet_lite0")
    options.add_argument("--weights", default="none", help="random by default, which takes the same memory")
    options.add_argument("--more", nargs="*", default=[], help="more options of binary_class.py, without --")
    typed = options.parse_args()
    few, many = sorted(typed.count)
    given = ["--recipe", "fast", "--backbone", typed.backbone, "--weights", typed.weights,
             *(f"--{option}" for option in typed.more)]
    with scratch() as folder:
        films = typed.films or prepared_films(folder / "films", many, 224)
        cohort = load_cohort(typed.labels, films, extension=None) if typed.labels else read_folder(films)
        _, tutorial = measured("-c", TUTORIAL, str(films / cohort.radiographs[0].file), str(few))
        small, large = (study(films, spread(cohort, count), folder, given) for count in (few, many))
    held = tutorial / few * many
    show([Result(f"peak memory, {many:,} films, {typed.backbone}",
                 f"tutorial's arrays alone {held:.1f} GB ({few:,} films: {tutorial:.2f} GB)",
                 f"{large:.2f} GB", f"{held / large:.1f}×", "≤ 2.5 GB"),
          Result(f"growth from {few:,} to {many:,} films", f"{small:.2f} GB", f"{large:.2f} GB",
                 f"{100 * (large / small - 1):+.1f} %", "≤ 10 %")],
         how="Largest resident set of a process that does everything, as the operating system counts it.")


if __name__ == "__main__":
    main()
