-- Sends the tokens of a file in turn. Arguments: the file, the number of the first token, a pause in milliseconds.

local requests, count, next_one, pause = {}, 0, 0, 0

function init(arguments)
    for token in io.lines(arguments[1]) do
        count = count + 1
        local headers = {}
        if #token > 0 then headers["authorization"] = "Bearer " .. token end
        -- Written out once: the load must not be what is measured.
        requests[count] = wrk.format("GET", nil, headers)
    end
    next_one = tonumber(arguments[2]) % count
    pause = tonumber(arguments[3])
    math.randomseed(count)
    -- wrk asks for a pause before every request if there is such a function.
    if pause > 0 then
        function delay() return math.floor(pause * 2 * math.random() + 0.5) end
    end
end

function request()
    next_one = next_one % count + 1
    return requests[next_one]
end

function done(summary, latency)
    local errors = summary.errors
    print(string.format('result {"requests": %d, "refused": %d, "broken": %d, "micros": %d, "p50": %d, "p99": %d}',
        summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
        summary.duration, latency:percentile(50), latency:percentile(99)))
end
