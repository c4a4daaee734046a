// How numbers are written: as `wording.py` writes them on the pages without scripts.

export const NOTHING = "–";
const STEPS = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

export function number(value, digits = 2) {
  if (value === null || value === undefined) return NOTHING;
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function count(value) {
  if (value === null || value === undefined) return NOTHING;
  const found = STEPS.find(([step]) => Math.abs(value) >= step);
  if (!found) return String(value);
  const scaled = value / found[0];
  const size = Math.abs(scaled);
  return `${scaled.toFixed(size < 10 ? 2 : size < 100 ? 1 : 0)} ${found[1]}`;
}

export const percent = (value, digits = 2) => number(value === null ? null : 100 * value, digits);

export function interval(low, high, scale = 1, digits = 2) {
  if (low === null || high === null) return "";
  return `${number(scale * low, digits)} to ${number(scale * high, digits)}`;
}

export const signed = (value) => `${value > 0 ? "+" : ""}${number(value)}`;
