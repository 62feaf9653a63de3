/** The erasure of a person: what it takes and what it cannot reach, the id typed once more, and the receipt. */

import { advice, said } from "./advice.js";
import { ApiError, call, get, patient, setKey } from "./api.js";
import { h } from "./dom.js";
import { download } from "./download.js";
import { openDrawer } from "./drawer.js";
import { hasWord, locale, number, t } from "./i18n.js";

const BEYOND = ["backups", "models", "files", "disk"];
const TAKEN = ["log", "state", "files", "memory"];
const TICK_MS = 1000;

const when = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "medium" });
const sentences = (kind, names) => h("ul", { class: "sentences" }, names.map((name) => h("li", {}, t(`erase.${kind}.${name}`))));

/** An error in words; where the key does not reach, a way to give another. */
export function refusalNote(error) {
  const note = h("p", { class: "note", role: "alert" });
  if (error.status !== 401 && error.status !== 403) note.append(advice(error));
  else {
    const other = () => (setKey(""), location.reload());
    note.append(t("users.admin"), " ", h("button", { class: "link", type: "button", onclick: other }, t("users.otherkey")));
  }
  return note;
}

function row(name, value, note = null) {
  return [h("dt", {}, t(`receipt.${name}`)), h("dd", {}, value, note === null ? null : h("span", { class: "fine" }, note))];
}

const code = (text) => h("code", {}, text);
const counted = (pairs) => pairs.filter(([, count]) => count > 0).map(([name, count]) => row(name, number(count)));

function events(receipt) {
  const types = Object.entries(receipt.events).map(([type, count]) => `${hasWord(`event.${type}`) ? t(`event.${type}`) : type} ${number(count)}`);
  return row("events", number(Object.values(receipt.events).reduce((sum, count) => sum + count, 0)), types.length > 0 ? ` (${types.join(", ")})` : null);
}

function facts(receipt) {
  const { number: which, entry, first, offset, before, after } = receipt;
  const sums = ["visitors", "shared_visitors", "known_visitors", "tombstones", "snapshots", "reports", "cache_files", "exports", "tables"].map((name) => [name, receipt[name]]);
  const rest = [...sums, ["damaged", receipt.damaged.length]];
  return h(
    "dl",
    { class: "facts receipt-facts" },
    row("number", which === null ? t("receipt.none") : number(which)),
    row("time", when.format(receipt.time)),
    row("people", receipt.people.map((hash) => code(hash))),
    which === null ? [] : [row("entry", number(entry)), row("first", number(first)), events(receipt), row("lists", number(receipt.lists))],
    counted(rest),
    before === null ? [] : [row("before", code(before), ` ${t("receipt.at", { offset: number(offset) })}`), row("after", code(after))],
    row("compacted", t(receipt.compacted ? "receipt.clean" : "receipt.unclean"), receipt.problem === null ? null : [" ", said("", receipt.problem)]),
  );
}

/** Whether the model that serves has learnt from them, and what to do. */
async function retraining() {
  const { models } = await patient(() => get("/v1/models"));
  const stats = await patient(() => get("/v1/stats"));
  const active = models.find((model) => model.active);
  if (active === undefined || active.erasures === 0) return h("p", {}, t("receipt.retrain.none"));
  const link = h("a", { class: "link", href: "#/models" }, t("nav.models"));
  return h("p", { class: "note" }, t(stats.training === null ? "receipt.retrain.due" : "receipt.retrain.soon", { count: number(active.erasures) }), " ", link);
}

/** Nothing may stand between the reader and the receipt, so this is a sentence of it. */
function unknownDue(error) {
  if (!(error instanceof ApiError)) throw error;
  return h("p", {}, t("receipt.retrain.unknown"));
}

/** The receipt as the reader's paper: to print, and as the JSON that the server answered. */
function receiptView(receipt, due) {
  const name = `endcap-erasure-${receipt.number ?? "none"}.json`;
  const save = h("button", { class: "button", type: "button", onclick: () => download(name, receipt) }, t("receipt.save"));
  const paper = h("button", { class: "button", type: "button", onclick: () => print() }, t("receipt.print"));
  const unreached = receipt.unreached.length > 0 ? [h("h3", {}, t("receipt.unreached")), h("ul", { class: "sentences" }, receipt.unreached.map((path) => h("li", {}, code(path))))] : [];
  return h(
    "article",
    { class: "receipt", "aria-labelledby": "receipt-title" },
    h("h2", { id: "receipt-title", tabIndex: -1 }, t(receipt.number === null ? "receipt.nothing" : "receipt.title")),
    h("p", {}, t(receipt.number === null ? "receipt.nothing.about" : "receipt.about")),
    facts(receipt),
    ...unreached,
    h("h3", {}, t("receipt.beyond")),
    sentences("beyond", BEYOND),
    due,
    h("div", { class: "buttons" }, save, paper),
  );
}

/** Counts the seconds until `done` is called; a page that is left meanwhile would lose the receipt, so it asks. */
function waiting(answer) {
  const started = performance.now();
  const line = h("p", { role: "timer", "aria-live": "off" });
  const tick = () => (line.textContent = t("erase.running", { seconds: number((performance.now() - started) / 1000) }));
  const stay = (event) => event.preventDefault();
  tick();
  answer.replaceChildren(h("div", { class: "note", role: "status" }, h("progress", { "aria-label": t("erase.title") }), line));
  const timer = setInterval(tick, TICK_MS);
  addEventListener("beforeunload", stay);
  return () => (clearInterval(timer), removeEventListener("beforeunload", stay));
}

/** A failure after the server had begun may hide an erasure that goes on: to ask again does no harm. */
function failure(error) {
  const note = refusalNote(error);
  if (error.status === 0) note.replaceChildren(t("erase.lost"));
  return note;
}

/** Whether they are gone; the receipt or what went wrong is in `answer`. */
async function erase({ id, kind, signal, answer, erased }) {
  const done = waiting(answer);
  try {
    const { data } = await call("DELETE", `/v1/users/${encodeURIComponent(id)}${kind === null ? "" : `?kind=${kind}`}`);
    const due = await retraining().catch(unknownDue);
    const view = receiptView(data, due);
    if (signal.aborted) openDrawer("receipt", t("receipt.title"), view); // the reader went to another page meanwhile
    else answer.replaceChildren(view);
    erased();
    view.querySelector("h2").focus();
    return true;
  } catch (error) {
    answer.replaceChildren(failure(error));
    return false;
  } finally {
    done();
  }
}

/** Says what will happen, and goes on only when the id was typed. */
function confirm(job) {
  const typed = h("input", { id: "erase-id", autocomplete: "off", spellcheck: "false", required: true });
  const yes = h("button", { class: "button danger", type: "submit", disabled: true }, t("erase.go"));
  typed.addEventListener("input", () => (yes.disabled = typed.value !== job.id));
  const send = (event) => {
    event.preventDefault();
    dialog.close();
    job.run();
  };
  const no = h("button", { class: "button", type: "button", onclick: () => dialog.close() }, t("models.cancel"));
  const form = h("form", { onsubmit: send }, h("p", { class: "field" }, h("label", { for: "erase-id" }, t("erase.type", { id: job.id })), typed), h("div", { class: "buttons" }, yes, no));
  const dialog = openDrawer(
    "erase",
    t("erase.title"),
    h("p", { class: "why-sentence" }, t(`erase.about.${job.kind ?? "any"}`), " ", code(job.id)),
    h("h3", {}, t("erase.taken")),
    sentences("taken", TAKEN),
    h("h3", {}, t("receipt.beyond")),
    sentences("beyond", BEYOND),
    form,
  );
  typed.focus();
}

/** Opens the dialog. `job`: `id`, `kind` (null: whoever bears it), `signal` of the page, `answer` to write into, `erased()` when they are gone. */
export function eraseButton(job) {
  const run = async () => {
    button.disabled = true;
    button.disabled = await erase(job);
  };
  const button = h("button", { class: "button danger", type: "button", onclick: () => confirm({ ...job, run }) }, t("erase.open"));
  return button;
}
