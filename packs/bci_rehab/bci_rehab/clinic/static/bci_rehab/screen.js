/* The patient's screen: draws what the station says, and says what it drew. */
import { StationClock } from "./clock.js";
import { Frames } from "./frames.js";
import { Scene } from "./scene.js";
import { Station } from "./station.js";
import { Tone } from "./tone.js";

const root = document.getElementById("screen");
const words = JSON.parse(root.dataset.words);
const find = (id) => document.getElementById(id);
const clock = new StationClock();
const scene = new Scene(find, words, clock);
const tone = new Tone();
let newest;
let toned;
let drawnAt = 0;
let isLeaving = false;

/* What stands over everything else: emergency before hidden before connection. */
const alerts = { emergency: false, hidden: false, lost: false, ended: false, replaced: false };
const RANK = ["replaced", "lost", "emergency", "hidden", "ended"];
/* A stop has reached the stream by then: if trials go on, a person has looked at it. */
const SETTLED_MS = 1500;
let stoppedAt = 0;

function alert(name, isOn) {
  alerts[name] = isOn;
  const first = RANK.find((one) => alerts[one]);
  const place = find("alert");
  place.hidden = !first;
  place.dataset.alert = first ?? "";
  const text = first ? words.labels[first] : "";
  if (place.textContent !== text) place.textContent = text;
}

const station = new Station(root, {
  onMessage: hear,
  onState: (state) => {
    if (state === "connecting") return;
    alert("lost", state !== "open");
    if (state !== "open") newest = undefined;
  },
});

function hear(message) {
  if (message.type === "live") {
    alert("lost", false);
    clock.hear(message.at_s);
    newest = message;
    sound(message.trial);
    goOn(message);
  } else if (message.type === "replaced") {
    newest = undefined;
    station.leave();
    alert("replaced", true);
  } else if (message.type === "ended") {
    newest = undefined;
    alert("ended", true);
  } else if (message.type === "state" && message.state === "idle") {
    newest = undefined;
    find("words").textContent = words.labels.idle;
  }
}

/* What stopped the session stays to be read until somebody arms it or lets it go on. */
function goOn({ actuator, trial }) {
  const isGoing = actuator.armed || !trial.paused;
  if (isGoing && performance.now() - stoppedAt > SETTLED_MS) {
    for (const name of ["emergency", "hidden"]) if (alerts[name]) alert(name, false);
  }
}

function sound({ kind, trial, outcome }) {
  const what = kind === "feedback" ? outcome : kind;
  const key = `${trial} ${what}`;
  if (key === toned) return;
  toned = key;
  tone.play(what);
}

/* Only a message that is on the screen counts as drawn. */
const frames = new Frames(station, (now) => {
  const elapsedS = Math.min((now - drawnAt) / 1000, 0.1);
  drawnAt = now;
  if (!newest || document.hidden) return undefined;
  scene.draw(newest, elapsedS);
  return newest.number;
});

function emergency() {
  station.send({ what: "emergency" }, { urgent: true });
  stoppedAt = performance.now();
  alert("emergency", true);
}

async function fullScreen() {
  if (document.fullscreenElement) {
    isLeaving = true;
    await document.exitFullscreen();
  } else await document.documentElement.requestFullscreen();
}

document.addEventListener("keydown", (event) => {
  const key = event.key.toLowerCase();
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (key === "escape" || key === "s") emergency();
  else if (key === "f") fullScreen();
  else if (key === "t") switchTone();
});

/* In full screen a browser keeps the escape key for itself: leaving by it is the emergency stop. */
document.addEventListener("fullscreenchange", () => {
  if (!document.fullscreenElement && !isLeaving) emergency();
  isLeaving = false;
});

document.addEventListener("visibilitychange", () => {
  frames.forget();
  stoppedAt = performance.now();
  if (document.hidden && newest) alert("hidden", true);
});

function switchTone() {
  tone.toggle();
  const place = find("tone");
  place.textContent = tone.isOn ? place.dataset.on : place.dataset.off;
}

find("emergency").addEventListener("click", emergency);
