// Bytes, pixels, milliseconds and cache state of the result, from the very answer that is shown.
const section = document.getElementById("preview");
const image = document.getElementById("result");
const facts = document.getElementById("facts");

async function tell() {
  const answer = await fetch(image.src, { headers: { "X-Requested-With": "fetch" } });
  if (!answer.ok) {
    facts.textContent = (await answer.json()).message;
    facts.className = "alert";
    return;
  }
  const data = await answer.blob();
  image.src = URL.createObjectURL(data);
  await image.decode().catch(() => {});
  const took = /total;dur=([\d.]+)/.exec(answer.headers.get("Server-Timing") ?? "");
  const words = [
    `${image.naturalWidth} × ${image.naturalHeight} ${facts.dataset.pixels}`,
    `${(data.size / 1000).toFixed(1)} KB`,
    took ? `${Number(took[1]).toFixed(1)} ms` : "",
    `${facts.dataset.cache}: ${answer.headers.get("X-Vipsgate-Cache") ?? "–"}`,
    data.type,
  ];
  facts.textContent = words.filter(Boolean).join(" · ");
}

if (section && image) tell();
