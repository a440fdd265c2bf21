/* The therapist's page: what the station tells 20 times a second, put where it is looked for. */
import { StationClock } from "./clock.js";
import { Controls } from "./controls.js";
import { Head } from "./head.js";
import { Impedance } from "./impedance.js";
import { Signal } from "./signal.js";
import { Station } from "./station.js";
import { Trials } from "./trials.js";
import { Phrases, fill } from "./words.js";

const root = document.getElementById("live");
const words = JSON.parse(root.dataset.words);
const find = (id) => document.getElementById(id);
const clock = new StationClock();
const phrases = new Phrases(words);
const head = new Head(find("electrodes"), find("findings"), words, phrases);
const impedance = new Impedance(find("impedance"), find("impedance-none"), words.impedance);
const trials = new Trials(find, words, clock);
let opened;
let signal;

function say(id, text, tone) {
  const place = find(id);
  if (!place) return;
  if (place.textContent !== text) place.textContent = text;
  if (tone) place.dataset.tone = tone;
}

const TONES = { open: "good", connecting: "warn" };

function connection(state, seconds) {
  const text = state === "stalled" ? fill(words.states.stalled, { seconds }) : words.connection[state];
  say("connection", text, TONES[state] ?? "bad");
  root.classList.toggle("bci-lost", state !== "open");
}

const station = new Station(root, { onMessage: hear, onState: connection });
const controls = new Controls(root, station, words.orders, phrases);

function hear(message) {
  if (message.type === "live") live(message);
  else if (message.type === "opened") open(message);
  else if (message.type === "state") {
    say("station", `${words.states[message.state] ?? message.state} ${phrases.said(message.detail ?? "")}`.trim());
  } else if (message.type === "ended") say("station", words.states.ended);
}

function open(message) {
  opened = message;
  signal = undefined;
  find("signal").replaceChildren();
  head.lay(message.channels);
  say("station", words.states.live);
}

function live(message) {
  clock.hear(message.at_s);
  connection("open");
  picture(message);
  trials.show(message);
  actuator(message.actuator);
  beside(message);
  fit(message);
  impedance.show(message.impedance);
  controls.hear(message.orders);
}

function picture({ signal: rows, health }) {
  if (!opened) return;
  if (rows) {
    const names = opened.channels.map(({ name }) => name);
    signal ??= new Signal(find("signal"), names, opened.rate_hz, rows.step);
    signal.add(rows);
  }
  if (!health) return;
  head.show(health);
  const lost = `${(100 * (health.lost_share ?? 0)).toFixed(1)} %`;
  say("age", fill(words.labels.age, { ms: Math.round(health.age_ms ?? 0), lost }));
}

function actuator({ armed, level, why_off: why, last_stop: last }) {
  const state = level > 0 ? "moving" : armed ? "armed" : "off";
  say("actuator", words.actuator[state], { moving: "warn", armed: "info", off: "idle" }[state]);
  say("why", why ? words.stops[why] ?? why : "");
  if (!last) return say("last-stop", "");
  const known = last.latency_ms !== null;
  const text = known ? words.actuator.last : words.actuator.last_unknown;
  return say("last-stop", fill(text, { words: words.stops[last.reason] ?? last.reason, ms: last.latency_ms }));
}

const figure = (value) => value ?? "–";

function beside({ recorder, latency, frames, patient_page: isShown }) {
  const late = latency ?? {};
  for (const [id, times] of [["to-decision", late.decision], ["to-screen", late.screen]]) {
    const values = { now: figure(times?.now_ms), p50: figure(times?.p50_ms), p99: figure(times?.p99_ms) };
    say(id, fill(words.labels.latency, values));
  }
  if (recorder) {
    const state = recorder.failure ? "failed" : recorder.behind_s > 0.1 ? "behind" : "good";
    const values = { seconds: recorder.behind_s?.toFixed(2), reason: phrases.said(recorder.failure ?? "") };
    say("recorder", fill(words.recorder[state], values), { good: "good", behind: "warn", failed: "bad" }[state]);
  }
  say("patient-page", isShown ? words.page.open : words.page.closed, isShown ? "good" : "warn");
  const shown = frames?.count ? { p50: figure(frames.p50_ms), p99: figure(frames.p99_ms), count: frames.count } : null;
  say("frames", shown ? fill(words.labels.frames, shown) : words.labels.none);
}

const percent = (value) => `${Math.round(value * 100)} %`;

function fit({ fit: found, has_decoder: drives }) {
  say("decoder", drives ? words.fit.drives : words.fit.none_drives, drives ? "good" : "idle");
  if (!find("accept")) return;
  const done = found?.state === "done";
  const better = done && found.accuracy.value > found.accuracy.chance_bound;
  find("accept").hidden = !better;
  find("fit-sha256").value = done ? found.sha256 : "";
  if (!done) {
    say("fit", fill(words.fit[found?.state ?? "none"], { detail: phrases.said(found?.detail ?? "") }));
    return;
  }
  const { value, standard_error: error, trials: count, chance_bound: bound } = found.accuracy;
  const values = { value: percent(value), error: percent(error), trials: count, bound: percent(bound) };
  const promises = {
    hits: percent(found.hits),
    threshold: found.threshold.toFixed(2),
    rate: found.false_per_min.toFixed(2),
    confidence: `${(found.accuracy.confidence * 100).toFixed(1)} %`,
  };
  say("fit", `${fill(better ? words.fit.above : words.fit.chance, values)} ${fill(words.fit.promises, promises)}`);
}

find("scale").addEventListener("change", (event) => signal?.look({ scale: Number(event.target.value) }));
find("span").addEventListener("change", (event) => signal?.look({ span: Number(event.target.value) }));
find("freeze").addEventListener("change", (event) => { if (signal) signal.isHeld = event.target.checked; });
setInterval(() => trials.tick(), 100);
