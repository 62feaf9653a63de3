/** Errors as sentences that say what to do. */

import { h } from "./dom.js";
import { language, t, worded } from "./i18n.js";

/** A sentence of the server, which speaks English; where the page does not, it stands small behind `ours`. */
export function said(ours, sentence) {
  if (language === "en") return sentence;
  return h("span", {}, ours, h("small", { class: "said", lang: "en" }, sentence));
}

/** What an error means for the reader, and what to do: a text or an element. */
export function advice(error) {
  if (error.status === 0) return t("error.unreachable");
  if (error.status === 401 || error.status === 403) return t("error.key");
  if (error.code === "overloaded") return t("error.busy");
  if (error.field === "image") return t("photo.unread");
  if (error.field === "audio") return t("voice.unheard");
  const ours = worded(`error.code.${error.code}`, t("error.title"));
  return language === "en" ? t("error.refused", { message: error.message }) : said(ours, error.message);
}
