"""What is measured? `python -m bench` runs all benchmarks, `python -m bench dispatch` one of them."""

from __future__ import annotations

import sys

from . import cold_start, dispatch, graphs, imports, processing, rounds
from .wire import report as wire

_REPORTS = {
    "processing": processing.report,
    "dispatch": dispatch.report,
    "imports": imports.report,
    "cold_start": cold_start.report,
    "graphs": graphs.report,
    "wire": wire.report,
}

wanted = sys.argv[1:] or list(_REPORTS)
if unknown := set(wanted) - set(_REPORTS):
    sys.exit(f"no benchmark {', '.join(sorted(unknown))}: there are {', '.join(_REPORTS)}")
rounds.prepare()
for name in wanted:
    _REPORTS[name]()
