"use strict";
// Query form of the home page: a query is run, explained, or queued as a job. The jobs begun here are remembered by
// this browser alone, since an anonymous job belongs to whoever knows its identifier. Uses the functions of home.js.

const JOBS = "jobs";
const ACTIVE = ["PENDING", "QUEUED", "EXECUTING"];

function queryForm() {
  const form = document.getElementById("query");
  return { query: form.elements.query.value, lang: form.elements.lang.value, maxrec: Number(form.elements.maxrec.value) };
}

async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  const response = await fetch(`${BASE}/api/v1/${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(await failure(response));
  return response;
}

function say(text, isError) {
  const status = document.getElementById("query-status");
  status.className = isError ? "status error" : "status";
  status.textContent = text;
}

async function doing(event, work) {
  event.preventDefault();
  const buttons = document.querySelectorAll("#query button");
  const target = document.getElementById("query-result");
  buttons.forEach((button) => { button.disabled = true; });
  target.replaceChildren();
  say("Working…");
  try {
    await work(target, performance.now());
  } catch (error) {
    say(error.message, true);
  } finally {
    buttons.forEach((button) => { button.disabled = false; });
  }
}

async function runQuery(target, started) {
  const asked = queryForm();
  const response = await post("query", { ...asked, format: "csv" });
  const [header, ...rows] = parseCsv(await response.text());
  const cut = response.headers.get("X-Overflow") === "true" ? ", more exist" : "";
  say(`${rows.length} rows${cut} (${Math.round(performance.now() - started)} ms)`);
  const columns = await columnsOf(post("query", { ...asked, maxrec: 0, format: "json" }));
  const words = { LANG: asked.lang, QUERY: asked.query, MAXREC: asked.maxrec };
  target.append(
    saveLinks((format) => `${BASE}/tap/sync?${new URLSearchParams({ ...words, RESPONSEFORMAT: format })}`),
    resultTable(header, rows, columns),
  );
}

async function explainQuery(target) {
  const plan = await (await post("explain", queryForm())).json();
  const rows = plan.tables.map((one) => [one.table, `${one.files} of ${one.files_total}`, one.reason]);
  say(`${plan.files} of ${plan.files_total} files, at most ${plan.rows.toLocaleString("en")} rows, about ${plan.estimated_s.toPrecision(2)} s`);
  target.append(table(["table", "files", "why"], rows, (_, at) => (at === 2 ? "text" : "")));
  for (const line of [...plan.limits.map((text) => `limit: ${text}`), ...plan.advice]) target.append(cell("p", line));
}

async function submitJob() {
  const asked = queryForm();
  const job = await (await post("jobs", { query: asked.query, lang: asked.lang, format: "parquet" })).json();
  remember([job.job_id, ...remembered()]);
  say("The job is queued; it goes on when this page is closed.");
  follow(job);
}

function remembered() {
  try { return JSON.parse(localStorage.getItem(JOBS)) ?? []; } catch { return []; }
}

function remember(ids) {
  localStorage.setItem(JOBS, JSON.stringify(ids.slice(0, 50)));
}

function showJob(job) {
  const list = document.getElementById("jobs");
  let line = document.getElementById(`job-${job.job_id}`);
  if (!line) {
    line = document.createElement("li");
    line.id = `job-${job.job_id}`;
    list.prepend(line);
  }
  const done = job.progress ? `, ${job.progress[0]} of ${job.progress[1]} batches` : "";
  const rows = job.results.length ? `, ${job.results[0].rows.toLocaleString("en")} rows${job.overflow ? ", more exist" : ""}` : "";
  line.replaceChildren(cell("b", job.phase), `${done}${rows} `, cell("code", job.query ?? "", "about"));
  for (const file of job.results) {
    const link = cell("a", ` ${file.name} (${Math.ceil(file.size_bytes / 1000).toLocaleString("en")} kB)`);
    link.href = `${BASE}/api/v1/jobs/${job.job_id}/results/${file.name}`;
    link.download = `${job.job_id}.parquet`;
    line.append(link);
  }
  if (job.error) line.append(cell("pre", job.error.message));
  const remove = cell("button", "Delete", "quiet");
  remove.addEventListener("click", () => deleteJob(job.job_id));
  line.append(" ", remove);
  document.getElementById("jobs-title").hidden = false;
}

async function follow(job) {
  while (job) {
    showJob(job);
    if (!ACTIVE.includes(job.phase)) return;
    const response = await fetch(`${BASE}/api/v1/jobs/${job.job_id}?wait=10`);
    job = response.ok ? await response.json() : null;
  }
}

async function deleteJob(id) {
  await fetch(`${BASE}/api/v1/jobs/${id}`, { method: "DELETE" });
  remember(remembered().filter((one) => one !== id));
  document.getElementById(`job-${id}`)?.remove();
}

async function showRemembered() {
  for (const id of remembered().reverse()) {
    const response = await fetch(`${BASE}/api/v1/jobs/${id}`);
    if (response.ok) follow(await response.json());
    else if (response.status === 404) remember(remembered().filter((one) => one !== id));
  }
}

document.getElementById("query").addEventListener("submit", (event) => doing(event, runQuery));
document.querySelector("#query textarea").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) document.getElementById("query").requestSubmit();
});
document.getElementById("explain").addEventListener("click", (event) => doing(event, explainQuery));
document.getElementById("job").addEventListener("click", (event) => doing(event, submitJob));
showRemembered();
