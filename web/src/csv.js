// Rows as CSV. Text that a spreadsheet would run as a formula is escaped, as in results.csv.

const FORMULA = /^'*[=+\-@\t\r\n]/;

export function csvText(board, keys, rows) {
  const lines = [keys.join(",")];
  for (const row of rows) lines.push(keys.map((key) => cell(board.value(key, row))).join(","));
  return lines.map((line) => `${line}\r\n`).join("");
}

function cell(value) {
  if (value === null) return "";
  if (typeof value === "number") return String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function saveFile(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
