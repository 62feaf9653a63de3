"""How good the lists are: every model, tuned on validation only, the ensembles, and peers, on five data sets.

    python benchmarks/quality.py --data DATA                 # the stages that are missing; each resumes where it was
    python benchmarks/quality.py --data DATA beauty.ease     # this stage, once more from where it was
    python benchmarks/quality.py --data DATA beauty          # all of one data set
    python benchmarks/quality.py --data DATA --quick         # few configurations of the fast models, 15 minutes
    python benchmarks/quality.py --report                    # writes its figures into docs/reference/quality.md

A stage is one model on one data set, ``DATA.MODEL``. It leaves ``results/quality/DATA.MODEL.json``, with validation and
test of each configuration that was tried, and its lists in ``--work``, which the ensembles are made of.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from subprocess import CalledProcessError, TimeoutExpired

from quality_data import DATA, Setting
from quality_ensembles import ENSEMBLES, compare_stage, run_ensemble
from quality_models import FAMILIES
from quality_page import write_pages
from quality_stages import Place, run_model
from script import RESULTS

MINUTES = 38.0
"""For trying configurations; the rest of the 45 is for the last fits."""
QUICK_MINUTES = 1.0
QUICK = {
    "beauty": ("popularity", "itemknn", "transitions", "als"),
    "yoochoose": ("itemknn", "session_knn", "transitions"),
    "retail": ("popularity", "itemknn", "session_knn", "transitions", "als"),
}
LAST = (*ENSEMBLES, "compare")


def main() -> None:
    """The stages that were asked for, in turn."""
    options = _parser().parse_args()
    if options.report:
        write_pages(options.results)
        return
    if options.data is None:
        sys.exit("--data PATH is needed: the folder that holds amazon2014, sessions and online_retail")
    results = options.work / "quick" / "results" if options.quick else options.results
    work = options.work / "quick" if options.quick else options.work
    place = Place(
        options.data,
        results,
        work,
        60 * (options.minutes or (QUICK_MINUTES if options.quick else MINUTES)),
        8 if options.quick else options.most,
        5_000 if options.quick else None,
    )
    work.mkdir(parents=True, exist_ok=True)
    for data, models in _wanted(options.stages, options.quick).items():
        _run(place, data, models)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="DATA or DATA.MODEL")
    parser.add_argument("--data", type=Path, help="the folder of the data sets")
    parser.add_argument("--results", type=Path, default=RESULTS / "quality")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "endcap-quality")
    parser.add_argument(
        "--minutes", type=float, help=f"for trying configurations of one model; {MINUTES:g} if not said"
    )
    parser.add_argument("--most", type=int, default=60, help="configurations of one model, at most")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    return parser


def _wanted(asked: Sequence[str], quick: bool) -> dict[str, list[str]]:
    """By data set, the stages in their order: models first, then what is made of their lists."""
    found: dict[str, list[str]] = {}
    for data in DATA:
        names = [one.partition(".")[2] for one in asked if one.partition(".")[0] == data]
        able = [name for name, family in FAMILIES.items() if DATA[data].kind in family.kinds and family.there()]
        if quick:
            able = [name for name in able if name in QUICK.get(data, ())]
        everything = [*able, *LAST] if able else []
        if (not asked and everything) or "" in names:
            found[data] = everything
        elif names:
            found[data] = [name for name in everything if name in names]
    unknown = [one for one in asked if not found.get(one.partition(".")[0])]
    if unknown:
        sys.exit(f"there is no stage {unknown[0]!r}: {', '.join(DATA)}, each alone or with .{', .'.join(FAMILIES)}")
    return found


def _run(place: Place, data: str, models: Sequence[str]) -> None:
    setting: Setting | None = None
    for model in models:
        setting = setting or place.setting(data)
        if model == "compare":
            compare_stage(place, setting, data)
        elif model in ENSEMBLES:
            run_ensemble(place, setting, data, model)
        elif FAMILIES[model].needs_items and setting.past("train", described=True).vectors is None:
            print(f"{data} {model}: there are no texts to go on", flush=True)
        else:
            _run_model(place, setting, data, model)


def _run_model(place: Place, setting: Setting, data: str, model: str) -> None:
    """A peer that does not install here, or fails, costs its own stage only."""
    try:
        run_model(place, setting, data, model)
    except (CalledProcessError, TimeoutExpired) as error:
        print(f"{data} {model}: {error}", flush=True)


if __name__ == "__main__":
    main()
