// The live page. It shows what /events sends once a second and computes nothing but texts: what is unknown there is
// a dash here. All text goes in through textContent: a channel may be named anything.

const STALE_AFTER_MS = 5000;
const byId = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const rate = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const percent = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 2, maximumFractionDigits: 2 });
const factor = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const OUTCOMES = ["accepted", "late", "duplicate", "conflict", "rejected"];
const UNKNOWN = "Unknown: there is nothing to divide by, or no single currency.";

let page = null;
let lastPageAt = 0;
let chosen = "all";

function money(amounts, exact = false) {
  const digits = (amount) => (exact || Math.abs(amount) < 1000 ? 2 : 0);
  const texts = Object.entries(amounts).sort().map(([currency, amount]) => amountText(amount, currency, digits(amount)));
  return texts.length ? texts.join(" + ") : "–";
}

function amountText(amount, currency, digits) {
  const limits = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  try {
    return new Intl.NumberFormat("en", { style: "currency", currency, ...limits }).format(amount);
  } catch {
    return `${new Intl.NumberFormat("en", limits).format(amount)} ${currency}`.trim();
  }
}

function moment(node, ms) {
  const at = new Date(ms);
  const today = new Date().toDateString() === at.toDateString();
  put(node, today ? clock.format(at) : `${at.toLocaleDateString("en-CA")} ${clock.format(at)}`, at.toISOString());
  node.classList.toggle("dated", !today);
}

function ago(ms) {
  const seconds = Math.max(0, ms / 1000);
  if (seconds < 120) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${whole.format(seconds / 86400)} days`;
}

function put(node, text, title) {
  if (node.textContent !== text) node.textContent = text;
  if (title !== undefined && node.title !== title) node.title = title;
}

function draw(svg, values) {
  const known = values.filter((value) => value !== null);
  const top = Math.max(1e-9, ...known);
  let line = "";
  let pen = "M";
  values.forEach((value, at) => {
    if (value === null) {
      pen = "M"; // a gap is a gap, not a zero
      return;
    }
    line += `${pen}${((120 * (at + 60 - values.length)) / 59).toFixed(1)},${(26 - (24 * value) / top).toFixed(1)}`;
    pen = "L";
  });
  if (!svg.firstChild) svg.append(document.createElementNS(svg.namespaceURI, "path"));
  svg.firstChild.setAttribute("d", line);
}

function curve() {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "curve");
  svg.setAttribute("viewBox", "0 0 120 28");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  return svg;
}

// Rows are kept and changed in place, so that a selection or a hovered explanation survives the next second.
const placeholders = new Map();

function rows(body, items, name, cells, fill) {
  const old = new Map([...body.children].filter((row) => row.dataset.name !== undefined).map((row) => [row.dataset.name, row]));
  const wanted = items.map((item) => {
    const row = old.get(name(item)) ?? newRow(name(item), cells);
    fill(row.children, item);
    return row;
  });
  if (!placeholders.has(body)) placeholders.set(body, [...body.children]);
  const shown = wanted.length ? wanted : placeholders.get(body); // never keep numbers that nobody gives any more
  const same = shown.length === body.children.length && shown.every((row, at) => row === body.children[at]);
  if (!same) body.replaceChildren(...shown);
}

function newRow(name, cells) {
  const row = document.createElement("tr");
  row.dataset.name = name;
  const head = document.createElement("th");
  head.scope = "row";
  row.append(head);
  for (const kind of cells) {
    const cell = document.createElement("td");
    if (kind) cell.className = kind;
    row.append(cell);
  }
  return row;
}

function some(amounts) {
  return Object.keys(amounts).length ? amounts : null;
}

function ratio(cell, value, text) {
  const known = value !== null;
  put(cell, known ? text(value) : "–", known ? "" : UNKNOWN);
  cell.classList.toggle("unknown", !known);
}

const CHANNEL_CELLS = ["", "", "ratio", "", "ratio", "", "", "ratio", "ratio", "ratio", ""];

function fillChannel(cells, row) {
  const [name, impressions, clicks, ctr, orders, conversion, spend, revenue, cpc, cpa, roas, speed] = cells;
  const ratios = row.ratios[chosen] ?? { ctr: null, conversion: null, cpc: {}, cpa: {}, roas: {} };
  put(name, row.channel || "all channels", row.channel === "unknown" ? "Neither a channel nor a known campaign was given." : row.channel);
  put(impressions, whole.format(row.impressions));
  put(clicks, whole.format(row.clicks));
  put(orders, whole.format(row.orders));
  put(spend, money(row.spend), money(row.spend, true));
  put(revenue, money(row.revenue), money(row.revenue, true));
  ratio(ctr, ratios.ctr, (value) => percent.format(value));
  ratio(conversion, ratios.conversion, (value) => percent.format(value));
  ratio(cpc, some(ratios.cpc), (amounts) => money(amounts, true));
  ratio(cpa, some(ratios.cpa), (amounts) => money(amounts, true));
  ratio(roas, some(ratios.roas), (factors) => Object.values(factors).map((value) => factor.format(value)).join(" / "));
  if (!speed.firstChild) speed.append(document.createElement("span"), curve());
  put(speed.firstChild, row.clicks_per_second === null ? "–" : rate.format(row.clicks_per_second));
  draw(speed.lastChild, row.history);
}

function showChannels() {
  rows(byId("channels").tBodies[0], page.channels, (row) => row.channel, CHANNEL_CELLS, fillChannel);
  rows(byId("channels").tFoot, page.channels.length ? [page.total] : [], () => "", CHANNEL_CELLS, fillChannel);
}

function recordsOf(line) {
  return Object.values(line.outcomes).reduce((sum, count) => sum + count, 0) + line.unexplained;
}

function showLedger() {
  rows(byId("ledger").tBodies[0], page.ledger, (line) => line.topic, ["", ...OUTCOMES.map(() => ""), ""], (cells, line) => {
    put(cells[0], line.topic);
    put(cells[1], whole.format(recordsOf(line)), line.outcomes.absent ? `${line.outcomes.absent} of them hold no record` : "");
    OUTCOMES.forEach((outcome, at) => put(cells[at + 2], whole.format(line.outcomes[outcome])));
    put(cells[7], whole.format(line.unexplained));
    cells[7].className = line.unexplained ? "alarm" : "fine";
  });
  const missing = page.ledger.reduce((sum, line) => sum + Math.abs(line.unexplained), 0);
  const records = page.ledger.reduce((sum, line) => sum + recordsOf(line), 0);
  put(byId("balance"), page.ledger.length ? (missing ? `${whole.format(missing)} missing` : "yes") : "–");
  put(byId("balance-detail"), page.ledger.length ? `of ${whole.format(records)} records read` : "no records yet");
  byId("balance-tile").className = `tile ${page.ledger.length ? (missing ? "bad" : "good") : ""}`;
}

const STATE_CLASS = { healthy: "fine", unhealthy: "caution", down: "alarm", starting: "unknown" };

function showWorkers() {
  rows(byId("workers").tBodies[0], page.workers, (worker) => worker.name, ["text", "", "text"], (cells, worker) => {
    put(cells[0], worker.name);
    put(cells[1], worker.state, worker.detail);
    cells[1].className = `text ${STATE_CLASS[worker.state] ?? ""}`;
    put(cells[2], worker.events_per_second === null ? "–" : rate.format(worker.events_per_second));
    put(cells[3], worker.address);
  });
  const count = (state) => page.workers.filter((worker) => worker.state === state).length;
  const answering = count("healthy") + count("unhealthy");
  put(byId("workers-up"), `${answering} of ${page.workers.length}`);
  const words = ["starting", "down", "unhealthy"].filter(count).map((state) => `${count(state)} ${state}`);
  put(byId("workers-detail"), words.join(", ") || "all healthy");
  byId("workers-tile").className = `tile ${count("down") ? "bad" : words.length ? "" : "good"}`;
  showNotice(count("down"));
}

function showNotice(down) {
  const notices = [];
  if (down) notices.push(`${down} of ${page.workers.length} workers down: totals lack its part until another has taken over.`);
  if (page.stalled.length) notices.push(`Stalled, and holding back the others: ${page.stalled.join(", ")}.`);
  byId("notice").hidden = !notices.length;
  put(byId("notice"), notices.join(" "));
}

function showTiles() {
  put(byId("events"), page.events_per_second === null ? "–" : rate.format(page.events_per_second));
  draw(byId("events-curve"), page.history);
  if (page.watermark_ms === null) {
    put(byId("counted"), "–");
    put(byId("lag"), "waiting for events");
    put(byId("final"), "–");
    return;
  }
  moment(byId("counted"), page.watermark_ms);
  const waiting = page.waiting ? `, ${whole.format(page.waiting)} records wait` : "";
  put(byId("lag"), `${ago(page.time_ms - page.watermark_ms)} behind now${waiting}`);
  moment(byId("final"), page.final_ms);
}

function show() {
  byId("demo").hidden = !page.demo;
  showTiles();
  showChannels();
  showLedger();
  showWorkers();
}

function connection(state, text) {
  document.body.dataset.connection = state;
  put(byId("connection"), text);
}

let stream = null;

function open() {
  stream = new EventSource("/events");
  stream.onmessage = (message) => {
    page = JSON.parse(message.data);
    lastPageAt = performance.now();
    connection("live", "live");
    show();
  };
}

function watch() {
  if (page && performance.now() - lastPageAt > STALE_AFTER_MS) {
    connection("lost", `connection lost, numbers of ${clock.format(new Date(page.time_ms))}`);
  }
  if (stream.readyState === EventSource.CLOSED) open(); // it reconnects by itself, but not after an error answer
}

for (const choice of document.querySelectorAll('input[name="window"]')) {
  choice.addEventListener("change", () => {
    chosen = choice.value;
    if (page) showChannels();
  });
}
open();
setInterval(watch, 1000);
