/* The therapist's orders, by button and by key. What became of each is said in words. */
import { fill } from "./words.js";

const isTyping = (target) => target.closest?.("input:not([type=checkbox]), select, textarea");

export class Controls {
  constructor(root, station, words, phrases) {
    Object.assign(this, { root, station, words, phrases });
    this.sent = new Map();
    this.last = Date.now() % 1e9;
    this.said = root.querySelector("#said");
    this.keys = root.querySelector("#keys");
    this.dialog = root.querySelector("#confirm");
    for (const button of root.querySelectorAll("[data-order]")) {
      button.addEventListener("click", () => this.order(button.dataset.order));
    }
    root.querySelector("#note")?.addEventListener("submit", (event) => this.write(event));
    document.addEventListener("keydown", (event) => this.press(event));
    this.dialog.addEventListener("close", () => {
      if (this.dialog.returnValue === "yes") this.send("abort");
    });
  }

  press(event) {
    if (event.key === "Escape") {
      this.stop();
      return;
    }
    const typed = event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target);
    if (typed || !this.keys?.checked || this.dialog.open || event.repeat) return;
    const key = event.key.toLowerCase();
    const button = this.root.querySelector(`[data-key="${CSS.escape(key)}"], [data-press="${CSS.escape(key)}"]`);
    if (key === "n") this.root.querySelector("#note-text")?.focus();
    else if (key === "s") this.stop();
    else if (button) button.click();
    else return;
    event.preventDefault();
  }

  stop() { this.order(this.root.querySelector(".bci-stop").dataset.order); }

  order(order) {
    if (order === "abort") {
      this.dialog.returnValue = "";
      this.dialog.showModal();
    } else this.send(order);
  }

  send(order, text = "") {
    this.last += 1;
    const message = order === "emergency" ? { what: "emergency" }
      : { what: "order", order, text, id: this.last };
    const went = this.station.send(message, { urgent: order === "stop" || order === "emergency" });
    if (went) this.sent.set(this.last, order);
    this.say(went ? "sent" : "unsent", order, went ? "info" : "bad");
    return went;
  }

  write(event) {
    event.preventDefault();
    const field = this.root.querySelector("#note-text");
    if (field.value.trim() && this.send("note", field.value.trim())) field.value = "";
    field.blur();
  }

  /* What the station did with this page's orders. */
  hear(orders) {
    for (const answer of orders ?? []) {
      const { id, refused } = answer;
      const order = this.sent.get(id);
      if (!order) continue;
      this.sent.delete(id);
      if (refused) this.say("refused", order, "bad", this.phrases.refused(answer));
      else this.say("done", order, "good");
    }
  }

  say(what, order, tone, why = "") {
    this.said.dataset.tone = tone;
    this.said.textContent = fill(this.words[what], { order: this.words[order], why });
  }
}
