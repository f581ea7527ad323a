// k6: load for a synthetic bucket, by one of four plans.
//
//     k6 run bench/plans/k6.js
//     k6 run -e PLAN=cold -e USERS=16 -e SECONDS=60 -e SIZE=4000x3000 bench/plans/k6.js
//
//     TARGET   http://127.0.0.1:8080                USERS    8
//     BUCKET   load                                 PLAN     mix (cold, hits, mix, srcset)
//     SEEDS    50, pictures that hits are of        SIZE     1200x800, of a source
//     FIRST    a seed that nobody has used          SECONDS  10
//
// It ends with another status than 0 if a single request has failed.

import http from "k6/http";
import { check } from "k6";

const said = (name, usual) => __ENV[name] || usual;
const base = `${said("TARGET", "http://127.0.0.1:8080")}/${said("BUCKET", "load")}`;
const plan = said("PLAN", "mix");
const size = said("SIZE", "1200x800");
const seeds = Number(said("SEEDS", 50));
const widths = [320, 640, 960, 1280, 1600];

export const options = {
  vus: Number(said("USERS", 8)),
  duration: `${said("SECONDS", 10)}s`,
  discardResponseBodies: true,
  thresholds: { http_req_failed: ["rate==0"], checks: ["rate==1"] },
};

const filled = "resize,m_fill,w_300,h_300/format,webp";
const photo = (seed, width) =>
  `${base}/photo-${size}-${seed}.jpg?x-oss-process=image/resize,w_${width}`;
const known = [
  (seed) => photo(seed, 400),
  (seed) => `${base}/photo-${size}-${seed}.jpg?x-oss-process=image/${filled}`,
  (seed) => `${base}/alpha-400x300-${seed}.png?x-oss-process=image/resize,w_200`,
  (seed) => `${base}/photo-400x300-${seed}.jpg`,
];

// Ask for all at once; those of one plan count together, as their URLs have no end.
function ask(urls) {
  const each = urls.map((url) => ["GET", url, null, { tags: { name: plan }, timeout: "60s" }]);
  for (const answer of http.batch(each)) {
    check(answer, { "is 200": (one) => one.status === 200 });
  }
}

let turn = 0;
// Each user counts by himself, and no two of them ever say the same number.
const fresh = (first) => first + __VU + 100000 * turn++;
const hit = () => known[turn++ % known.length](1 + Math.floor(Math.random() * seeds));

const plans = {
  cold: (first) => ask([photo(fresh(first), 400)]),
  hits: () => ask([hit()]),
  mix: (first) => ask([Math.random() < 0.1 ? photo(fresh(first), 400) : hit()]),
  srcset: (first) => {
    const seed = fresh(first);
    ask(widths.map((width) => photo(seed, width)));
  },
};

// What hits are of is asked for once, before anything is counted by the plans.
export function setup() {
  if (!plans[plan]) throw new Error(`PLAN is one of ${Object.keys(plans).join(", ")}`);
  if (plan === "hits" || plan === "mix") {
    for (let seed = 1; seed <= seeds; seed++) ask(known.map((url) => url(seed)));
  }
  return Number(said("FIRST", Date.now() * 1000));
}

export default function (first) {
  plans[plan](first);
}
