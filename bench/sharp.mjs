// sharp behind node's http, as people write it: /NAME?w=WIDTH&f=FORMAT&q=QUALITY.
//
//     node sharp.mjs PORT PROCESSES FOLDER MODULES
//
// NAME lies in FOLDER, node_modules/sharp below MODULES. JPEG with plain Huffman tables.

import cluster from "node:cluster";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";

const [port, processes, folder, modules] = process.argv.slice(2);

const write = {
  jpg: (picture, quality) => picture.jpeg({ quality, optimiseCoding: false }),
  png: (picture) => picture.png(),
  webp: (picture, quality) => picture.webp({ quality }),
  avif: (picture, quality) => picture.avif({ quality }),
};

if (cluster.isPrimary && Number(processes) > 1) {
  for (let number = 0; number < Number(processes); number += 1) cluster.fork();
  process.on("SIGTERM", () => {
    for (const worker of Object.values(cluster.workers)) worker.kill();
    process.exit(0);
  });
} else {
  const sharp = createRequire(path.join(modules, "here"))("sharp");
  sharp.cache(false); // every request is another picture
  const server = http.createServer(async (request, response) => {
    try {
      const asked = new URL(request.url, "http://here");
      const format = asked.searchParams.get("f");
      const picture = sharp(path.join(folder, path.basename(asked.pathname)))
        .resize(Number(asked.searchParams.get("w")));
      const made = await write[format](picture, Number(asked.searchParams.get("q"))).toBuffer();
      const headers = { "Content-Type": `image/${format}`, "Content-Length": made.length };
      response.writeHead(200, headers);
      response.end(made);
    } catch (error) {
      response.writeHead(500, { "Content-Type": "text/plain" });
      response.end(String(error));
    }
  });
  server.listen(Number(port), "127.0.0.1");
}
