// The authors' own encoders: pictures on stdin, a ThumbHash in Base64 and a BlurHash for each on stdout.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const modules = process.argv[2];
const { rgbaToThumbHash } = await import(pathToFileURL(`${modules}/thumbhash/thumbhash.js`));
const { encode } = createRequire(`${modules}/`)("blurhash");

const hashes = JSON.parse(readFileSync(0)).map(([width, height, pixels, x, y]) => {
  const rgba = Buffer.from(pixels, "base64");
  const thumb = Buffer.from(rgbaToThumbHash(width, height, rgba)).toString("base64");
  return [thumb, encode(new Uint8ClampedArray(rgba), width, height, x, y)];
});
console.log(JSON.stringify(hashes));
