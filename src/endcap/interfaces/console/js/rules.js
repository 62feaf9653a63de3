/** Rules: what the shop tells the lists to do, with a look at what a rule changes before it is put. */

import { advice, said } from "./advice.js";
import { call, get, itemDetails } from "./api.js";
import { picture } from "./card.js";
import { debounce, h } from "./dom.js";
import { ago, locale, number, t, worded } from "./i18n.js";
import { setTitle } from "./title.js";
import { announce } from "./toast.js";

const ACTIONS = ["exclude", "include", "boost", "pin", "cap"];
const VALUED = new Set(["boost", "pin", "cap"]);
const RECIPES = ["for-you", "similar", "bought-together", "next", "trending", "popular", "search", "rerank", "buy-again"];
const SHOWN = ["for-you", "trending", "popular"];
const KINDS = ["product", "campaign", "review", "content"];
const QUIET_MS = 350;
const PLACES = 6;
const PLACE = /at character (\d+)/;

const when = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });
const path = (id) => `/v1/rules/${encodeURIComponent(id)}`;

/** Minutes in the reader's own time, as the field for dates wants them. */
function localMinutes(time) {
  const date = new Date(time - new Date(time).getTimezoneOffset() * 60_000);
  return date.toISOString().slice(0, 16);
}

function stateOf({ rule, in_force }, now = Date.now()) {
  if (in_force) return "active";
  return rule.from !== undefined && rule.from > now ? "waiting" : "over";
}

function effect(rule) {
  const value = rule.value === undefined ? "" : ` ${number(rule.value, rule.action === "boost" ? 2 : 0)}`;
  const per = rule.per === undefined ? "" : ` · ${t("rules.per")} ${t(`rules.per.${rule.per}`)}`;
  return [h("strong", {}, t(`rules.action.${rule.action}`), value), per, h("br"), h("code", { class: "condition" }, rule.where)];
}

function dates({ from, until }) {
  const parts = [from === undefined ? "" : t("rules.from.on", { when: when.format(from) }), until === undefined ? "" : t("rules.until.then", { when: when.format(until) })];
  return parts.filter(Boolean).join(", ");
}

function row(status, actions) {
  const { rule } = status;
  const state = stateOf(status);
  const scope = [rule.recipe, rule.kind].filter(Boolean).join(" · ") || t("rules.recipe.all");
  const edit = { class: "button", type: "button", "aria-label": t("rules.edit.one", { name: rule.id }), onclick: () => actions.edit(rule) };
  const remove = { class: "button", type: "button", "aria-label": t("rules.delete.one", { name: rule.id }), onclick: () => actions.remove(rule) };
  const who = status.changed_by === null ? t("rules.by.nobody") : t("rules.by", { who: status.changed_by });
  return h(
    "tr",
    { data: { rule: rule.id } },
    h("td", {}, h("strong", {}, rule.id), h("br"), h("span", { class: "fine" }, scope)),
    h("td", {}, effect(rule), status.problem ? h("p", { class: "figure-note bad" }, said(worded("rules.problem", ""), status.problem)) : ""),
    h("td", { class: "right" }, number(status.matches)),
    h("td", {}, h("span", { class: `tag ${state}` }, t(`rules.${state}`)), h("br"), h("span", { class: "fine" }, dates(rule))),
    h("td", {}, h("time", { datetime: new Date(status.changed).toISOString(), title: when.format(status.changed) }, ago(status.changed)), h("br"), h("span", { class: "fine" }, who)),
    h("td", {}, h("div", { class: "row-buttons" }, h("button", edit, t("rules.edit")), h("button", remove, t("rules.delete")))),
  );
}

function table(rules, actions) {
  const heads = ["name", "does", "items", "state", "changed"].map((name) => h("th", { scope: "col", class: name === "items" ? "right" : "" }, t(`rules.${name}`)));
  const body = h("tbody", {}, rules.map((status) => row(status, actions)));
  return h("div", { class: "table-box rules-table", tabindex: "0", role: "region", "aria-label": t("rules.title") }, h("table", {}, h("thead", {}, h("tr", {}, heads, h("td"))), body));
}

function field(name, control) {
  control.id = `rule-${name}`;
  control.name = name;
  return h("p", { class: "field", data: { field: name } }, h("label", { for: control.id }, t(`rules.${name}`)), control);
}

const options = (names, word) => names.map((name) => h("option", { value: name }, word(name)));

/** Which items a condition is true for, as small cards. */
async function samples(found) {
  const details = await itemDetails(found.samples.map((one) => one.item_id));
  const cards = found.samples.filter((one) => details.has(one.item_id)).map((one) => h("li", { class: "card small" }, picture(details.get(one.item_id))));
  const count = found.matches === 0 ? t("rules.preview.none") : t("rules.preview.count", Object.fromEntries(["matches", "items", "shown"].map((name) => [name, number(found[name])])));
  return [h("p", { class: "match-count" }, count), h("ul", { class: "cards samples" }, cards)];
}

/** One list now and with the rule; what is not at its place in the other is marked. */
function comparison({ recipe, before, after }) {
  const ids = [before, after].map((list) => list.map((one) => one.item_id));
  const all = Math.max(before.length, after.length);
  const moved = Array.from({ length: all }, (_, place) => ids[0][place] !== ids[1][place]);
  const count = moved.filter(Boolean).length;
  if (count === 0) return h("p", { class: "fine" }, t("rules.preview.same", { recipe, count: number(all) }));
  const column = (name, list) => h("div", {}, h("h4", {}, t(`rules.preview.${name}`)), h("ol", { class: "places" }, list.map((one, place) => h("li", { class: moved[place] ? "moved" : "" }, setTitle(one.title)))));
  const head = h("h3", {}, t("rules.preview.changed", { recipe, count: number(count), all: number(all) }));
  return h("section", { class: "comparison", data: { recipe } }, head, h("div", { class: "columns" }, column("before", before), column("after", after)));
}

/** The error at its position: the condition again, with a mark under the character. */
function problem(error, where) {
  const found = PLACE.exec(error.message);
  const caret = found === null ? "" : h("pre", { class: "position", "aria-hidden": "true" }, `${where.slice(0, Number(found[1]) - 1)}`, h("mark", {}, where.slice(Number(found[1]) - 1, Number(found[1])) || " "), where.slice(Number(found[1])));
  return [h("p", { class: "bad", id: "rule-problem" }, advice(error)), caret];
}

/** The form and its preview. `saved` is called after a rule was put. */
class Editor {
  constructor(saved) {
    this.saved = saved;
    this.asked = 0;
    this.fields = {
      name: h("input", { required: true, maxlength: "256", autocomplete: "off" }),
      action: h("select", {}, options(ACTIONS, (name) => t(`rules.action.${name}`))),
      where: h("textarea", { required: true, rows: "3", spellcheck: "false", maxlength: "2000", "aria-describedby": "rule-hint rule-problem" }),
      value: h("input", { type: "number", step: "any", min: "0", inputmode: "decimal" }),
      per: h("select", {}, options(["", "brand", "category", "kind"], (name) => t(`rules.per.${name || "none"}`))),
      recipe: h("select", {}, options(["", ...RECIPES], (name) => name || t("rules.recipe.all"))),
      kind: h("select", {}, options(["", ...KINDS], (name) => name || t("rules.kind.all"))),
      from: h("input", { type: "datetime-local" }),
      until: h("input", { type: "datetime-local" }),
    };
    this.visitor = h("input", { id: "rule-visitor", autocomplete: "off", placeholder: t("rules.preview.visitor.hint") });
    this.heading = h("h2", {}, t("rules.new"));
    this.message = h("div", { class: "problem", role: "alert" });
    this.result = h("div", { class: "preview-result", "aria-live": "polite" }, h("p", { class: "note" }, t("rules.preview.wait")));
    this.look = debounce(QUIET_MS, () => this.preview());
    this.element = this.built();
    this.adapt();
  }

  built() {
    const { name, action, where, value, per, recipe, kind, from, until } = this.fields;
    const condition = field("where", where);
    condition.append(h("span", { class: "fine", id: "rule-hint" }, t("rules.where.hint")), this.message);
    const buttons = h("div", { class: "buttons" }, h("button", { class: "button primary", type: "submit" }, t("rules.save")), h("button", { class: "button", type: "reset" }, t("rules.cancel")));
    const changed = () => (this.adapt(), this.look());
    const form = h("form", { class: "rule-form", oninput: changed, onsubmit: (event) => this.save(event), onreset: () => setTimeout(() => this.clear()) }, this.heading);
    form.append(h("div", { class: "fields" }, field("name", name), field("action", action), field("value", value), field("per", per)), condition);
    form.append(h("div", { class: "fields" }, field("recipe", recipe), field("kind", kind), field("from", from), field("until", until)), buttons);
    this.form = form;
    const who = h("p", { class: "field" }, h("label", { for: "rule-visitor" }, t("rules.preview.visitor")), this.visitor);
    this.visitor.addEventListener("input", this.look);
    return h("div", { class: "rule-editor" }, form, h("section", { class: "rule-preview", "aria-label": t("rules.preview") }, h("h2", {}, t("rules.preview")), who, this.result));
  }

  /** Only the fields that the action has. */
  adapt() {
    const action = this.fields.action.value;
    const [value, per] = ["value", "per"].map((name) => this.form.querySelector(`[data-field=${name}]`));
    value.hidden = !VALUED.has(action);
    per.hidden = action !== "cap";
    this.fields.value.required = action === "boost" || action === "cap";
    if (!value.hidden) value.firstChild.textContent = t(`rules.value.${action}`);
  }

  rule() {
    const { action, where, value, per, recipe, kind, from, until } = this.fields;
    const rule = { action: action.value, where: where.value };
    if (VALUED.has(rule.action) && value.value !== "") rule.value = Number(value.value);
    if (rule.action === "cap" && per.value) rule.per = per.value;
    for (const [name, control] of Object.entries({ recipe, kind })) if (control.value) rule[name] = control.value;
    for (const [name, control] of Object.entries({ from, until })) if (control.value) rule[name] = new Date(control.value).getTime();
    return rule;
  }

  edit(rule) {
    const dates = Object.fromEntries(["from", "until"].map((name) => [name, rule[name] === undefined ? "" : localMinutes(rule[name])]));
    const values = { ...rule, ...dates, name: rule.id };
    for (const [name, control] of Object.entries(this.fields)) control.value = values[name] ?? "";
    this.heading.textContent = t("rules.editing", { name: rule.id });
    this.adapt();
    this.preview();
    this.fields.where.focus();
  }

  clear() {
    this.asked += 1;
    this.heading.textContent = t("rules.new");
    this.say(null);
    this.result.replaceChildren(h("p", { class: "note" }, t("rules.preview.wait")));
    this.adapt();
  }

  say(error) {
    const { where } = this.fields;
    this.message.replaceChildren(...(error === null ? [] : problem(error, where.value)));
    if (error !== null && error.field === "where") where.setAttribute("aria-invalid", "true");
    else where.removeAttribute("aria-invalid");
  }

  async preview() {
    const rule = this.rule();
    const turn = (this.asked += 1);
    if (!rule.where.trim()) return this.clear();
    const parameters = new URLSearchParams({ where: rule.where, ...(rule.kind ? { kind: rule.kind } : {}) });
    try {
      const found = await samples(await get(`/v1/rule-preview?${parameters}`));
      const lists = this.fields.value.required && rule.value === undefined ? [] : await this.trial(rule);
      if (turn !== this.asked) return undefined; // what was typed since is on its way
      this.say(null);
      return this.result.replaceChildren(...found, ...lists, ...(lists.length > 0 && (rule.from || rule.until) ? [h("p", { class: "fine" }, t("rules.preview.timeless"))] : []));
    } catch (error) {
      if (turn !== this.asked) return undefined;
      this.result.replaceChildren();
      return this.say(error);
    }
  }

  /** Whose lists are asked for: the user of that id, else the visitor; null where there is neither. */
  async who() {
    const id = this.visitor.value.trim();
    if (!id) return {};
    try {
      const { kind } = await get(`/v1/users/${encodeURIComponent(id)}`);
      return { [`${kind}_id`]: id };
    } catch (error) {
      if (error.status === 404) return null;
      throw error;
    }
  }

  async trial(rule) {
    const who = await this.who();
    const named = rule.recipe && !["similar", "bought-together", "search", "rerank"].includes(rule.recipe);
    const id = this.fields.name.value.trim();
    const recipes = named ? [rule.recipe] : SHOWN;
    const asked = { rule: { ...rule, ...(id ? { id } : {}) }, recipes, k: PLACES, ...who };
    const { data } = await call("POST", "/v1/rule-preview", asked);
    const nobody = who === null ? [h("p", { class: "note" }, t("rules.preview.nobody", { id: this.visitor.value.trim() }))] : [];
    return [...nobody, ...data.lists.map(comparison)];
  }

  async save(event) {
    event.preventDefault();
    const id = this.fields.name.value.trim();
    try {
      const { data } = await call("PUT", path(id), this.rule());
      announce(t("rules.saved", { name: id, offset: number(data.offset) }));
      this.form.reset();
      await this.saved();
    } catch (error) {
      this.say(error);
      if (error.field === "where") this.fields.where.focus();
    }
  }
}

export async function rulesPage(page) {
  const list = h("div");
  const undo = h("p", { class: "note", role: "status", hidden: true });
  const load = async () => {
    const { rules } = await get("/v1/rules");
    if (rules.length === 0) list.replaceChildren(h("p", { class: "note" }, t("rules.empty")));
    else list.replaceChildren(table(rules, actions));
  };
  const restore = async (rule) => {
    const { id, ...fields } = rule;
    try {
      await call("PUT", path(id), fields);
      undo.replaceChildren(t("rules.restored", { name: id }));
      await load();
    } catch (error) {
      undo.replaceChildren(advice(error));
    }
  };
  const actions = {
    edit: (rule) => editor.edit(rule),
    remove: async (rule) => {
      try {
        await call("DELETE", path(rule.id));
        const again = h("button", { class: "link", type: "button", onclick: () => restore(rule) }, t("rules.undo"));
        undo.replaceChildren(t("rules.deleted", { name: rule.id }), " ", again);
        undo.hidden = false;
        await load();
        again.focus();
      } catch (error) {
        undo.replaceChildren(advice(error));
        undo.hidden = false;
      }
    },
  };
  const editor = new Editor(load);
  page.replaceChildren(h("header", { class: "page-head" }, h("div", {}, h("h1", { tabIndex: -1 }, t("rules.title")), h("p", {}, t("rules.about")))), undo, list, editor.element);
  await load();
}
