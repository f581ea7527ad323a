// Every call of the list through ali-oss, as it is.
// node ali_oss.js MODULES CLIENT PATH_ENDPOINT HOST_ENDPOINT PROXY FOLDER
const [modules, client, pathEndpoint, hostEndpoint, proxy, folder] = process.argv.slice(2);
const assert = require("assert");
const fs = require("fs");
const http = require("http");
const path = require("path");
const OSS = require(path.join(modules, "ali-oss"));

const photo = fs.readFileSync(path.join(folder, "photo.jpg"));
const big = fs.readFileSync(path.join(folder, "big"));
const keys = fs.readFileSync(path.join(folder, "keys"), "utf8").trim().split("\n");
const png = "image/resize,w_100/format,png";
const PART = 100 << 10;
const [proxyHost, proxyPort] = proxy.split(":");
// the client knows no proxy; every name leads to the server then
const toServer = new http.Agent({
  lookup: (name, options, done) =>
    options.all ? done(null, [{ address: proxyHost, family: 4 }]) : done(null, proxyHost, 4),
});

function runOf(version, style, kind, key) {
  const run = { version, style, kind, key, bucket: `${client}-${version}-${style}` };
  // with an address the client names the bucket in Host anyhow, so path style takes a name
  const settings = {
    accessKeyId: "ownerKey",
    accessKeySecret: "ownerSecret",
    region: "oss-cn-hangzhou",
    bucket: run.bucket,
    secure: false,
    authorizationV4: version === "v4",
    endpoint: style === "host" ? `${hostEndpoint}:${proxyPort}` : pathEndpoint.replace("127.0.0.1", "localhost"),
    sldEnable: style === "path",
    agent: toServer,
  };
  run.oss = new OSS(settings);
  run.prefix = key.slice(0, key.indexOf("/") + 1);
  run.read = async (name, options) => (await run.oss.get(name, options)).content;
  run.call = async (name, work) => {
    let text = "ok";
    try {
      await work();
    } catch (error) {
      text = `${error.code || error.name} ${error.message}`.replace(/\s+/g, " ");
    }
    console.log(`${version} ${style} ${kind} ${name}: ${text}`);
  };
  return run;
}

function same(actual, expected) {
  assert.ok(Buffer.compare(actual, expected) === 0, `${actual.length} other bytes`);
}

// a PNG of 100 pixels' width
function wide(data) {
  const ok = data.subarray(1, 4).toString() === "PNG" && data.readUInt32BE(16) === 100;
  assert.ok(ok, `no PNG of 100 pixels' width: ${data.subarray(0, 200)}`);
}

// a signed URL, as a browser gets it, without the SDK
function fetched(url) {
  return new Promise((resolve, reject) => {
    http.get(url, { agent: toServer }, (answer) => {
      const pieces = [];
      answer.on("data", (piece) => pieces.push(piece));
      answer.on("end", () => {
        const data = Buffer.concat(pieces);
        if (answer.statusCode === 200) resolve(data);
        else reject(new Error(`${answer.statusCode} for ${url}: ${data}`));
      });
    }).on("error", reject);
  });
}

async function ofBucket({ call, oss, bucket }) {
  await call("bucket", async () => {
    await oss.putBucket(bucket);
    assert.strictEqual((await oss.getBucketInfo(bucket)).bucket.Name, bucket);
    assert.strictEqual((await oss.listBuckets({ prefix: bucket })).buckets.length, 1);
    oss.useBucket(bucket);
  });
  await call("bucket-acl", async () => {
    for (const acl of ["public-read", "private"]) {
      await oss.putBucketACL(bucket, acl);
      assert.strictEqual((await oss.getBucketACL(bucket)).acl, acl);
    }
  });
  await call("referer", async () => {
    await oss.putBucketReferer(bucket, true, ["http://a.com"]);
    assert.deepStrictEqual((await oss.getBucketReferer(bucket)).referers, ["http://a.com"]);
  });
}

async function ofObject({ call, oss, key, read, bucket }) {
  await call("put", () => oss.put(key, photo, { meta: { author: "me" } }));
  await call("get", async () => same(await read(key), photo));
  await call("range", async () => {
    same(await read(key, { headers: { Range: "bytes=10-19" } }), photo.subarray(10, 20));
  });
  await call("head", async () => assert.strictEqual((await oss.head(key)).meta.author, "me"));
  await call("copy", async () => {
    await oss.copy(`${key}.copy`, key);
    same(await read(`${key}.copy`), photo);
  });
  await call("acl", async () => {
    for (const acl of ["public-read", "private"]) {
      await oss.putACL(key, acl);
      assert.strictEqual((await oss.getACL(key)).acl, acl);
    }
  });
  await call("append", async () => {
    const first = await oss.append(`${key}.log`, Buffer.from("123"));
    const position = first.nextAppendPosition;
    await oss.append(`${key}.log`, Buffer.from("45"), { position });
    same(await read(`${key}.log`), Buffer.from("12345"));
  });
  await call("tagging", async () => {
    await oss.putObjectTagging(key, { "a b": "x/y" });
    assert.deepStrictEqual((await oss.getObjectTagging(key)).tag, { "a b": "x/y" });
    await oss.deleteObjectTagging(key);
  });
  await call("folder", async () => {
    await oss.put(`${key}/`, Buffer.alloc(0));
    assert.strictEqual((await oss.head(`${key}/`)).status, 200);
  });
}

async function ofParts({ call, oss, key, read, bucket }) {
  const source = path.join(folder, "big");
  await call("multipart", async () => {
    const name = `${key}.parts`;
    const half = big.length / 2;
    const { uploadId } = await oss.initMultipartUpload(name);
    const parts = [];
    for (const [number, begin, end] of [[1, 0, half], [2, half, big.length]]) {
      const { etag } = await oss.uploadPart(name, uploadId, number, source, begin, end);
      parts.push({ number, etag });
    }
    assert.strictEqual((await oss.listParts(name, uploadId)).parts.length, 2);
    await oss.completeMultipartUpload(name, uploadId, parts);
    same(await read(name), big);
  });
  await call("upload", async () => {
    // stopped behind its second part, and gone on with from its checkpoint
    let checkpoint;
    let progress = 0;
    const options = { partSize: PART, parallel: 1 };
    await oss.multipartUpload(`${key}.big`, source, {
      ...options,
      progress: (share, state) => {
        progress += 1;
        checkpoint = state;
        if (progress === 3) throw new Error("stopped");
      },
    }).then(() => assert.fail("not stopped"), (error) => assert.match(error.message, /stopped/));
    await oss.multipartUpload(`${key}.big`, source, { ...options, checkpoint });
    same(await read(`${key}.big`), big);
  });
  await call("copy-parts", async () => {
    await oss.multipartUploadCopy(`${key}.big2`,
      { sourceKey: `${key}.big`, sourceBucketName: bucket }, { partSize: PART });
    same(await read(`${key}.big2`), big);
  });
}

async function ofLists({ call, oss, key, prefix }) {
  const names = (items) => (items || []).map((item) => item.name);
  await call("list", async () => {
    const listed = await oss.list({ prefix, "max-keys": 100 });
    assert.ok(names(listed.objects).includes(key));
  });
  await call("list-v2", async () => {
    const all = [];
    let token;
    do {
      const page = await oss.listV2({ "max-keys": 2, "continuation-token": token });
      all.push(...names(page.objects));
      token = page.nextContinuationToken;
    } while (token);
    assert.ok(all.includes(key));
  });
  await call("delimiter", async () => {
    assert.ok((await oss.list({ delimiter: "/" })).prefixes.includes(prefix));
  });
}

async function ofPictures({ call, oss, key, read, bucket, version }) {
  const signed = (text) => {
    if (version === "v1") return oss.signatureUrl(key, text ? { process: text } : {});
    return oss.signatureUrlV4("GET", 60, { queries: text ? { "x-oss-process": text } : {} }, key);
  };
  await call("process", async () => wide(await read(key, { process: png })));
  await call("presign", async () => same(await fetched(await signed("")), photo));
  await call("presign-process", async () => wide(await fetched(await signed(png))));
  await call("saveas", async () => {
    await oss.processObjectSave(key, `${key}.png`, png, bucket);
    wide(await read(`${key}.png`));
  });
}

async function ofDeletes({ call, oss, key }) {
  const missing = (name) => oss.head(name).then(
    () => assert.fail(`${name} is there`), (error) => assert.strictEqual(error.status, 404));
  await call("delete-many", async () => {
    const names = [`${key}.copy`, `${key}.parts`];
    const { deleted } = await oss.deleteMulti(names);
    assert.deepStrictEqual(deleted.map((item) => item.Key), names);
    await missing(names[0]);
  });
  await call("delete", async () => {
    await oss.delete(key);
    await missing(key);
  });
}

async function main() {
  for (const version of ["v1", "v4"]) {
    for (const style of ["path", "host"]) {
      await ofBucket(runOf(version, style, "bucket", ""));
      for (const [number, kind] of ["plain", "odd"].entries()) {
        const run = runOf(version, style, kind, keys[number]);
        for (const work of [ofObject, ofParts, ofLists, ofPictures, ofDeletes]) await work(run);
      }
    }
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
