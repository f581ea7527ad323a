-- wrk: load for a synthetic bucket, by one of four plans.
--
--     wrk -t2 -c8 -d10s -s bench/plans/wrk.lua http://127.0.0.1:8080
--     PLAN=cold SIZE=4000x3000 \
--         wrk -t2 -c16 -d60s --timeout 60s -s bench/plans/wrk.lua http://127.0.0.1:8080
--
--     BUCKET   load                                 PLAN     mix (cold, hits, mix, srcset)
--     SEEDS    50, pictures that hits are of        SIZE     1200x800, of a source
--     FIRST    a seed that nobody has used
--
-- Hits are cold the first time: run it twice. A srcset's five widths go out on five connections.
-- The last line tells how many answers were not 200, and how many never came.

local function said(name, usual)
  local value = os.getenv(name)
  return value ~= nil and value ~= "" and value or usual
end

local bucket, plan, size = said("BUCKET", "load"), said("PLAN", "mix"), said("SIZE", "1200x800")
local seeds = tonumber(said("SEEDS", "50"))
local first = tonumber(said("FIRST", tostring(os.time() * 1000000)))
local widths = {320, 640, 960, 1280, 1600}
local threads = {}

function setup(thread)
  table.insert(threads, thread)
  thread:set("id", #threads)
end

local function path(kind, shape, seed, ending, process)
  local name = string.format("/%s/%s-%s-%.0f.%s", bucket, kind, shape, seed, ending)
  return process and name .. "?x-oss-process=image/" .. process or name
end

local function photo(seed, width)
  return path("photo", size, seed, "jpg", "resize,w_" .. width)
end

local known = {
  function(seed) return photo(seed, 400) end,
  function(seed) return path("photo", size, seed, "jpg", "resize,m_fill,w_300,h_300/format,webp") end,
  function(seed) return path("alpha", "400x300", seed, "png", "resize,w_200") end,
  function(seed) return path("photo", "400x300", seed, "jpg") end,
}

local turn = 0

-- Each thread counts by itself, and no two of them ever say the same number.
local function fresh(count)
  return first + id + 1000 * count
end

local function hit()
  return known[turn % #known + 1](math.random(seeds))
end

local plans = {
  cold = function() return photo(fresh(turn), 400) end,
  hits = hit,
  mix = function() return math.random() < 0.1 and photo(fresh(turn), 400) or hit() end,
  srcset = function() return photo(fresh(math.floor(turn / #widths)), widths[turn % #widths + 1]) end,
}

function init(args)
  if not plans[plan] then error("PLAN is one of cold, hits, mix, srcset") end
  math.randomseed(os.time() + id)
  failed = 0
end

function request()
  local asked = plans[plan]()
  turn = turn + 1
  return wrk.format("GET", asked)
end

function response(status)
  if status ~= 200 then failed = failed + 1 end
end

function done(summary, latency)
  local wrong, lost = 0, summary.errors
  for _, thread in ipairs(threads) do wrong = wrong + thread:get("failed") end
  io.write(string.format(
    "%s: %d answers, %d not 200, %d never came; median %.1f ms, 99 %% within %.1f ms\n",
    plan, summary.requests, wrong, lost.connect + lost.read + lost.write + lost.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
