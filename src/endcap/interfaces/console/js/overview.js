/** Overview: is it healthy, and is it fresh? */

import { advice, said } from "./advice.js";
import { makeChart } from "./chart.js";
import { h } from "./dom.js";
import { ago, number, t } from "./i18n.js";
import { watch } from "./watch.js";

const RANGES = [1, 5, 15, 60];

function figure(name) {
  const value = h("p", { class: "figure-value" }, "–");
  const note = h("p", { class: "figure-note" }, " ");
  const element = h("div", { class: "figure" }, h("p", { class: "figure-name" }, name), value, note);
  const set = (text, unit, remark, state = "") => {
    value.replaceChildren(text, ...(unit ? [" ", h("span", { class: "figure-unit" }, unit)] : []));
    note.textContent = remark;
    note.className = `figure-note ${state}`;
  };
  return { element, set, value };
}

const digits = (value) => (value < 10 ? 2 : value < 100 ? 1 : 0);

const rate = (value) => number(value, value > 0 && value < 1 ? 2 : 1);

function setMs(one, value, remark, state) {
  if (value === null) one.set("–", "", t("figure.none"));
  else one.set(number(value, digits(value)), "ms", remark, state);
}

function setFreshness(one, value, most) {
  const target = `${number(most)}\u00a0ms`;
  const late = value !== null && value > most;
  setMs(one, value, t(late ? "figure.late" : "figure.ontarget", { ms: target }), late ? "bad" : "good");
}

function setModel(one, stats) {
  one.value.classList.add("small");
  if (stats.model === null) return one.set("–", "", t("figure.nomodel"), "bad");
  const age = stats.model_age_seconds;
  return one.set(stats.model, "", age === null ? "" : t("figure.age", { ago: ago(Date.now() - age * 1000) }));
}

function makeFigures() {
  const all = Object.fromEntries(["requests", "events", "p50", "p99", "fresh", "model"].map((name) => [name, figure(t(`figure.${name}`))]));
  const update = (stats) => {
    const window = t("figure.window", { seconds: stats.window_seconds });
    all.requests.set(rate(stats.requests_per_second), t("unit.persecond"), window);
    all.events.set(rate(stats.events_per_second), t("unit.persecond"), window);
    setMs(all.p50, stats.recommend_ms.p50, window);
    setMs(all.p99, stats.recommend_ms.p99, window);
    setFreshness(all.fresh, stats.freshness_ms.p99, stats.freshness_target_ms);
    setModel(all.model, stats);
  };
  return { element: h("section", { class: "figures", id: "figures" }, Object.values(all).map((one) => one.element)), update };
}

function makeCharts() {
  const ms = { unit: "ms", digits: 2 };
  const traffic = { unit: "/s", digits: 0 };
  const charts = [
    makeChart({
      title: t("chart.traffic"),
      about: t("chart.traffic.about"),
      lines: [
        { ...traffic, label: t("figure.requests"), field: "requests", colour: "--accent" },
        { ...traffic, label: t("figure.events"), field: "events", colour: "--good" },
        { ...traffic, label: t("figure.errors"), field: "errors", colour: "--bad" },
      ],
    }),
    makeChart({
      title: t("chart.latency"),
      about: t("chart.latency.about"),
      lines: [
        { ...ms, label: "p50", field: "p50", colour: "--accent" },
        { ...ms, label: "p99", field: "p99", colour: "--muted" },
      ],
    }),
    makeChart({
      title: t("chart.fresh"),
      about: t("chart.fresh.about"),
      lines: [
        { ...ms, label: "p50", field: "fresh50", colour: "--accent" },
        { ...ms, label: "p99", field: "fresh99", colour: "--muted" },
        { ...ms, label: t("chart.target"), field: "target", level: true, colour: "--good", dash: [5, 5] },
      ],
    }),
  ];
  const shown = { minutes: 1, points: [] };
  const redraw = () => charts.forEach((chart) => chart.draw(shown.points, shown.minutes));
  const buttons = RANGES.map((minutes) => {
    const press = () => {
      shown.minutes = minutes;
      for (const button of buttons) button.setAttribute("aria-pressed", String(button === own));
      redraw();
    };
    const own = h("button", { class: "chip", type: "button", "aria-pressed": String(minutes === shown.minutes), onclick: press }, t("chart.minutes", { n: minutes }));
    return own;
  });
  const head = h("header", { class: "charts-head" }, h("p", { class: "fine" }, t("chart.since")), h("div", { class: "chips", role: "group", "aria-label": t("chart.range") }, buttons));
  const update = (points) => {
    shown.points = points;
    redraw();
  };
  return { elements: [head, h("section", { class: "charts" }, charts.map((chart) => chart.element))], update };
}

function duration(seconds) {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  if (hours > 0) return `${number(hours)} h ${number(minutes)} min`;
  return minutes > 0 ? `${number(minutes)} min ${number(Math.floor(seconds) % 60)} s` : `${number(Math.floor(seconds))} s`;
}

function factsOf(stats) {
  const pairs = [
    ["figure.items", number(stats.items)],
    ["figure.users", number(stats.users)],
    ["figure.log", number(stats.events)],
    ["figure.offset", number(stats.offset)],
    ...(stats.unreadable > 0 ? [["figure.unreadable", number(stats.unreadable)]] : []),
    ["figure.violations", number(stats.rule_violations)],
    ["figure.streams", number(stats.streams)],
    ["figure.errors", `${rate(stats.errors_per_second)} ${t("unit.persecond")}`],
    ["figure.uptime", duration(stats.uptime_seconds)],
  ];
  return pairs.map(([name, value]) => h("span", {}, `${t(name)} `, h("b", {}, value)));
}

/** What is wrong, as texts and elements. */
function problemsOf(stats) {
  const because = (key, values, sentence) => [t(key, values), " ", said("", sentence)];
  return [
    ...(stats.state_problem === null ? [] : because("overview.state", {}, stats.state_problem)),
    ...(stats.model === null ? [t("models.empty")] : []),
    ...(stats.unreadable > 0 ? because("overview.unreadable", { count: number(stats.unreadable) }, stats.unreadable_first) : []),
    ...(stats.rule_violations > 0 ? [t("overview.violations", { count: number(stats.rule_violations) })] : []),
  ];
}

/** What the nightly check found, in words, and what to do. */
function sayCheck(line, check) {
  line.className = `facts-line figure-note ${check === null ? "" : check.ok ? "good" : "bad"}`;
  if (check === null) line.textContent = t("check.none");
  else line.textContent = t(check.ok ? (check.live ? "check.same" : "check.restart") : "check.differs", { ago: ago(check.at), offset: number(check.offset) });
}

/** The page; `signal` says when it is left. */
export function overview(page, signal) {
  const lamp = h("i", { class: "lamp" });
  const health = h("span", { role: "status" }, "…");
  const note = h("p", { class: "note", hidden: true });
  const [figures, charts, facts] = [makeFigures(), makeCharts(), h("p", { class: "facts-line" })];
  const check = h("p", { class: "facts-line", id: "digest-check" });
  const head = h("header", { class: "page-head" }, h("div", {}, h("h1", { tabIndex: -1 }, t("overview.title")), h("p", {}, t("overview.about"))), h("p", { class: "health" }, lamp, health));
  page.replaceChildren(head, note, figures.element, facts, check, ...charts.elements);
  const say = (state, text, sentences = []) => {
    lamp.dataset.state = state;
    health.textContent = text;
    note.replaceChildren(...sentences.flatMap((sentence) => [sentence, " "]));
    note.hidden = sentences.length === 0;
  };
  watch.addEventListener("figures", ({ detail: { stats, points } }) => {
    const ready = stats.model !== null && stats.state_problem === null;
    const problems = problemsOf(stats);
    say(problems.length > 0 ? "bad" : "good", t(ready ? "overview.ready" : "overview.notready"), problems);
    figures.update(stats);
    facts.replaceChildren(...factsOf(stats));
    sayCheck(check, stats.check);
    charts.update(points);
  }, { signal });
  watch.addEventListener("failed", ({ detail }) => say("bad", t("overview.down"), [advice(detail)]), { signal });
}
