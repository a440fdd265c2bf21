/* What the patient sees: cross, hands, bar, countdown and a few words. State in, picture out. */
import { fill } from "./words.js";

const BAR_WIDTH = 120;
const ASKS = new Set(["cue", "active"]);
const COUNTED = new Set(["rest", "break", "check"]);
const ENDED = new Set(["summary", "finished", "aborted"]);
/* How far a hand closes by itself to show what is meant, and how fast (per second). */
const HINT = 0.35;
const GRIP_RATE = 4;

export class Scene {
  constructor(find, words, clock) {
    Object.assign(this, { find, words, clock, grips: { left: 0, right: 0 } });
    this.fingers = {};
    for (const side of ["left", "right"]) {
      this.fingers[side] = [...find(`${side}-hand`).querySelectorAll(".finger, .thumb")].map((path) => {
        const [x, y, ...tip] = path.getAttribute("d").match(/-?[\d.]+/g).map(Number);
        return { path, x, y, tip: tip.length === 1 ? [x, tip[0]] : tip };
      });
    }
  }

  draw({ trial, summary, evidence, actuator }, elapsedS) {
    const { kind, side } = trial;
    const place = this.find("screen");
    place.dataset.kind = kind;
    place.dataset.side = side ?? "";
    place.dataset.outcome = kind === "feedback" ? trial.outcome ?? "" : "";
    this.tell(trial, summary);
    this.count(trial);
    const wanted = evidence?.[side] ?? 0;
    const isMeasured = kind === "active" && trial.segment === "feedback" && side !== "rest";
    this.find("bar").classList.toggle("shown", isMeasured);
    const share = isMeasured ? Math.min(Math.max(wanted, 0), 1) : 0;
    this.find("bar-fill").setAttribute("width", (share * BAR_WIDTH).toFixed(1));
    const moved = kind === "feedback" && trial.outcome === "hit" ? 1 : 0;
    for (const one of ["left", "right"]) {
      const asked = one === side && ASKS.has(kind) ? HINT * Number(kind === "cue") + share : 0;
      const level = one === side ? Math.max(asked, moved, actuator?.level ?? 0) : 0;
      this.close(one, Math.min(level, 1), elapsedS);
    }
  }

  /* Hands close smoothly, by the time that has passed, however often frames come. */
  close(side, target, elapsedS) {
    const step = GRIP_RATE * elapsedS;
    const grip = this.grips[side] + Math.min(Math.max(target - this.grips[side], -step), step);
    if (grip === this.grips[side]) return;
    this.grips[side] = grip;
    for (const { path, x, y, tip } of this.fingers[side]) {
      const curled = tip[0] === x ? [x, y + 6] : [tip[0] + 20, tip[1] + 10];
      const [endX, endY] = tip.map((open, axis) => open + grip * (curled[axis] - open));
      path.setAttribute("d", `M${x},${y} L${endX.toFixed(2)},${endY.toFixed(2)}`);
    }
  }

  tell(trial, summary) {
    const { kinds, asks, cues, outcomes, labels } = this.words;
    const { kind, side, outcome } = trial;
    let text = kinds[kind] ?? "";
    if (kind === "cue") text = cues[side] ?? "";
    if (kind === "active") text = asks[side] ?? "";
    if (kind === "feedback") text = outcomes[outcome] ?? "";
    put(this.find("words"), text);
    const done = ENDED.has(kind) && summary?.trials;
    const counts = done ? { right: summary.hits + summary.quiet, trials: summary.trials } : {};
    put(this.find("result"), done ? fill(labels.count, counts) : "");
  }

  count({ kind, begins_s: begins, ends_s: ends, paused }) {
    const left = Math.ceil(ends - this.clock.now);
    const isCounted = COUNTED.has(kind) && !paused && ends > begins && left > 0;
    put(this.find("countdown"), isCounted ? String(left) : "");
  }
}

function put(place, text) {
  if (place.textContent !== text) place.textContent = text;
}
