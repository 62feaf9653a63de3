/** The server's figures, asked once a second while the page is seen, with a memory of the last hour. */

import { get } from "./api.js";

const EVERY_MS = 1000;
const KEPT_SECONDS = 3600;

/** Fires `figures` with `{stats, points}` and `failed` with the error. A point is one second. */
export const watch = new EventTarget();

const tell = (name, detail) => watch.dispatchEvent(new CustomEvent(name, { detail }));
const points = [];

/** The per-second counts that the server still has, for the seconds that are not known here. */
function counted(stats, now) {
  const { requests, events, errors } = stats.series;
  const last = points.at(-1)?.time ?? 0;
  const first = now - requests.length;
  return requests
    .map((count, at) => ({ time: first + at, requests: count, events: events[at], errors: errors[at] }))
    .filter(({ time }) => time > last);
}

/** The percentiles are of the minute before now, so only the newest second carries them. */
function remember(stats) {
  points.push(...counted(stats, Math.floor(Date.now() / 1000)));
  const newest = points.at(-1);
  if (newest) {
    const [answer, fresh] = [stats.recommend_ms, stats.freshness_ms];
    const target = stats.freshness_target_ms;
    Object.assign(newest, { p50: answer.p50, p99: answer.p99, fresh50: fresh.p50, fresh99: fresh.p99, target });
  }
  points.splice(0, Math.max(points.length - KEPT_SECONDS, 0));
}

async function ask() {
  try {
    const stats = await get("/v1/stats");
    remember(stats);
    tell("figures", { stats, points });
  } catch (error) {
    tell("failed", error);
  }
}

/** Starts asking; it pauses while nobody looks. */
export async function startWatching() {
  for (;;) {
    if (!document.hidden) await ask();
    await new Promise((resume) => setTimeout(resume, EVERY_MS));
  }
}
