// Runs what an application in JavaScript does, and says what came of it as JSON.
// node ali_oss.js MODULES ENDPOINT BUCKET STYLE VERSION PICTURE
const [modules, endpoint, bucket, style, version, picture] = process.argv.slice(2);
const OSS = require(require("path").join(modules, "ali-oss"));
const fs = require("fs");
const os = require("os");
const path = require("path");
const zlib = require("zlib");
const { Readable } = require("stream");

const settings = {
  accessKeyId: "ownerKey",
  accessKeySecret: "ownerSecret",
  region: "oss-cn-hangzhou",
  endpoint,
  bucket,
  secure: false,
  authorizationV4: version === "v4",
  cname: style === "cname",
  sldEnable: style === "sldEnable",
};
const client = new OSS(settings);

async function code(promise) {
  try {
    await promise;
    return "";
  } catch (error) {
    return error.code;
  }
}

async function main() {
  const said = {};
  const data = fs.readFileSync(picture);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "ali-oss-"));
  if (style !== "cname") await client.putBucket(bucket);
  client.useBucket(bucket);
  const put = await client.put("dir/a b+c.jpg", data, { meta: { author: "me" } });
  said.put = put.res.status;
  const got = await client.get("dir/a b+c.jpg");
  said.got = Buffer.compare(got.content, data) === 0;
  const head = await client.head("dir/a b+c.jpg");
  said.head = [head.status, head.meta.author, head.res.headers["content-type"]];
  const small = path.join(folder, "small.jpg");
  await client.get("dir/a b+c.jpg", small, { process: "image/resize,w_100" });
  said.small = fs.readFileSync(small).toString("base64");
  const saved = await client.processObjectSave(
    "dir/a b+c.jpg", "made/西湖.jpg", "image/resize,w_100/rotate,90", bucket);
  said.saved = saved.status;
  said.made = (await client.get("made/西湖.jpg")).content.toString("base64");
  const options = { process: "image/resize,w_60", expires: 600 };
  try {
    said.url = version === "v4"
      ? await client.signatureUrlV4("GET", 600, { queries: { "x-oss-process": options.process } },
        "dir/a b+c.jpg")
      : client.signatureUrl("dir/a b+c.jpg", options);
    said.shown = (await fetch(said.url)).status;
  } catch (error) {
    said.url = `refused by the client: ${error.message}`;
  }
  await client.copy("copy.jpg", "dir/a b+c.jpg");
  const listed = await client.list({ "max-keys": 1000 });
  said.listed = listed.objects.map((item) => item.name);
  const pages = [];
  let token;
  do {
    const page = await client.listV2({ "max-keys": 2, "continuation-token": token });
    pages.push(...page.objects.map((item) => item.name));
    token = page.nextContinuationToken;
  } while (token);
  said.pages = pages;
  await client.putACL("copy.jpg", "public-read");
  said.acl = (await client.getACL("copy.jpg")).acl;
  if (style !== "cname") {
    await client.putBucketReferer(bucket, true, ["http://www.example.com"]);
    const referer = await client.getBucketReferer(bucket);
    said.referer = [referer.allowEmpty, referer.referers];
    await client.putBucketCORS(bucket, [
      { allowedOrigin: ["http://a.example", "http://*.b"], allowedMethod: ["GET", "PUT"],
        allowedHeader: ["x-oss-*"], exposeHeader: ["ETag"], maxAgeSeconds: 60 },
      { allowedOrigin: "*", allowedMethod: "HEAD" },
    ]);
    const heard = await fetch(`${endpoint}/${bucket}/none`, { headers: { Origin: "http://a.example" } });
    said.cors = [(await client.getBucketCORS(bucket)).rules,
      heard.headers.get("access-control-allow-origin")];
    await client.deleteBucketCORS(bucket);
    said.noCors = await code(client.getBucketCORS(bucket));
    said.info = (await client.getBucketInfo(bucket)).bucket.Name;
    await client.putBucketACL(bucket, "public-read");
    said.bucketAcl = (await client.getBucketACL(bucket)).acl;
  } else {
    said.declared = await code(client.putBucketACL(bucket, "public-read"));
  }
  const big = path.join(folder, "big");
  fs.writeFileSync(big, Buffer.alloc(5 << 20, "0123456789abcdef"));
  const parts = await client.multipartUpload("big", big, { partSize: 1 << 20, parallel: 2 });
  said.parts = parts.res.status;
  said.big = Buffer.compare((await client.get("big")).content, fs.readFileSync(big)) === 0;
  const packed = zlib.gzipSync(data);
  const encoded = { headers: { "Content-Encoding": "gzip" } };
  await client.put("a.gz", packed, encoded);
  const decoded = await client.get("a.gz");
  said.decoded = Buffer.compare(decoded.content, data) === 0;
  // a stream has no length: the client sends both of the headers that tell where a body ends
  const stream = Readable.from([packed.subarray(0, 50), packed.subarray(50)]);
  said.streamed = (await client.putStream("b.gz", stream, encoded)).res.status;
  const pieces = [];
  for await (const piece of (await client.getStream("b.gz")).stream) pieces.push(piece);
  said.raw = Buffer.compare(Buffer.concat(pieces), packed) === 0;
  const stranger = new OSS({ ...settings, accessKeySecret: "wrong" });
  said.refused = await code(stranger.put("large", Buffer.alloc(20 << 20)));
  // headers go with the beginning, every part and the end of an upload, and twice with a copy
  const own = { "x-oss-object-acl": "public-read", "x-oss-storage-class": "Standard" };
  const more = await client.multipartUpload("more", big,
    { partSize: 1 << 20, headers: { ...own, "x-oss-forbid-overwrite": "true" }, meta: { a: "1" } });
  const told = await client.head("more");
  said.more = [more.res.status, (await client.getACL("more")).acl, told.meta.a];
  await client.copy("more too", "more", { headers: { ...own, "Cache-Control": "max-age=7" } });
  const copied = await client.head("more too");
  said.copied = [(await client.getACL("more too")).acl, copied.res.headers["cache-control"]];
  said.unhonoured = [
    await code(client.put("more", data, { headers: { "x-oss-server-side-encryption": "AES256" } })),
    await code(client.put("more", data, { callback: { url: "http://x", body: "y" } })),
    await code(client.get("more", { headers: { "x-oss-traffic-limit": "819200" } })),
    await code(client.multipartUpload("more", big, { headers: { "x-oss-callback": "e30=" } })),
    await code(client.putBucketLifecycle(bucket, [{ prefix: "a", status: "Enabled", days: 1 }])),
  ];
  await client.putSymlink("link \u897f", "dir/a b+c.jpg", {});
  said.linked = [(await client.getSymlink("link \u897f")).targetName,
    (await client.get("link \u897f")).res.headers["x-oss-object-type"]];
  await client.delete("link \u897f");
  said.lifecycle = await code(client.getBucketLifecycle(bucket));
  const grown = await client.append("grows", Buffer.from("123"));
  await client.append("grows", Buffer.from("456"), { position: grown.nextAppendPosition });
  said.grown = (await client.get("grows")).content.toString();
  said.notAppendable = await code(client.append("more", data, { position: 5 << 20 }));
  await client.putObjectTagging("grows", { a: "1", "b c": "x/y" });
  said.tags = (await client.getObjectTagging("grows")).tag;
  await client.deleteObjectTagging("grows");
  said.untagged = (await client.getObjectTagging("grows")).tag;
  await client.put("dir/", Buffer.alloc(0));
  said.folder = [(await client.head("dir/")).status, (await client.get("dir/a b+c.jpg")).res.status];
  await client.deleteMulti(["grows", "dir/"]);
  said.still = (await client.head("more")).res.headers["content-length"];
  await client.deleteMulti(["more", "more too"]);
  said.missing = await code(client.get("none"));
  const names = [...said.pages, "big", "a.gz", "b.gz"];
  said.gone = (await client.deleteMulti(names)).res.status;
  await client.delete("none");
  said.left = ((await client.list()).objects || []).length;
  said.buckets = style === "cname" ? [] : (await client.listBuckets({ prefix: bucket })).buckets
    .map((item) => item.name);
  fs.rmSync(folder, { recursive: true });
  console.log(JSON.stringify(said));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
