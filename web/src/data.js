// The rows of the table as the page holds them: columns of numbers, and of texts each once.

export function pageData() {
  return JSON.parse(document.getElementById("data").textContent);
}

export class Board {
  constructor(data) {
    this.count = data.rows;
    this.columns = data.columns;
    this.files = data.files;
    this.shown = data.shown;
    this.positions = data.positions;
    this.byKey = new Map(data.shown.map((each) => [each.key, each]));
    this.orders = new Map();
    this.groups = this.groupsBySize();
    this.haystack = this.searchTexts();
  }

  value(key, row) {
    const column = this.columns[key];
    if (column.values) return column.values[row];
    const code = column.codes[row];
    return code < 0 ? null : column.texts[code];
  }

  // What sorts: a number for each row, of texts their place in the alphabet; null where unknown.
  order(key) {
    const column = this.columns[key];
    if (column.values) return column.values;
    if (!this.orders.has(key)) {
      const collator = new Intl.Collator("en", { numeric: true });
      const sorted = column.texts.map((_, code) => code);
      sorted.sort((a, b) => collator.compare(column.texts[a], column.texts[b]));
      const places = new Array(sorted.length);
      sorted.forEach((code, place) => { places[code] = place; });
      this.orders.set(key, column.codes.map((code) => (code < 0 ? null : places[code])));
    }
    return this.orders.get(key);
  }

  // The values that a text column has, in order.
  choices(key) {
    const texts = this.columns[key].texts ?? [];
    return [...texts].sort(new Intl.Collator("en", { numeric: true }).compare);
  }

  // Data set, protocol and terms, the one with most rows first: it is shown first.
  groupsBySize() {
    const { texts, codes } = this.columns.group;
    const sizes = texts.map(() => 0);
    for (const code of codes) sizes[code] += 1;
    const trained = (code) => (texts[code] === "not trained" ? 0 : 1);
    return texts
      .map((title, code) => ({ title, code, rows: sizes[code] }))
      .sort((a, b) => trained(b.code) - trained(a.code) || b.rows - a.rows || (a.title < b.title ? -1 : 1));
  }

  searchTexts() {
    const keys = ["block", "position", "family", "year", "licence", "latency_verdict", "backend", "failures"];
    const found = new Array(this.count);
    for (let row = 0; row < this.count; row += 1) {
      found[row] = keys.map((key) => this.value(key, row) ?? "").join("\n").toLowerCase();
    }
    return found;
  }
}
