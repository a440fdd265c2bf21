/* Codes of the stream to words in the reader's language; the words come from the page. */

export function fill(text, values) {
  return text.replace(/\{(\w+)[^}]*\}/g, (whole, name) => values[name] ?? whole);
}

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/* What the station says in English with numbers in it, in the reader's language. */
export class Phrases {
  constructor({ templates, stops, kinds, orders }) {
    Object.assign(this, { stops, kinds, orders });
    const longestFirst = [...templates].sort((a, b) => b.english.length - a.english.length);
    this.known = longestFirst.map(({ english, words }) => {
      const names = [];
      const parts = english.split(/\{(\w+)[^}]*\}/);
      const pattern = parts.map((part, index) => {
        if (index % 2 === 0) return escaped(part);
        names.push(part);
        return "(.+?)";
      });
      return { pattern: new RegExp(`^${pattern.join("")}$`, "s"), names, words };
    });
  }

  said(english) {
    for (const { pattern, names, words } of this.known) {
      const found = pattern.exec(english);
      if (!found) continue;
      return fill(words, Object.fromEntries(names.map((name, index) => [name, this.value(name, found[index + 1])])));
    }
    return english;
  }

  /* A state, a step, or a reason that is itself a sentence. */
  value(name, text) {
    if (name === "state") return this.kinds[text] ?? text;
    if (name === "step") return this.orders[text] ?? text;
    return this.said(text);
  }

  /* Why an order was refused: by the codes of what stands against it, where there are any. */
  refused({ refused, standing }) {
    return standing?.length ? standing.map((code) => this.stops[code] ?? code).join(" ") : this.said(refused);
  }
}
