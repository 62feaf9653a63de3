/** Speech: from the microphone, at most half a minute, and as text that can be sent. */

const MOST_MS = 29_000; // the server hears 30 seconds
const BITS_PER_SECOND = 32_000;

/** A body may have 2 MB, and base64 takes a third more. */
const MOST_BYTES = 1_400_000;

export const canRecord = () => Boolean(navigator.mediaDevices?.getUserMedia && globalThis.MediaRecorder);

/** Listens until `stop()`: `recorded` becomes the recording, or null after `cancel()`. Throws what the browser does where it may not. */
export async function listenIn() {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, noiseSuppression: true } });
  const recorder = new MediaRecorder(stream, { audioBitsPerSecond: BITS_PER_SECOND });
  const parts = [];
  let wanted = true;
  recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
  const recorded = new Promise((resolve) => {
    recorder.addEventListener("stop", () => resolve(wanted ? new Blob(parts, { type: recorder.mimeType }) : null));
  });
  const stop = () => {
    clearTimeout(timer);
    if (recorder.state !== "inactive") recorder.stop();
    for (const track of stream.getTracks()) track.stop();
  };
  const timer = setTimeout(stop, MOST_MS);
  recorder.start();
  return { recorded, stop, cancel: () => ((wanted = false), stop()) };
}

/** Whether `file` is too large to send. */
export const isTooLong = (file) => file.size > MOST_BYTES;

/** The bytes of `file` as base64. */
export function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result.slice(reader.result.indexOf(";base64,") + ";base64,".length)));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(file);
  });
}
