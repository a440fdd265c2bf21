/* The electrodes on a head, and what the watchdog finds, in words. A shape goes with each colour. */

const NS = "http://www.w3.org/2000/svg";
const MARKS = { good: "●", fair: "▲", bad: "✕" };

const made = (name, attributes) => {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};

export class Head {
  constructor(place, list, words, phrases) {
    Object.assign(this, { place, list, words, phrases });
    this.said = "";
  }

  /* x to the right ear, y to the nose; a channel without a place stands in the list only. */
  lay(channels) {
    this.marks = new Map();
    this.place.replaceChildren();
    const dense = channels.length > 32;
    for (const { name, x, y } of channels) {
      if (x === null || x === undefined) continue;
      const group = made("g", { transform: `translate(${x} ${-y})`, "data-quality": "good" });
      const mark = made("text", { class: "bci-mark", "text-anchor": "middle", y: 0.05 });
      const label = made("text", { class: "bci-name", "text-anchor": "middle", y: dense ? 0.13 : 0.17 });
      mark.textContent = MARKS.good;
      label.textContent = name;
      group.append(mark, label);
      group.classList.toggle("bci-dense", dense);
      this.place.append(group);
      this.marks.set(name, { group, mark });
    }
  }

  show({ channels, verdicts }) {
    for (const [name, quality] of Object.entries(channels)) {
      const found = this.marks?.get(name);
      if (!found || found.group.dataset.quality === quality) continue;
      found.group.dataset.quality = quality;
      found.mark.textContent = MARKS[quality] ?? "?";
    }
    this.tell(verdicts);
  }

  tell(verdicts) {
    const key = verdicts.map(({ code, channel }) => code + channel).join();
    if (key === this.said && performance.now() - this.saidAt < 1000) return;
    this.said = key;
    this.saidAt = performance.now();
    const lines = verdicts.map(({ channel, message }) => {
      const item = document.createElement("li");
      const place = channel || this.words.labels.stream;
      const said = this.phrases.said(message);
      item.textContent = said.includes(place) ? said : `${place}: ${said}`;
      return item;
    });
    if (!lines.length) {
      const item = document.createElement("li");
      item.textContent = this.words.labels.nothing_found;
      lines.push(item);
    }
    this.list.replaceChildren(...lines);
  }
}
