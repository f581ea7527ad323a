// One text, edited in two ways: checked while one types, completed from the server's tables, seen at once.
const form = document.getElementById("editor");
const text = form.elements.content;
const where = document.getElementById("where");
const problem = document.getElementById("problem");
const rest = document.getElementById("rest");
const offers = document.getElementById("offers");
const after = document.getElementById("after");
const before = document.getElementById("before");
const slider = document.getElementById("slider");
const cost = document.getElementById("cost");
const sheet = document.getElementById("sheet");
const basics = [...form.querySelectorAll(".basic")];
const PAUSE = 250; // ms without a key before the server is asked
let timer = 0;
let turn = 0;
let asking = new AbortController();

for (const button of form.querySelectorAll("button.plain")) button.hidden = true; // for pages without a script

async function ask(kind) {
  const mine = (turn += 1);
  asking.abort();
  asking = new AbortController();
  const sent = new URLSearchParams(new FormData(form));
  sent.set("do", kind);
  let report;
  try {
    const answer = await fetch(form.dataset.check, {
      method: "POST", body: sent, signal: asking.signal, headers: { "X-Requested-With": "fetch" },
    });
    report = await answer.json();
    if (!answer.ok) report = { problem: { message: report.message, start: 0, end: 0 }, rest: [], fields: null };
  } catch { return; }
  if (mine !== turn) return;
  if (kind === "basic" && !report.problem) text.value = report.content;
  if (kind === "check" && report.fields) fill(report.fields);
  document.getElementById("unreadable")?.remove();
  rest.hidden = !report.rest.length;
  rest.replaceChildren(`${form.dataset.kept} `, code(report.rest.join(" · ")));
  say(report.problem);
  if (!report.problem && text.value.trim()) show();
}

function code(value) {
  const result = document.createElement("code");
  result.textContent = value;
  return result;
}

function fill(fields) {
  for (const input of basics) {
    if (input.type === "radio") input.checked = (fields[input.name] === "se" ? "" : fields[input.name]) === input.value;
    else input.value = fields[input.name] ?? "";
  }
}

function say(fault) {
  where.hidden = !fault || fault.end === 0;
  problem.className = fault ? "alert" : "hint";
  problem.textContent = fault ? fault.message : form.dataset.good;
  if (!fault) return;
  const mark = document.createElement("mark");
  const line = document.createElement("code");
  mark.textContent = text.value.trim().slice(fault.start, fault.end);
  line.append(text.value.trim().slice(0, fault.start), mark, text.value.trim().slice(fault.end));
  where.replaceChildren(line);
}

// -- the preview -----------------------------------------------------------------------------------

const url = (key, process) => `${form.dataset.picture}?${new URLSearchParams({ key, process })}`;

async function show() {
  if (!after) return;
  const key = form.elements.sample.value;
  before.src = url(key, "image/resize,w_640,h_480");
  try {
    const answer = await fetch(url(key, text.value.trim()), { signal: asking.signal, headers: { "X-Requested-With": "fetch" } });
    if (!answer.ok) {
      cost.textContent = (await answer.json()).message;
      return;
    }
    const data = await answer.blob();
    const old = after.src;
    after.src = URL.createObjectURL(data);
    if (old.startsWith("blob:")) URL.revokeObjectURL(old);
    after.hidden = false;
    slider.hidden = false;
    compare(slider.querySelector("input").value);
    await after.decode().catch(() => {});
    const took = /total;dur=([\d.]+)/.exec(answer.headers.get("Server-Timing") ?? "");
    cost.textContent = [
      `${after.naturalWidth} × ${after.naturalHeight} ${form.dataset.pixels}`,
      `${(data.size / 1000).toFixed(1)} KB`,
      took ? `${Number(took[1]).toFixed(1)} ms` : "",
      answer.headers.get("X-Vipsgate-Cache") ?? "",
      data.type,
    ].filter(Boolean).join(" · ");
  } catch { /* another one has been asked for */ }
  if (sheet?.open) lay();
}

function compare(share) {
  document.getElementById("compare").classList.add("live");
  after.style.setProperty("clip-path", `inset(0 0 0 ${share}%)`);
  before.style.setProperty("clip-path", `inset(0 ${100 - share}% 0 0)`);
}

function lay() {
  for (const image of sheet.querySelectorAll("img")) image.src = url(image.dataset.key, text.value.trim());
}

sheet?.addEventListener("toggle", () => { if (sheet.open && problem.className !== "alert" && text.value.trim()) lay(); });
slider?.querySelector("input").addEventListener("input", (event) => {
  compare(event.target.value);
});

// -- completion ------------------------------------------------------------------------------------

let tables = {};
fetch(form.dataset.actions, { headers: { "X-Requested-With": "fetch" } }).then(async (answer) => {
  if (answer.ok) tables = await answer.json();
});

function offered() {
  const head = text.value.slice(0, text.selectionStart);
  if (!/^(?:image\/|.*\|image\/)/.test(head)) return "image/".startsWith(head) && head ? [["image/", head, ""]] : [];
  const word = head.split(/[/|]/).at(-1);
  const [name, ...items] = word.split(",");
  const start = (typed) => ([known]) => known.startsWith(typed) && known !== typed;
  if (!items.length) return Object.keys(tables).map((known) => [known]).filter(start(name)).map(([known]) => [known, name, ""]);
  const last = items.at(-1);
  const table = tables[name] ?? {};
  const [key, value] = last.split("_");
  const expects = value === undefined ? table[""] : table[key];
  const choices = expects?.startsWith("one of ") ? expects.slice(7).split(", ") : [];
  const typed = value ?? last;
  const values = choices.filter((one) => one.startsWith(typed) && one !== typed).map((one) => [one, typed, ""]);
  if (value !== undefined) return values.length || !expects ? values : [["", value, expects]];
  const keys = Object.entries(table).filter(([known]) => known && known.startsWith(last) && !items.slice(0, -1).some((one) => one.startsWith(`${known}_`)));
  return [...values, ...keys.map(([known, hint]) => [`${known}${hint === "no value" ? "" : "_"}`, last, hint])];
}

function offer() {
  const list = offered().slice(0, 12);
  offers.hidden = !list.length;
  offers.replaceChildren(...list.map(([known, typed, hint]) => {
    const item = document.createElement(known ? "button" : "span");
    item.append(known);
    if (hint) {
      const small = document.createElement("small");
      small.textContent = ` ${hint}`;
      item.append(small);
    }
    if (known) {
      item.type = "button";
      item.addEventListener("click", () => {
        text.setRangeText(known, text.selectionStart - typed.length, text.selectionStart, "end");
        text.focus();
        typedIn();
      });
    }
    return item;
  }));
}

function typedIn() {
  offer();
  clearTimeout(timer);
  timer = setTimeout(() => ask("check"), PAUSE);
}

text.addEventListener("input", typedIn);
text.addEventListener("click", offer);
text.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" && !offers.hidden) {
    event.preventDefault();
    offers.querySelector("button")?.focus();
  } else if (event.key === "Escape") offers.hidden = true;
  else if (event.key === "Enter") event.preventDefault(); // a process text is one line
});
offers.addEventListener("keydown", (event) => {
  const items = [...offers.querySelectorAll("button")];
  const at = items.indexOf(document.activeElement);
  if (["ArrowDown", "ArrowRight"].includes(event.key)) items[Math.min(at + 1, items.length - 1)].focus();
  else if (["ArrowUp", "ArrowLeft"].includes(event.key)) (items[at - 1] ?? text).focus();
  else if (event.key === "Escape") { offers.hidden = true; text.focus(); } else return;
  event.preventDefault();
});
for (const input of basics) input.addEventListener("input", () => {
  clearTimeout(timer);
  offers.hidden = true;
  timer = setTimeout(() => ask("basic"), PAUSE);
});
form.elements.sample.addEventListener("change", () => { if (text.value.trim()) show(); });
if (text.value.trim() && problem.className !== "alert") show();
