"""explain_pict.py: where a trained network looks, and how far the pictures of it can be believed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumo_tf.cli import command, options
from pneumo_tf.cli.command import start_keras
from pneumo_tf.errors import FilmError, OptionError, WeightsError
from pneumo_tf.language import say, show, show_json, translated, written
from pneumo_tf.places import find_existing, output_path

if TYPE_CHECKING:
    from pneumo_tf.explain.films import Chosen
    from pneumo_tf.explain.lime import LimeOptions
    from pneumo_tf.explain.network import Network

_DESCRIPTION = ("Explain what a trained network says of films: overlays, a panel that compares methods, the "
                "figures that judge them as JSON, and a section in the run's report.")
_EPILOG = ("Orange speaks for the class, blue against it. A picture that is too unstable to show is left out "
           "and its place says so. --as-assigned makes LIME as the assignment defines it.")
_ASSIGNED: dict[str, Any] = {"design": "bernoulli", "absent": "zero", "answers": "kept",
                             "surrogate": "logistic"}
_FIGURES = {"deletion": "deletion", "insertion": "insertion", "R²": "r2", "in the lungs": "mass_in_lungs"}
_CHOICES = {"design": ("bernoulli", "antithetic", "hadamard"), "absent": ("zero", "mean", "blur"),
            "answers": ("kept", "probability", "log_odds"), "surrogate": ("logistic", "ridge", "tree")}
_DEFAULTS = {"design": "hadamard", "absent": "mean", "answers": "log_odds", "surrogate": "ridge"}
# Named here too, since a parser imports nothing heavy; a test holds them against the table.
_METHODS = ("gradcam", "occlusion", "lime-slic", "lime-kmeans", "lime-birch", "lime-colour")
_READERS = {"a method of LIME": ("samples", "superpixels", *_CHOICES, "sigma", "keep", "stop_early",
                                 "as_assigned"), "a run": ("run", "worst"), "--imagenet": ()}


def build_parser() -> command.Parser:
    """The options of explain_pict.py."""
    parser = command.build("explain_pict.py", _DESCRIPTION, epilog=_EPILOG, has_json=True)
    parser.add_argument("films", nargs="*", metavar="FILM", help="id in the run, or path of an image")
    parser.add_argument("--worst", type=options.whole_number(at_least=1), metavar="N",
                        default=argparse.SUPPRESS, help="explain the N gravest errors among the test films")
    options.add_run(parser)
    parser.add_argument("--methods", nargs="+", choices=_METHODS, metavar="METHOD",
                        default=["gradcam", "occlusion", "lime-slic"], help=f"among {', '.join(_METHODS)}")
    parser.add_argument("--class", dest="wanted", metavar="CLASS", default=argparse.SUPPRESS,
                        help="class to explain (default: the positive of two, of several the called one)")
    parser.add_argument("--masks", metavar="DIR", default=argparse.SUPPRESS,
                        help="masks of the phantoms' lesions, against which pictures are measured")
    parser.add_argument("--imagenet", metavar="PATH", default=argparse.SUPPRESS,
                        help="explain by InceptionV3 with these ImageNet weights instead of a run")
    parser.add_argument("-o", "--output", metavar="DIR", default=argparse.SUPPRESS,
                        help="folder of the pictures (default: explanations in the run, or here)")
    _add_lime(parser)
    options.add_seed(parser, default=0)
    options.add_threads(parser)
    options.add_engine(parser, default="what the run was made with")
    return parser


def _add_lime(parser: command.Parser) -> None:
    """How LIME is made."""
    parser.add_argument("--samples", type=options.whole_number(at_least=4), default=argparse.SUPPRESS,
                        help="perturbed films of each LIME (default: 1000)")
    parser.add_argument("--superpixels", type=options.whole_number(at_least=2), default=argparse.SUPPRESS,
                        help="superpixels wanted (default: 80, or 12 colours)")
    helps = {"design": "how presence vectors are drawn", "absent": "what stands for an absent superpixel",
             "answers": "what the surrogate imitates", "surrogate": "the simple model"}
    for name, choices in _CHOICES.items():
        parser.add_argument(f"--{name}", choices=choices, default=argparse.SUPPRESS,
                            help=f"{helps[name]} (default: {_DEFAULTS[name]})")
    parser.add_argument("--sigma", type=options.positive_number, default=argparse.SUPPRESS,
                        help="width of the kernel (default: 0.25)")
    parser.add_argument("--keep", type=options.whole_number(at_least=1), metavar="K",
                        default=argparse.SUPPRESS, help="superpixels that the surrogate may use")
    parser.add_argument("--stop-early", action="store_true", default=argparse.SUPPRESS,
                        help="stop once the ranking stays the same")
    parser.add_argument("--as-assigned", action="store_true", default=argparse.SUPPRESS,
                        help="fair coins, black, 1 where the class is kept, logistic regression")


def main(argv: Sequence[str] | None = None) -> int:
    """Explain; the exit code is 0, or 2 after a mistake said in one line."""
    return command.run(build_parser(), act, argv)


def act(typed: argparse.Namespace) -> str | None:
    """Explain; what to do next."""
    lime = any(method.startswith("lime") for method in typed.methods)
    options.refuse_unused(typed, _READERS, ["--imagenet" if "imagenet" in typed else "a run",
                                            *(["a method of LIME"] if lime else typed.methods)])
    run_path = None if hasattr(typed, "imagenet") else options.find_run(typed)
    if not typed.films and not hasattr(typed, "worst"):
        raise OptionError("Something must be explained.", received="no film",
                          remedy="Name films, or ask for --worst 10.")
    masks = None if not hasattr(typed, "masks") else find_existing(
        typed.masks, what="folder of masks", error=OptionError,
        remedy="It is the one called masks beside the phantoms.")
    start_keras(getattr(typed, "threads", None))
    _explain(typed, run_path, masks)
    return None if run_path is None else command.line("evaluate_model", "--run", run_path)


def _explain(typed: argparse.Namespace, run_path: Path | None, masks: Path | None) -> None:
    from pneumo_tf.explain.films import explain_films
    from pneumo_tf.explain.methods import Explainer
    from pneumo_tf.progress import progress_bar
    from pneumo_tf.report.page import rewrite_report
    from pneumo_tf.report.words import language
    from pneumo_tf.runs.folder import EXPLANATIONS, read_run

    network, films = _subject(typed, run_path)
    if masks is not None and run_path is not None:
        preparation = read_run(run_path).facts.get("preparation") or {"options": {}}
        fit = preparation["options"].get("fit", "thumbnail")
        if fit not in ("thumbnail", "squash"):
            raise OptionError("Masks lie on films that were prepared whole.", received=f"--fit {fit}",
                              remedy="Prepare them with --fit thumbnail or squash, and train on those.")
    lang = options.language_of(typed, run_path)
    explainer = Explainer(network, options=_lime_options(typed), count=getattr(typed, "superpixels", None))
    inside = (run_path or Path.cwd()) / EXPLANATIONS
    folder = output_path(getattr(typed, "output", None), default="") if hasattr(typed, "output") else inside
    with progress_bar("Explaining", len(films)) as advance:
        records = explain_films(explainer, films, typed.methods, folder=folder, words=language(lang),
                                wanted=getattr(typed, "wanted", None), masks=masks, advance=advance)
    show_json(records)
    _show(records)
    say(f"Pictures and explanations.json: {folder}")
    failed = [f"{record['name']} ({record['error']})" for record in records if "error" in record]
    if run_path is not None and folder == inside and len(failed) < len(records):
        say(f"Report: {rewrite_report(run_path, lang=lang)}")
    if failed:
        raise FilmError("Every film should be explained.", remedy="Replace those films or leave them out.",
                        received=f"{len(failed)} of {len(records)} that weren't: {'; '.join(failed)}")


def _subject(typed: argparse.Namespace, run_path: Path | None) -> tuple[Network, list[Chosen]]:
    """The network and the films."""
    from pneumo_tf.explain.films import choose_films
    from pneumo_tf.explain.network import imagenet_network, network_of_run
    from pneumo_tf.runs.folder import read_run

    computed = {name: getattr(typed, name, None) for name in ("engine", "threads")}
    if run_path is None:
        weights = find_existing(typed.imagenet, what="weights file", error=WeightsError,
                                remedy="Name the InceptionV3 file of Keras with its top.")
        films = choose_films(typed.films, run=None)
        return imagenet_network(weights, **computed), films
    run = read_run(run_path)
    films = choose_films(typed.films, run=run, worst=getattr(typed, "worst", 0))
    return network_of_run(run, **computed), films


def _lime_options(typed: argparse.Namespace) -> LimeOptions:
    from pneumo_tf.explain.lime import LimeOptions

    known = {field.name for field in fields(LimeOptions)}
    chosen = {name: value for name, value in vars(typed).items() if name in known}
    return LimeOptions(**(_ASSIGNED if "as_assigned" in typed else _DEFAULTS) | chosen)


def _show(records: list[dict[str, Any]]) -> None:
    """One line per film and method."""
    for record in records:
        if "explained" not in record:
            show(f"{record['name']}: not explained")
            continue
        threshold, probability = record["threshold"], record["calibrated_probability"]
        show(f"{record['name']}: called {record['predicted']}; explained: {record['explained']}, "
             f"uncalibrated score {record['score']:.4f}"
             + ("" if threshold is None else f" (threshold {threshold:.4f})")
             + ("" if probability is None else f", calibrated probability {probability:.4f}"))
        for method, numbers in record["methods"].items():
            figures = "".join(f"{translated(label)} {written(f'{numbers[key]:.3f}')}  "
                              for label, key in _FIGURES.items() if numbers.get(key) is not None)
            beside = translated("looks beside the lungs") if numbers.get("beside_lungs") else ""
            show(f"  {method:<12}{translated(numbers['verdict']):<12} {figures}{beside}".rstrip())
