"""Memory of an import, measured in a process of its own: it does not grow with the file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

_CHILD = """
import json, resource, sys
from pathlib import Path
from endcap.backends.log.sqlite import SqliteLog
from endcap.pipelines.importing import ImportOptions, import_events

def kilobytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

log = SqliteLog(Path(sys.argv[2]) / "log" / "endcap.db")
before = kilobytes()
options = ImportOptions(sys.argv[3])
report = import_events(log, [Path(sys.argv[1])], options, 1_795_512_600_000, lambda done, total: None)
print(json.dumps({"rows": report.rows, "stored": report.stored, "grown_mb": (kilobytes() - before) / 1e3}))
"""


def measure(path: Path, home: Path, format: str = "auto") -> dict[str, float]:
    command = [sys.executable, "-c", _CHILD, str(path), str(home), format]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    result: dict[str, float] = json.loads(done.stdout)
    return result


@pytest.mark.slow
def test_a_million_events_stream_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write("user_id,item_id,type,time\n")
        file.writelines(f"{i % 5_000},sku-{i % 977},view,{1_700_000_000_000 + i}\n" for i in range(1_000_000))
    result = measure(path, tmp_path)
    assert result["rows"] == result["stored"] == 1_000_000
    assert result["grown_mb"] < 100  # 32 of them are the log's page cache


@pytest.mark.slow
def test_a_line_of_a_gigabyte_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("wb") as file:
        file.write(b"user_id,item_id,type,time\n7,a,view,2011-01-01\n".ljust(8_192, b"\n"))
        file.seek(1_000_000_000)  # a hole: a line of zero bytes that takes no space on the disk
        file.write(b"\n7,b,view,2011-01-02\n")
    result = measure(path, tmp_path)
    assert (result["rows"], result["stored"]) == (3, 2)
    assert result["grown_mb"] < 50


@pytest.mark.slow
def test_an_export_of_another_system_streams_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    line = (
        '{{"event_name": "view_item", "event_timestamp": "{time}", "user_pseudo_id": "c{user}", "event_params": '
        '[{{"key": "page", "value": {{"string_value": "{page}"}}}}], "items": [{{"item_id": "sku-{item}"}}]}}\n'
    )
    with path.open("w", encoding="utf-8") as file:
        for i in range(200_000):
            micros = (1_700_000_000_000 + i) * 1000
            file.write(line.format(time=micros, user=i % 5_000, item=i % 977, page="x" * 1_000))
    result = measure(path, tmp_path, "ga4")
    assert result["rows"] == result["stored"] == 200_000
    assert result["grown_mb"] < 120  # the file has 230
