"""What benchmarks/reliability.md tells is what was measured."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_no_figure_of_the_page_was_typed() -> None:
    sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks/reliability")]
    try:
        import page
    finally:
        del sys.path[:2]
    assert (ROOT / "benchmarks/reliability.md").read_text(encoding="utf-8") == page.page()
