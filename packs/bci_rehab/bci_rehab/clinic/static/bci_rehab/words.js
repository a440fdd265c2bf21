/* Codes of the stream to words in the reader's language; the words come from the page. */

export function fill(text, values) {
  return text.replace(/\{(\w+)[^}]*\}/g, (whole, name) => values[name] ?? whole);
}

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/* What the station says in English with numbers in it, in the reader's language. */
export class Phrases {
  constructor(templates, stops) {
    this.stops = stops;
    this.known = templates.map(({ english, words }) => {
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
      const values = Object.fromEntries(names.map((name, index) => [name, found[index + 1]]));
      if (values.reasons) values.reasons = this.reasons(values.reasons);
      return fill(words, values);
    }
    return english;
  }

  /* "page_closed 200 ms, data_stale" in words. */
  reasons(text) {
    return text.split(", ").map((one) => this.stops[one.split(" ")[0]] ?? one).join(" ");
  }
}
