"use strict";
// Home page: columns of a table on demand, and a cone search shown as a table. A search is kept in the address's
// fragment, which browsers do not send, so that it can be shared: /#table=tycho2.stars&ra=56.75&dec=24.12&radius_deg=1

// The path below which the service is reached, empty without a proxy that has one.
const BASE = document.currentScript.dataset.base;

function cell(tag, text, className) {
  const element = document.createElement(tag);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

function table(header, rows, classOf) {
  const result = document.createElement("table");
  const head = result.createTHead().insertRow();
  for (const name of header) head.append(typeof name === "string" ? cell("th", name) : name);
  const body = result.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    row.forEach((value, at) => line.append(cell("td", value, classOf(value, at))));
  }
  return result;
}

// RFC 4180: quoted fields may hold commas, quotes (doubled) and line breaks.
function parseCsv(text) {
  const rows = [];
  let row = [], field = "", quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoted) {
      if (c !== '"') field += c;
      else if (text[i + 1] === '"') { field += '"'; i++; }
      else quoted = false;
    } else if (c === '"') quoted = true;
    else if (c === ",") { row.push(field); field = ""; }
    else if (c === "\n") { row.push(field.replace(/\r$/, "")); rows.push(row); row = []; field = ""; }
    else field += c;
  }
  if (field || row.length) { row.push(field); rows.push(row); }
  return rows;
}

async function failure(response) {
  try {
    const { error } = await response.json();
    return [error.message, error.remedy].filter(Boolean).join(" ");
  } catch {
    return `the service answered ${response.status}`;
  }
}

// A table of texts as they came (numbers of 64 bits do not fit into those of JavaScript), with the units of its columns.
function resultTable(header, rows, columns) {
  const titles = header.map((name, at) => {
    const title = cell("th", name), known = columns[at] ?? {};
    if (known.unit) title.append(" ", cell("small", known.unit));
    if (known.description) title.title = known.description;
    return title;
  });
  return table(titles, rows, (value) => (value !== "" && !Number.isNaN(Number(value)) ? "number" : ""));
}

// Units and descriptions of the columns of a result: asked for by a request for no rows, which costs nothing.
async function columnsOf(asking) {
  const response = await asking;
  return response.ok ? (await response.json()).metadata : [];
}

function saveLinks(addressOf) {
  const line = cell("p", "Save as ", "save");
  for (const [name, format, suffix] of [["VOTable", "votable", "vot"], ["CSV", "csv", "csv"], ["FITS", "fits", "fits"], ["Parquet", "parquet", "parquet"]]) {
    const link = cell("a", name);
    link.href = addressOf(format);
    link.download = `result.${suffix}`;
    line.append(link, " ");
  }
  return line;
}

// Degrees of a coordinate: decimal, or sexagesimal with colons, blanks or letters (right ascension in hours then).
function degrees(text, isRightAscension) {
  const parts = text.trim().match(/^([+-]?)(\d+)(?:\s*[hd:°]\s*|\s+)(\d+)(?:\s*[m:'′]\s*|\s+)(\d+(?:\.\d*)?)\s*[s"″]?$/i);
  if (!parts) return text.trim();
  const [, sign, whole, minutes, seconds] = parts;
  const value = Number(whole) + Number(minutes) / 60 + Number(seconds) / 3600;
  return String(Number(((sign === "-" ? -1 : 1) * value * (isRightAscension && !/[d°]/i.test(text) ? 15 : 1)).toFixed(9)));
}

async function showColumns(details) {
  const target = details.querySelector(".columns");
  if (!details.open || target.childElementCount) return;
  const response = await fetch(`${BASE}/api/v1/catalogs/${encodeURIComponent(details.dataset.table)}`);
  if (!response.ok) { target.append(cell("p", await failure(response))); return; }
  const { columns } = await response.json();
  const rows = columns.map((c) => [c.name, c.datatype + (c.is_array ? "[]" : ""), c.unit ?? "", c.ucd ?? "", c.description ?? ""]);
  target.append(table(["column", "type", "unit", "UCD", "description"], rows, (_, at) => (at === 4 ? "text" : "")));
}

async function runCone(event) {
  event.preventDefault();
  const form = event.target, button = form.querySelector("button[type=submit]");
  form.elements.ra.value = degrees(form.elements.ra.value, true);
  form.elements.dec.value = degrees(form.elements.dec.value, false);
  const status = document.getElementById("status"), target = document.getElementById("result");
  const query = new URLSearchParams(new FormData(form));
  history.replaceState(null, "", `#${query}`);
  query.set("distance", "true");
  query.set("order", "distance");
  const addressOf = (format, changes) => `${BASE}/api/v1/cone?${new URLSearchParams({ ...Object.fromEntries(query), format, ...changes })}`;
  button.disabled = true;
  status.className = "status";
  status.textContent = "Searching…";
  target.replaceChildren();
  const started = performance.now();
  try {
    const response = await fetch(addressOf("csv"));
    if (!response.ok) throw new Error(await failure(response));
    const [header, ...rows] = parseCsv(await response.text());
    const cut = response.headers.get("X-Overflow") === "true" ? ", more exist" : "";
    const found = rows.length === 0 ? "0 rows: this table has nothing here" : `${rows.length} rows${cut}`;
    status.textContent = `${found} (${Math.round(performance.now() - started)} ms)`;
    if (!rows.length) return;
    const columns = await columnsOf(fetch(addressOf("json", { maxrec: 0 })));
    target.append(saveLinks(addressOf), resultTable(header, rows, columns));
  } catch (error) {
    status.className = "status error";
    status.textContent = error.message;
  } finally {
    button.disabled = false;
  }
}

async function fillExample() {
  const form = document.getElementById("cone"), status = document.getElementById("status");
  const option = form.elements.table.selectedOptions[0];
  const name = option.value.split(".").map(delimited).join(".");
  const query = `SELECT TOP 1 ${delimited(option.dataset.ra)} AS ra, ${delimited(option.dataset.dec)} AS dec FROM ${name}`;
  const headers = { "Content-Type": "application/json" };
  const response = await fetch(`${BASE}/api/v1/query`, { method: "POST", headers, body: JSON.stringify({ query, format: "csv" }) });
  if (!response.ok) { status.className = "status error"; status.textContent = await failure(response); return; }
  const [, row] = parseCsv(await response.text());
  if (row) [form.elements.ra.value, form.elements.dec.value] = row;
}

function delimited(name) {
  return `"${name.replaceAll('"', '""')}"`;
}

function runFromAddress() {
  const form = document.getElementById("cone"), given = new URLSearchParams(location.hash.slice(1));
  for (const [name, value] of given) if (form.elements[name]) form.elements[name].value = value;
  if (given.has("table")) form.requestSubmit();
}

document.getElementById("cone").addEventListener("submit", runCone);
document.getElementById("example").addEventListener("click", fillExample);
for (const details of document.querySelectorAll("details[data-table]")) {
  details.addEventListener("toggle", () => showColumns(details));
}
runFromAddress();
