"""The figures of a run as the tables of README.md and README.zh-CN.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from openloop import Latency
from results import LIMIT_MS, Phase, Results, Side, both_at, highest, passes

BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"


@dataclass(frozen=True, slots=True)
class Words:
    """What a table says in one language. In braces: what is filled in."""

    about: str
    lists: tuple[str, str, str, str]
    top: str
    at_top: str
    idle: str
    cold: str
    cpu: str
    load_cpu: str
    memory: str
    load_average: str
    none: str
    pairs: tuple[str, str, str, str, str]
    fresh: tuple[str, str, str, str]
    asked: str
    pushed: str
    acknowledged: str
    fsync: str
    beyond_asked: str
    beyond_pushed: str
    note: str


ENGLISH = Words(
    about="Measured on {cores} cores ({cpu}, {memory:.0f} GB, {disk}), load generator included, on {date} at commit "
    "`{commit}`, with the demo shop's customers. The load comes at a constant rate from a process of its own, and a "
    "latency counts from the moment a request was due. The other side is [the plainest thing one could "
    "write](benchmarks/peers/implicit_server.py): `recommend` of `implicit`'s ALS on the same interactions, behind the "
    "same server, in the same run; one model that takes in no events and gives no reasons.",
    lists=("list of 20 for a known customer", "Endcap (`for-you`)", "`implicit`", "Endcap / `implicit`"),
    top=f"requests/s with p90 ≤ {LIMIT_MS:g} ms",
    at_top="ms at that rate, p50 / p90 / p99",
    idle="ms at {rate:g} requests/s (idle), p50 / p90 / p99",
    cold="ms in the first {seconds:g} s after the start, p50 / p90 / p99",
    cpu="server CPU per request at {rate:g} requests/s, ms",
    load_cpu="CPU of the load generator at the highest rate, of one core",
    memory="memory before / after the load, MB",
    load_average="load average at the highest rate / idle",
    none="none: p90 {p90} ms at {rate:g}/s",
    pairs=(
        "event, then list, pairs/s",
        "event durable, ms p50 / p90 / p99",
        "list after it, ms",
        "CPU per request, ms",
        "load average",
    ),
    fresh=("from an event to the changed list ({samples} each), ms", "p50", "p90", "p99"),
    asked="event sent → list asked for and changed",
    pushed="event sent → changed list pushed by the stream",
    acknowledged="of it: event sent → durable (`202`)",
    fsync="one append and fsync on the same disk",
    beyond_asked="asked for, beyond the fsync",
    beyond_pushed="pushed, beyond the fsync",
    note='"Beyond the fsync" is the difference of the percentiles. Load average there: {load}. Others took '
    "{others:.0%} of the machine's CPU time at most in any phase. Repeat it: `python benchmarks/serve.py`.",
)
CHINESE = Words(
    about="测于 {cores} 核（{cpu}，{memory:.0f} GB，{disk}），负载发生器也在其中；日期 {date}，提交 `{commit}`，"
    "请求来自演示商店的真实顾客。"
    "负载由独立进程以恒定速率发出，延迟从请求应当发出的时刻算起。对照是[最朴素的写法](benchmarks/peers/implicit_server.py)："
    "`implicit` 的 ALS `recommend`，同样的交互数据，同样的服务器，同一次运行；"
    "它只有一个模型，不接收事件，也不给出理由。",
    lists=("为已知顾客给出 20 件商品", "Endcap（`for-you`）", "`implicit`", "Endcap / `implicit`"),
    top=f"p90 ≤ {LIMIT_MS:g} ms 时的请求数/秒",
    at_top="该速率下的毫秒数，p50 / p90 / p99",
    idle="每秒 {rate:g} 个请求（空闲）时的毫秒数，p50 / p90 / p99",
    cold="启动后最初 {seconds:g} 秒的毫秒数，p50 / p90 / p99",
    cpu="每秒 {rate:g} 个请求时，服务器每个请求的 CPU 毫秒数",
    load_cpu="最高速率下负载发生器的 CPU，占一个核",
    memory="负载前 / 后的内存，MB",
    load_average="最高速率 / 空闲时的平均负载",
    none="没有：{rate:g}/秒时 p90 为 {p90} ms",
    pairs=(
        "先事件后列表，对/秒",
        "事件落盘，毫秒 p50 / p90 / p99",
        "随后的列表，毫秒",
        "每个请求的 CPU 毫秒数",
        "平均负载",
    ),
    fresh=("从事件到变化后的列表（各 {samples} 次），毫秒", "p50", "p90", "p99"),
    asked="发出事件 → 再次请求并得到变化后的列表",
    pushed="发出事件 → 由流推送变化后的列表",
    acknowledged="其中：发出事件 → 已落盘（`202`）",
    fsync="同一磁盘上一次追加写入并 fsync",
    beyond_asked="再次请求，除去 fsync",
    beyond_pushed="推送，除去 fsync",
    note="“除去 fsync”是两个百分位数之差。当时平均负载：{load}。"
    "各阶段中其他进程最多占机器 CPU 时间的 {others:.0%}。"
    "重新测量：`python benchmarks/serve.py`。",
)


def write_readmes(results: Results, root: Path) -> None:
    """Puts the tables between the markers of both READMEs."""
    for name, words in (("README.md", ENGLISH), ("README.zh-CN.md", CHINESE)):
        page = root / name
        page.write_text(replaced(page.read_text(), render(results, words)))


def replaced(page: str, tables: str) -> str:
    """``page`` with ``tables`` between its markers. Raises ValueError if they are not there, once each and in order."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page must hold {BEGIN} and, after it, {END}")
    return f"{before}{BEGIN}\n{tables}\n{END}{after}"


def render(results: Results, words: Words) -> str:
    """The tables of ``results`` as Markdown."""
    machine = results.machine
    about = words.about.format(
        cores=machine.cores,
        cpu=machine.cpu,
        memory=machine.memory_gb,
        disk=machine.disk,
        date=results.date[:10],
        commit=(machine.commit or "?")[:10] + ("+" if machine.modified else ""),
    )
    fresh = results.fresh
    beyond = [
        (name, [_minus(mine, disk) for mine, disk in zip(_three(found), _three(fresh.fsync), strict=True)])
        for name, found in ((words.beyond_asked, fresh.asked), (words.beyond_pushed, fresh.pushed))
    ]
    freshness = [
        (name, [_figure(value) for value in _three(found)])
        for name, found in (
            (words.asked, fresh.asked),
            (words.pushed, fresh.pushed),
            (words.acknowledged, fresh.acknowledged),
            (words.fsync, fresh.fsync),
        )
    ]
    phases = [phase for side in (results.endcap, results.implicit) for phase in (side.cold, side.idle, *side.ladder)]
    note = words.note.format(
        load=results.fresh_load_average, others=max(phase.other_cpu_share for phase in [*phases, *results.pairs])
    )
    first = words.fresh[0].format(samples=fresh.samples)
    parts = [
        about,
        _table(words.lists, _list_rows(results, words)),
        _table(words.pairs, [_pair_row(phase) for phase in results.pairs]),
        _table((first, *words.fresh[1:]), [(name, *values) for name, values in freshness + beyond]),
        note,
    ]
    return "\n\n".join(parts)


def _list_rows(results: Results, words: Words) -> list[Sequence[str]]:
    sides = (results.endcap, results.implicit)
    tops = [highest(side.ladder) for side in sides]
    at_top = [top or side.ladder[0] for top, side in zip(tops, sides, strict=True)]
    rates = [top.load.rate if top else None for top in tops]
    rows: list[Sequence[str]] = [
        (words.top, *(_top(side, words) for side in sides), _ratio(rates)),
        (words.at_top, *(_spread(phase.load.whole) for phase in at_top), ""),
        _compared(words.idle.format(rate=sides[0].idle.load.rate), [side.idle.load.whole for side in sides]),
        _compared(words.cold.format(seconds=sides[0].cold.load.seconds), [side.cold.load.whole for side in sides]),
    ]
    both = both_at(results.endcap.ladder, results.implicit.ladder)
    costs = [phase.cpu_ms for phase in both]
    memory = [f"{side.started_mb:.0f} / {side.loaded_mb:.0f}" for side in sides]
    loads = [f"{phase.load_average} / {side.idle.load_average}" for phase, side in zip(at_top, sides, strict=True)]
    return [
        *rows,
        (words.cpu.format(rate=both[0].load.rate), *map(_figure, costs), _ratio(costs)),
        (words.memory, *memory, _ratio([side.loaded_mb for side in sides])),
        (words.load_cpu, *(f"{phase.load.cpu_share:.0%}" for phase in at_top), ""),
        (words.load_average, *loads, ""),
    ]


def _compared(name: str, found: Sequence[Latency]) -> tuple[str, ...]:
    return (name, *map(_spread, found), _ratio([one.p50 for one in found]))


def _top(side: Side, words: Words) -> str:
    """The highest rate; marked where the ladder ended before the server did."""
    top = highest(side.ladder)
    if top is None:
        first = side.ladder[0].load
        return words.none.format(p90=_figure(first.whole.p90), rate=first.rate)
    return ("≥ " if passes(side.ladder[-1]) else "") + f"{top.load.rate:,.0f}"


def _pair_row(phase: Phase) -> Sequence[str]:
    event, wanted = phase.load.steps
    return (f"{phase.load.rate:g}", _spread(event), _spread(wanted), _figure(phase.cpu_ms), f"{phase.load_average}")


def _three(found: Latency) -> list[float | None]:
    return [found.p50, found.p90, found.p99]


def _spread(found: Latency) -> str:
    return " / ".join(_figure(value) for value in _three(found))


def _figure(value: float | None) -> str:
    """Two decimals below 10, one below 100, none above; a dash for what was never answered."""
    if value is None:
        return "—"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _minus(mine: float | None, disk: float | None) -> str:
    return "—" if mine is None or disk is None else _figure(mine - disk)


def _ratio(values: Sequence[float | None]) -> str:
    mine, theirs = values
    return f"{mine / theirs:.2f}" if mine is not None and theirs else "—"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))
