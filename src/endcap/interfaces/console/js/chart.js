/** A line chart over time: a unit on every number, the range said, a sentence where there is nothing to draw. */

import uPlot from "../vendor/uplot/uPlot.esm.js";
import { h } from "./dom.js";
import { locale, number, t } from "./i18n.js";
import { theme } from "./theme.js";

const HEIGHT = 210;
const clock = (seconds) => new Intl.DateTimeFormat(locale, { hourCycle: "h23", hour: "2-digit", minute: "2-digit", ...(seconds ? { second: "2-digit" } : {}) });

/** The colour of a CSS variable as the canvas understands it. */
function colour(name) {
  const probe = h("i", { hidden: true });
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const inUnit = (value, line) => (value === null || value === undefined ? "–" : `${number(value, line.digits)} ${line.unit}`);

function lineOptions(line) {
  return {
    label: line.label,
    stroke: colour(line.colour),
    width: 1.75,
    dash: line.dash,
    spanGaps: true,
    points: { show: false },
    value: (plot, value) => inUnit(value, line),
  };
}

function axis(unit, format) {
  const quiet = { stroke: colour("--muted"), font: "12px system-ui, sans-serif", ticks: { show: false } };
  if (unit === null) return { ...quiet, grid: { show: false }, space: 70, values: (plot, splits) => splits.map(format) };
  const grid = { stroke: colour("--line"), width: 1 };
  return { ...quiet, grid, size: 62, values: (plot, splits) => splits.map((value) => `${number(value, value % 1 ? 1 : 0)} ${unit}`) };
}

/**
 * `lines`: `{label, field, unit, digits, colour, dash?, level?}`; the first one's unit is the axis's. A `level` is what
 * the others are held against: one value, all the way across.
 * Gives `{element, draw(points, minutes)}`; points have `time` in seconds and the lines' fields.
 */
export function makeChart({ title, about, lines }) {
  const range = h("span");
  const note = h("p", { class: "note", hidden: true });
  const box = h("div", { class: "chart-box", role: "img", "aria-label": `${title}. ${about}` }, note);
  const element = h("figure", { class: "chart" }, h("figcaption", {}, h("strong", {}, title), about, " · ", range), box);
  const shown = { plot: null, points: [], minutes: 1 };

  function build() {
    shown.plot?.destroy();
    const options = {
      width: Math.max(box.clientWidth, 200),
      height: HEIGHT,
      padding: [10, 8, 0, 0],
      cursor: { y: false, points: { size: 7 } },
      scales: {
        x: { range: () => [Date.now() / 1000 - shown.minutes * 60, Date.now() / 1000] },
        y: { range: (plot, low, high) => [0, Math.max(high ?? 0, 1) * 1.15] },
      },
      axes: [axis(null, (value) => clock(shown.minutes < 2).format(value * 1000)), axis(lines[0].unit)],
      series: [{ value: (plot, value) => (value ? clock(true).format(value * 1000) : "–"), label: t("chart.time") }, ...lines.map(lineOptions)],
    };
    shown.plot = new uPlot(options, columns(), box);
  }

  function columns() {
    const from = Date.now() / 1000 - shown.minutes * 60;
    const seen = shown.points.filter((point) => point.time >= from);
    const levels = new Map(lines.filter((line) => line.level).map((line) => [line, shown.points.at(-1)?.[line.field] ?? null]));
    const value = (line, point) => (line.level ? levels.get(line) : (point[line.field] ?? null));
    const along = [{ time: from }, ...seen]; // the first point lets a level cross the whole range
    return [along.map((point) => point.time), ...lines.map((line) => along.map((point) => value(line, point)))];
  }

  function draw(points, minutes) {
    Object.assign(shown, { points, minutes });
    if (!shown.plot) build();
    const data = columns();
    const measured = lines.some((line, at) => !line.level && data[at + 1].some((value) => value));
    range.textContent = t("chart.last", { n: minutes });
    note.textContent = t("chart.empty", { n: minutes });
    note.hidden = measured;
    shown.plot.setData(data);
    if (shown.plot.cursor.left < 0) shown.plot.setLegend({ idx: data[0].length - 1 }); // nobody points: the newest
  }

  new ResizeObserver(() => shown.plot?.setSize({ width: Math.max(box.clientWidth, 200), height: HEIGHT })).observe(box);
  theme.addEventListener("change", () => shown.plot && (build(), draw(shown.points, shown.minutes)));
  return { element, draw };
}
