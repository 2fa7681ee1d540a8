-- Sends the tokens of a file in turn. Arguments: the file, the number of the first token.

local requests, count, next_one = {}, 0, 0

function init(arguments)
    for token in io.lines(arguments[1]) do
        count = count + 1
        local headers = {}
        if #token > 0 then headers["authorization"] = "Bearer " .. token end
        -- Written out once: the load must not be what is measured.
        requests[count] = wrk.format("GET", nil, headers)
    end
    next_one = tonumber(arguments[2]) % count
end

function request()
    next_one = next_one % count + 1
    return requests[next_one]
end

function done(summary)
    local errors = summary.errors
    print(string.format('result {"requests": %d, "refused": %d, "broken": %d, "micros": %d}',
        summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
        summary.duration))
end
