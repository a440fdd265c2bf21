/* Where the session stands: phase, side, time left, evidence, and the trials of this run. */
import { fill } from "./words.js";

const LATELY = 40;
const COUNTS = ["hit", "quiet", "miss", "wrong", "false_trigger"];
const COUNTED = { hit: "hits", quiet: "quiet", miss: "misses", wrong: "wrong", false_trigger: "false_triggers" };
const MARKS = { hit: "✓", quiet: "–", miss: "○", wrong: "↔", false_trigger: "✕" };

export class Trials {
  constructor(find, words, clock) {
    Object.assign(this, { find, words, clock });
    this.run = undefined;
    this.meters = new Map();
  }

  show({ trial, summary, evidence }) {
    this.trial = trial;
    const { kinds, sides, labels } = this.words;
    const part = kinds[trial.segment] ?? trial.segment;
    const kind = kinds[trial.kind] ?? trial.kind;
    this.find("phase").textContent = part === kind ? kind : `${part} · ${kind}`;
    this.find("trial-side").textContent = trial.side && trial.trial ? sides[trial.side] : "";
    const number = trial.trial ? trial.trial - (trial.run - 1) * trial.trials : 0;
    this.find("trial-count").textContent = !trial.trial ? ""
      : `${fill(labels.run, trial)}, ${fill(labels.trial, { trial: number, trials: trial.trials })}`;
    this.note(trial, number);
    this.gather(evidence);
    this.count(summary);
    this.tick();
  }

  /* Between messages only the time moves. */
  tick() {
    const { begins_s: begins, ends_s: ends, kind } = this.trial ?? {};
    const isTimed = this.trial && ends > begins && !this.trial.paused && kind !== "waiting";
    const left = isTimed ? Math.max(0, ends - this.clock.now) : 0;
    const share = isTimed ? 1 - left / (ends - begins) : 0;
    this.find("progress").setAttribute("width", `${Math.min(Math.max(share, 0), 1) * 100}%`);
    const words = fill(this.words.labels.seconds_left, { seconds: left.toFixed(0) });
    this.find("time-left").textContent = isTimed ? words : "";
  }

  note({ run, trial, side, outcome }, number) {
    const list = this.find("timeline");
    if (run !== this.run) {
      list.replaceChildren();
      this.run = run;
    }
    if (!trial) return;
    let item = list.querySelector(`[data-trial="${trial}"]`);
    if (!item) {
      item = document.createElement("li");
      item.dataset.trial = trial;
      list.append(item);
      if (list.children.length > LATELY) list.firstElementChild.remove();
    }
    const words = [this.words.sides[side], this.words.outcomes[outcome]].filter(Boolean).join(", ");
    item.dataset.outcome = outcome ?? "";
    item.dataset.side = side ?? "";
    item.title = words;
    item.textContent = `${number} ${MARKS[outcome] ?? "…"}`;
    item.setAttribute("aria-label", `${number}: ${words}`);
  }

  gather(evidence) {
    for (const [side, value] of Object.entries(evidence)) {
      const meter = this.meters.get(side) ?? this.meter(side);
      meter.value = Math.min(Math.max(value ?? 0, 0), 1);
      meter.nextElementSibling.textContent = value === null ? "–" : `${Math.round(value * 100)} %`;
    }
  }

  meter(side) {
    const label = document.createElement("label");
    const name = document.createElement("span");
    const meter = document.createElement("meter");
    const figure = document.createElement("span");
    name.textContent = this.words.sides[side] ?? side;
    meter.max = 1;
    figure.className = "hh-num";
    label.append(name, meter, figure);
    this.find("evidence").append(label);
    this.meters.set(side, meter);
    return meter;
  }

  count(summary) {
    const parts = COUNTS.map((one) => `${this.words.outcomes[one]} ${summary[COUNTED[one]]}`);
    this.find("counts").textContent = parts.join(" · ");
  }
}
