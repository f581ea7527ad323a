// Several files at once, dropped or chosen, each with its progress; large ones go in parts. What fails on the way is
// sent again; what still fails can be tried once more from where it stopped, or cancelled.
const form = document.getElementById("upload");
const list = form.querySelector(".progress");
const input = form.querySelector("input[type=file]");
const words = form.dataset;
const AT_ONCE = 2; // files; and parts of each
const PART = Number(words.part); // bytes
const MAX_PARTS = 10000;
const TRIES = 4; // of a request that fails by the network or the server
const PAUSE = 500; // ms before the second try, twice that before the third
const LATER = (status) => status === 0 || status === 429 || status >= 500;

class Failure extends Error {}
const sleep = (time) => new Promise((done) => { setTimeout(done, time); });
const count = (file) => Math.ceil(file.size / size(file));
const size = (file) => Math.max(PART, Math.ceil(file.size / MAX_PARTS));

function request(method, url, body, { type = "", signal, progress = () => {} }) {
  return new Promise((done, fail) => {
    const sent = new XMLHttpRequest();
    const stop = () => sent.abort();
    sent.open(method, url);
    sent.setRequestHeader("X-CSRF-Token", form.elements.csrf.value);
    sent.setRequestHeader("X-Requested-With", "fetch");
    if (type) sent.setRequestHeader("Content-Type", type);
    sent.upload.addEventListener("progress", (event) => progress(event.loaded));
    sent.addEventListener("loadend", () => {
      signal.removeEventListener("abort", stop);
      if (signal.aborted) fail(new Failure(words.stopped));
      else done({ status: sent.status, text: sent.responseText });
    });
    signal.addEventListener("abort", stop);
    if (signal.aborted) fail(new Failure(words.stopped));
    else sent.send(body);
  });
}

async function call(method, url, body, options) {
  for (let turn = 1; ; turn += 1) {
    const answer = await request(method, url, body, options);
    let report = {};
    try { report = JSON.parse(answer.text); } catch { /* no words of the server's */ }
    if (answer.status >= 200 && answer.status < 300) return report;
    if (!LATER(answer.status) || turn === TRIES) throw new Failure(report.message ?? words.failed);
    await sleep(PAUSE * 2 ** (turn - 1));
  }
}

const put = (file, key, options) =>
  call("PUT", `${words.aim}?${new URLSearchParams({ key })}`, file, { ...options, type: file.type });

// A file in parts; `state` outlives a failure, so that the next try sends only what is missing.
async function putParts(file, key, state, { signal, progress }) {
  const fields = (rest) => new URLSearchParams([["csrf", form.elements.csrf.value], ["key", key], ...rest]);
  state.upload ??= (await call("POST", words.begin, fields([["type", file.type]]), { signal })).upload;
  state.tags ??= Array.from({ length: count(file) });
  const loaded = state.tags.map((tag, at) => (tag ? part(file, at).size : 0));
  const waiting = [...state.tags.keys()].filter((at) => !state.tags[at]);
  const next = async () => {
    while (waiting.length) {
      const at = waiting.shift();
      const told = (bytes) => { loaded[at] = bytes; progress(loaded.reduce((sum, one) => sum + one, 0)); };
      const query = new URLSearchParams({ key, upload: state.upload, number: at + 1 });
      const report = await call("PUT", `${words.aimPart}?${query}`, part(file, at), { signal, progress: told });
      state.tags[at] = report.etag;
    }
  };
  const results = await Promise.allSettled(Array.from({ length: AT_ONCE }, next));
  const failed = results.find((one) => one.status === "rejected");
  if (failed) throw failed.reason;
  const tags = state.tags.map((tag) => ["etag", tag]);
  await call("POST", words.complete, fields([["upload", state.upload], ...tags]), { signal });
}

const part = (file, at) => file.slice(at * size(file), (at + 1) * size(file));

function abort(key, state) {
  if (!state.upload) return;
  const body = new URLSearchParams({ csrf: form.elements.csrf.value, key, upload: state.upload });
  fetch(words.abort, { method: "POST", body, redirect: "manual", headers: { "X-Requested-With": "fetch" } });
}

function button(text, work) {
  const result = document.createElement("button");
  result.type = "button";
  result.textContent = text;
  result.addEventListener("click", work, { once: true });
  return result;
}

// Resolves as soon as the file is there, or given up.
function send(file) {
  const row = document.createElement("li");
  const name = document.createElement("span");
  const bar = document.createElement("progress");
  const key = form.elements.folder.value + file.name;
  const state = {};
  name.textContent = file.name;
  bar.max = file.size || 1;
  bar.value = 0;
  bar.setAttribute("aria-label", file.name);
  list.append(row);
  return new Promise((done) => {
    const attempt = async () => {
      const control = new AbortController();
      const options = { signal: control.signal, progress: (bytes) => { bar.value = bytes; } };
      const given = (text) => {
        row.replaceChildren(name, bar);
        row.className = "failed";
        name.textContent = `${file.name}: ${text}`;
        abort(key, state);
        done(false);
      };
      row.className = "";
      name.textContent = file.name;
      row.replaceChildren(name, bar, button(words.cancel, () => control.abort()));
      try {
        await (file.size > PART ? putParts(file, key, state, options) : put(file, key, options));
      } catch (error) {
        if (control.signal.aborted) return given(words.stopped);
        row.className = "failed";
        name.textContent = `${file.name}: ${error instanceof Failure ? error.message : words.failed}`;
        row.replaceChildren(name, bar, button(words.again, attempt), button(words.cancel, () => given(words.stopped)));
        return undefined;
      }
      bar.value = bar.max;
      row.replaceChildren(name, bar);
      row.className = "done";
      return done(true);
    };
    attempt();
  });
}

let underWay = 0;
async function sendAll(files) {
  const waiting = [...files];
  if (!waiting.length) return;
  underWay += 1;
  const results = [];
  const next = async () => {
    while (waiting.length) results.push(await send(waiting.shift()));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
  underWay -= 1;
  if (results.every(Boolean) && !underWay) {
    const url = new URL(location.href);
    url.searchParams.set("uploaded", String(results.length));
    url.searchParams.delete("removed");
    location.assign(url);
  }
}

addEventListener("beforeunload", (event) => { if (underWay) event.preventDefault(); });
form.addEventListener("submit", (event) => {
  event.preventDefault();
  sendAll(input.files);
});
for (const kind of ["dragover", "dragenter"]) {
  document.addEventListener(kind, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    form.classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) form.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  if (!event.dataTransfer?.files.length) return;
  event.preventDefault();
  form.classList.remove("over");
  sendAll(event.dataTransfer.files);
});
