// Signs the server's nonce with the secret, so that the secret never leaves this page.
const form = document.getElementById("login");
const hex = (bytes) => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");

async function sign(secret, nonce) {
  const encoder = new TextEncoder();
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", encoder.encode(secret), algorithm, false, ["sign"]);
  return hex(await crypto.subtle.sign("HMAC", key, encoder.encode(nonce)));
}

if (form) {
  const secret = document.getElementById("secret");
  const problem = document.getElementById("problem");
  const fields = form.elements;
  const enter = async () => {
    fields.proof.value = await sign(secret.value, fields.nonce.value);
    secret.removeAttribute("name");
    secret.value = "";
    secret.required = false;
    form.submit();
  };
  form.addEventListener("submit", (event) => {
    if (globalThis.crypto?.subtle) {
      event.preventDefault();
      enter();
    } else if (!secret.name) {
      event.preventDefault();
      problem.textContent = form.dataset.unsafe;
      problem.hidden = false;
    }
  });
  // what `vipsgate demo` prints has the key of this run behind the #, which no browser sends
  const [id, given] = location.hash.slice(1).split(":");
  if (id && given && globalThis.crypto?.subtle) {
    history.replaceState(null, "", location.pathname + location.search);
    fields.id.value = id;
    secret.value = given;
    enter();
  }
}
