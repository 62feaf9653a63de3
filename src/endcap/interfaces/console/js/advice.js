/** Errors as sentences that say what to do. */

import { t } from "./i18n.js";

/** What an error means for the reader, and what to do. */
export function advice(error) {
  if (error.status === 0) return t("error.unreachable");
  if (error.status === 401 || error.status === 403) return t("error.key");
  if (error.code === "overloaded") return t("error.busy");
  if (error.field === "image") return t("photo.unread");
  if (error.field === "audio") return t("voice.unheard");
  return t("error.refused", { message: error.message });
}
