/* Impedances with what they mean. Limits in kiloohm, as for wet electrodes. */

const LIMITS = [[5, "good"], [10, "usable"], [20, "poor"], [Infinity, "bad"]];

export class Impedance {
  constructor(region, none, words) {
    Object.assign(this, { region, none, words });
    this.body = region.querySelector("tbody");
  }

  show(found) {
    this.none.hidden = Boolean(found);
    this.region.hidden = !found;
    const key = JSON.stringify(found);
    if (!found || key === this.shown) return;
    this.shown = key;
    const worst = Object.entries(found).sort(([, one], [, other]) => (other ?? 1e9) - (one ?? 1e9));
    this.body.replaceChildren(...worst.map((entry) => this.row(...entry)));
  }

  row(name, kilo) {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    const word = kilo === null ? "unknown" : LIMITS.find(([limit]) => kilo < limit)[1];
    const value = row.insertCell();
    value.className = "hh-num";
    value.textContent = kilo === null ? "–" : kilo.toFixed(1);
    const meaning = row.insertCell();
    meaning.dataset.quality = { good: "good", usable: "good", poor: "fair" }[word] ?? "bad";
    meaning.textContent = this.words[word];
    row.prepend(head);
    return row;
  }
}
