/** Search by a photo and by voice: the buttons in the search field, where the shop can see or hear. */

import { advice } from "./advice.js";
import { ApiError, get, patient } from "./api.js";
import { $, h } from "./dom.js";
import { t } from "./i18n.js";
import { scaled } from "./photo.js";
import { base64, canRecord, isTooLong, listenIn } from "./recording.js";
import { announce, LONGER_MS } from "./toast.js";

const TRIES = 2;

const complain = (sentence) => announce(sentence, LONGER_MS);

/** Asks for a file of `kind`, and gives it to `use`. */
function choose(kind, use) {
  const field = h("input", { type: "file", accept: `${kind}/*`, class: "unseen", tabIndex: -1, "aria-hidden": "true", id: `${kind}-file` });
  field.addEventListener("change", () => (field.remove(), field.files[0] && use(field.files[0])));
  field.addEventListener("cancel", () => field.remove());
  $(`#${kind}-file`)?.remove();
  document.body.append(field); // in the page, because Safari forgets a field that is not
  field.click();
}

function startPhoto(button, search) {
  const use = async (file) => {
    const photo = await scaled(file).catch(() => null);
    if (photo === null) complain(t("photo.unread"));
    else search(photo);
  };
  button.addEventListener("click", () => choose("image", use));
}

/** What the button is doing: nothing (""), "listening" or "thinking"; the field says so where words would stand. */
function setDoing(button, doing) {
  const field = $("#query");
  button.dataset.doing = doing;
  button.setAttribute("aria-label", t(doing === "listening" ? "voice.stop" : "voice"));
  button.setAttribute("aria-pressed", String(doing === "listening"));
  field.placeholder = doing ? t(`voice.${doing}`) : t("search.hint");
  if (doing) {
    field.value = "";
    announce(t(`voice.${doing}`));
  }
}

function startVoice(button, ask) {
  let listening = null;
  let refused = false;
  const use = async (file) => {
    if (isTooLong(file)) return complain(t("voice.long"));
    setDoing(button, "thinking");
    try {
      const audio = await base64(file);
      await patient(() => ask(audio), TRIES);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      complain(advice(error));
    } finally {
      setDoing(button, "");
    }
  };
  const listen = async () => {
    try {
      listening = await listenIn();
    } catch {
      refused = true; // no microphone, or not allowed: the next press asks for a file
      return complain(t("voice.refused"));
    }
    setDoing(button, "listening");
    const recording = await listening.recorded;
    listening = null;
    setDoing(button, "");
    if (recording !== null) await use(recording);
  };
  button.addEventListener("click", () => {
    if (button.dataset.doing === "thinking") return;
    if (listening !== null) listening.stop();
    else if (refused || !canRecord()) choose("audio", use);
    else listen();
  });
  addEventListener("keydown", ({ key }) => key === "Escape" && listening?.cancel());
  addEventListener("pagehide", () => listening?.cancel());
}

/** Shows the buttons that the shop has a use for. `byPhoto(photo)` and `byVoice(audio)` search; the latter gives a promise. */
export async function startSenses(byPhoto, byVoice) {
  const { senses } = await get("/health/live");
  const [photo, voice] = [$("#photo"), $("#voice")];
  startPhoto(photo, byPhoto);
  startVoice(voice, byVoice);
  photo.hidden = !senses.includes("image");
  voice.hidden = !senses.includes("audio");
  $("#search").dataset.tools = String([photo, voice].filter((button) => !button.hidden).length);
}
