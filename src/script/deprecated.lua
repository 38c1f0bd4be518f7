-- What Lua 5.1 has and its successors lack: environments of functions, and proxies. Scripts have it if `lua-enable-deprecated-api`
-- says so, and it shows them no more than they have otherwise: of functions that are not theirs they neither see nor change the
-- environment, and what is finalised calls nobody, since that could be in the midst of another script.
local shown, seen, mistyped, of_proxies = ...
local error, find, getfenv, getmetatable, newproxy = error, string.find, getfenv, getmetatable, newproxy
local pcall, rawset, select, setfenv, setmetatable = pcall, rawset, select, setfenv, setmetatable
local tonumber, type, floor = tonumber, type, math.floor

-- Environments that scripts have set.
local set = setmetatable({}, { __mode = "k" })

local UNCHANGEABLE = "'setfenv' cannot change environment of given object"

-- What `getfenv` and `setfenv` say for a function or, from their caller's view, a level: the function that is to be named is two
-- further away, behind this one and `pcall`, and three behind the one that calls this.
local function at(f, level, name, work, ...)
    if f then
        return work(f, ...)
    end
    local ok, result = pcall(work, level + 3, ...)
    if ok then
        return result
    elseif find(result, "tail call", 1, true) then
        -- Whoever called has left no trace.
        return nil
    elseif find(result, UNCHANGEABLE, 1, true) then
        error(UNCHANGEABLE, 3)
    end
    error("bad argument #1 to '" .. name .. "' (invalid level)", 3)
end

-- The function or the level that is the first argument.
local function target(name, count, f)
    if type(f) == "function" then
        return f
    end
    local level = tonumber(f)
    if not level then
        mistyped(1, name, "number", count, f)
    elseif level < 0 then
        error("bad argument #1 to '" .. name .. "' (level must be non-negative)", 3)
    end
    return nil, floor(level)
end

function shown.getfenv(...)
    local f, level = nil, 1
    if (...) ~= nil then
        f, level = target("getfenv", select("#", ...), (...))
    end
    if level == 0 then
        return seen
    end
    local environment = at(f, level, "getfenv", getfenv)
    return set[environment] and environment or seen
end

function shown.setfenv(...)
    local count, f, environment = select("#", ...), ...
    if type(environment) ~= "table" then
        mistyped(2, "setfenv", "table", count, environment)
    end
    local level
    f, level = target("setfenv", count, f)
    local present = level ~= 0 and at(f, level, "setfenv", getfenv)
    if present ~= seen and not set[present] then
        error(UNCHANGEABLE, 2)
    end
    if environment ~= seen then
        set[environment] = true
    end
    return at(f, level, "setfenv", setfenv, environment)
end

local function keep(t, key, value)
    if key ~= "__gc" then
        rawset(t, key, value)
    end
end

function shown.newproxy(...)
    local like = ...
    local ok, proxy = pcall(newproxy, like)
    if not ok then
        error("bad argument #1 to 'newproxy' (boolean or proxy expected)", 2)
    end
    if like == true then
        local metatable = getmetatable(proxy)
        of_proxies[metatable] = true
        setmetatable(metatable, { __newindex = keep, __metatable = false })
    end
    return proxy
end
