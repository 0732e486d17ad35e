-- Requests of benchmarks/wrk.py. Arguments: number of shoppers, query string with its "?", mean pause in ms.

local shoppers, query

function init(arguments)
   shoppers, query = tonumber(arguments[1]), arguments[2]
   local pause_ms = tonumber(arguments[3])
   math.randomseed(os.time())
   if pause_ms > 0 then
      function delay()
         return math.floor(-pause_ms * math.log(1 - math.random()))
      end
   end
end

function request()
   return wrk.format("GET", "/recommendations/u" .. math.random(0, shoppers - 1) .. "/" .. query)
end

function done(summary, latency, requests)
   local errors = summary.errors
   local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
   io.write(string.format(
      '\n{"requests": %d, "seconds": %.6f, "errors": %d, "p50": %.3f, "p99": %.3f}\n',
      summary.requests, summary.duration / 1e6, failed, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3
   ))
end
