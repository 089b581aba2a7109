-- GET /v1/recommend of users u0, u1, ... at random. Arguments: number of users, k.
local users, k = 1000, 20

function init(arguments)
    users = tonumber(arguments[1]) or users
    k = tonumber(arguments[2]) or k
    math.randomseed(42)
end

function request()
    return wrk.format("GET", "/v1/recommend?user=u" .. math.random(0, users - 1) .. "&k=" .. k)
end
