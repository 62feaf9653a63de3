"""The metrics against another tool: ranx, which computes them on its own from ids and scores.

It runs in a process of its own, without its compiler: compiling takes ten times as long as this.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
from numpy.testing import assert_allclose

from endcap.evaluation.metrics.judged import judge
from endcap.evaluation.metrics.registry import ACCURACY

KS = (5, 10, 20)
THEIRS = """
import json, sys
from ranx import Qrels, Run, evaluate
given = json.load(sys.stdin)
found = evaluate(Qrels(given["wanted"]), Run(given["lists"]), given["metrics"], return_mean=False)
json.dump({name: values.tolist() for name, values in found.items()}, sys.stdout)
"""


def test_every_metric_agrees_with_ranx() -> None:
    rng = np.random.default_rng(5)
    lists = np.stack([rng.permutation(60)[:20] for _ in range(150)]).astype(np.int32)
    lists[rng.random(150) < 0.3, 7:] = -1  # some are shorter
    wanted = [rng.permutation(60)[: rng.integers(1, 40)].astype(np.int32) for _ in range(150)]
    given = {
        "wanted": {f"case{at:03}": {f"item{row}": 1 for row in found.tolist()} for at, found in enumerate(wanted)},
        "lists": {
            f"case{at:03}": {f"item{row}": 1.0 / (1 + place) for place, row in enumerate(one.tolist()) if row >= 0}
            for at, one in enumerate(lists)
        },
        "metrics": [f"{name}@{k}" for name in ACCURACY for k in KS],
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", THEIRS],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )
    theirs = json.loads(done.stdout)
    judged = judge(lists, wanted)
    for name, metric in ACCURACY.items():
        for k in KS:
            assert_allclose(metric(judged, k), theirs[f"{name}@{k}"], atol=1e-9, rtol=0, err_msg=f"{name}@{k}")
