// Several files at once, dropped or chosen, each with its progress; any of them can be cancelled.
const form = document.getElementById("upload");
const list = form.querySelector(".progress");
const input = form.querySelector("input[type=file]");
const AT_ONCE = 2;

function send(file) {
  return new Promise((done) => {
    const row = document.createElement("li");
    const name = document.createElement("span");
    const bar = document.createElement("progress");
    const stop = document.createElement("button");
    name.textContent = file.name;
    bar.max = file.size || 1;
    bar.value = 0;
    stop.type = "button";
    stop.textContent = form.dataset.cancel;
    row.append(name, bar, stop);
    list.append(row);
    const key = form.elements.folder.value + file.name;
    const request = new XMLHttpRequest();
    request.open("PUT", `${form.dataset.aim}?${new URLSearchParams({ key })}`);
    request.setRequestHeader("X-CSRF-Token", form.elements.csrf.value);
    request.setRequestHeader("X-Requested-With", "fetch");
    if (file.type) request.setRequestHeader("Content-Type", file.type);
    request.upload.addEventListener("progress", (event) => { bar.value = event.loaded; });
    const end = (good, text) => {
      bar.value = good ? bar.max : bar.value;
      stop.remove();
      row.className = good ? "done" : "failed";
      if (text) name.textContent = `${file.name}: ${text}`;
      done(good);
    };
    request.addEventListener("load", () => {
      if (request.status < 300) return end(true);
      let text = form.dataset.failed;
      try { text = JSON.parse(request.responseText).message; } catch { /* no words of the server's */ }
      return end(false, text);
    });
    request.addEventListener("error", () => end(false, form.dataset.failed));
    request.addEventListener("abort", () => end(false, form.dataset.stopped));
    stop.addEventListener("click", () => request.abort());
    request.send(file);
  });
}

async function sendAll(files) {
  const waiting = [...files];
  if (!waiting.length) return;
  const results = [];
  const next = async () => {
    while (waiting.length) results.push(await send(waiting.shift()));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
  if (results.every(Boolean)) {
    const url = new URL(location.href);
    url.searchParams.set("uploaded", String(results.length));
    url.searchParams.delete("removed");
    location.assign(url);
  }
}

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
