/** The strip at the foot of the demo shop: what the last event did, what answers, and who you are. */

import { said } from "./advice.js";
import { $, h } from "./dom.js";
import { openDrawer } from "./drawer.js";
import { live } from "./foryou.js";
import { ms, number, t } from "./i18n.js";
import { posting } from "./posting.js";
import { becomeSomeoneElse, userId, visitorId } from "./visitor.js";

/** Customers of the demo shop whose history is long enough to be worth being. */
const KNOWN = ["17841", "14911", "13089", "12748", "15311"];

function showWho() {
  $("#strip-who").textContent = userId() ? t("strip.customer", { id: userId() }) : t("strip.visitor", { id: visitorId().slice(0, 12) });
}

function openSwitch() {
  const field = h("input", { id: "user-id", name: "user", autocomplete: "off", maxlength: "256", required: true, placeholder: KNOWN[0] });
  const form = h(
    "form",
    { class: "switch", method: "dialog" },
    h("label", { for: "user-id" }, t("switch.label")),
    h("div", { class: "switch-line" }, field, h("button", { class: "button primary", type: "submit" }, t("switch.go"))),
  );
  form.addEventListener("submit", () => becomeSomeoneElse(field.value.trim()));
  const choose = (user) => () => (dialog.close(), becomeSomeoneElse(user));
  const chips = KNOWN.map((id) => h("button", { class: "chip", type: "button", onclick: choose(id) }, id));
  const fresh = h("button", { class: "button", type: "button", onclick: choose(null) }, t("switch.new"));
  const dialog = openDrawer("switch", t("switch.title"), h("p", {}, t("switch.about")), fresh, form, h("div", { class: "chips" }, chips));
}

/** Wires the strip. */
export function startStrip() {
  showWho();
  $("#strip-switch").addEventListener("click", openSwitch);
  posting.addEventListener("sent", ({ detail }) => ($("#strip-event").textContent = t("strip.sent", { type: t(`event.${detail.type}`) })));
  posting.addEventListener("answered", ({ detail }) => ($("#strip-offset").textContent = number(detail.offset)));
  posting.addEventListener("unchanged", ({ detail }) => ($("#strip-event").textContent = t("strip.same", { type: t(`event.${detail.type}`) })));
  posting.addEventListener("failed", ({ detail }) => $("#strip-event").replaceChildren(t("strip.failed"), " ", said("", detail.message)));
  live.addEventListener("list", ({ detail: { answer, sinceEvent } }) => {
    $("#strip-model").textContent = answer.model ?? t("why.nomodel");
    $("#strip-offset").textContent = number(answer.offset);
    if (sinceEvent) $("#strip-event").textContent = t("strip.changed", { type: t(`event.${sinceEvent.type}`), ms: ms(sinceEvent.ms) });
  });
  live.addEventListener("state", ({ detail }) => {
    $("#strip").dataset.line = detail.open ? "open" : "closed";
    $("#strip-line").textContent = detail.open ? t("strip.open") : t("strip.closed");
  });
}
