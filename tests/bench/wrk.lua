-- wrk's side of a sample: a request of its own each time, told apart by its key; `done` prints what came of them as JSON.
--
-- args: path, API key, a mark that no other sample has, how many players take turns

local made, head, mark, players = 0, nil, nil, nil

function init(args)
  mark, players = args[3], tonumber(args[4])
  head = 'POST ' .. args[1] .. ' HTTP/1.1\r\nHost: ' .. wrk.host .. '\r\nAuthorization: Bearer ' .. args[2]
    .. '\r\nContent-Type: application/json\r\nIdempotency-Key: '
end

function request()
  made = made + 1
  local body = '{"player": {"channel": "messenger", "id": "p' .. (made % players + 1) .. '"}}'
  return head .. mark .. '-' .. made .. '\r\nContent-Length: ' .. #body .. '\r\n\r\n' .. body
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "refused": %d, "broken": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
