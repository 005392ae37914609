// A table as a file that Chinese Excel and WPS open un-garbled, and in which no cell is a formula.

const BOM = "\ufeff";
const FORMULA = /^[=+\-@\t\r]/;

export function csv(lines) {
  return BOM + lines.map((cells) => cells.map(cell).join(",")).join("\r\n") + "\r\n";
}

// A text that a spreadsheet would calculate gets an apostrophe: a card's number comes from outside.
function cell(text) {
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export function save(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  const link = Object.assign(document.createElement("a"), { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
