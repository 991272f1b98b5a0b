-- What wrk sends for tests/bench/lookup, and how it reports. The argument is a file with a request on
-- each line: method, path and, if it has one, the body; of a GET, the ETag that is known.
local threads = 0

function setup(thread)
  thread:set("turn", threads)
  threads = threads + 1
end

function init(args)
  local texts = {}
  for line in io.lines(args[1]) do
    local method, path, body = line:match("^(%S+) (%S+) ?(.*)$")
    wrk.headers["If-None-Match"] = method == "GET" and body ~= "" and body or nil
    texts[#texts + 1] = wrk.format(method, path, nil, method == "POST" and body or nil)
  end
  local at = turn * 7919 -- threads begin at different places
  function request()
    at = at + 1
    return texts[at % #texts + 1]
  end
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"us":%d,"p50_us":%d,"p99_us":%d,"not_2xx":%d,"failed":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status, e.connect + e.read + e.write + e.timeout))
end
