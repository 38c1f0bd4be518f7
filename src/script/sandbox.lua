-- The globals that scripts see: those of Lua 5.1 that can do no harm, behind tables that cannot be changed.
--
-- Lua has no read-only tables. A script gets an empty stand-in for each, which shows what the table has and refuses to be
-- written to; functions that look into tables without metamethods are told of the stand-ins. `native` has what is written
-- in Rust, and `at_load` if this is for functions of libraries.
local native = ...
local globals, shown = _G, {}
local error, getmetatable, next, pcall, rawget, rawset = error, getmetatable, next, pcall, rawget, rawset
local setmetatable, tostring, type, xpcall, select = setmetatable, tostring, type, xpcall, select
local byte, find, sub, concat = string.byte, string.find, string.sub, table.concat
local loadstring, resume = loadstring, coroutine.resume

-- What a stand-in shows, and the stand-in of a table.
local real = {}
-- Metatables of what `newproxy` has made.
local of_proxies = setmetatable({}, { __mode = "k" })
local guards = {}

local READ_ONLY = "Attempt to modify a readonly table"

local function refuse()
    error(READ_ONLY, 2)
end

local function guard(t)
    local stand_in = guards[t]
    if not stand_in then
        stand_in = setmetatable({}, { __index = t, __newindex = refuse })
        real[stand_in], guards[t] = t, stand_in
    end
    return stand_in
end

-- The error for an argument of another type than the function of this name wants, at the place where it was called.
local function mistyped(position, name, wanted, count, value)
    local found = position > count and "no value" or type(value)
    error(("bad argument #%d to '%s' (%s expected, got %s)"):format(position, name, wanted, found), 3)
end

local function guarded_next(t, key)
    return next(real[t], key)
end

local function as_seen(ok, value, ...)
    if ok or type(value) ~= "userdata" and type(value) ~= "table" then
        return ok, value, ...
    end
    value = native.plain(value)
    if type(value) == "table" then
        local text = value.err
        if text ~= nil then
            return false, text
        end
    end
    return false, value
end

local function as_table(ok, value, ...)
    if not ok and type(value) == "userdata" then
        return false, native.plain(value)
    end
    return ok, value, ...
end

local function load_text(text, name)
    -- A zero byte would end the name, and what is left of it nobody would hold while Lua reads the text.
    name = name or text
    local zero = find(name, "\0", 1, true)
    name = zero and sub(name, 1, zero - 1) or name
    -- What is compiled already begins with this byte. It is taken for text, in which nothing begins so.
    if byte(text) == 27 then
        return loadstring(" " .. text, name)
    end
    return loadstring(text, name)
end

local replaced = {
    pcall = function(...)
        if select("#", ...) == 0 then
            error("bad argument #1 to 'pcall' (value expected)", 2)
        end
        return as_seen(pcall(...))
    end,
    xpcall = function(f, handler)
        return as_table(xpcall(f, function(value)
            if type(value) == "userdata" then
                value = native.plain(value)
            end
            return handler(value)
        end))
    end,
    getmetatable = function(...)
        if select("#", ...) == 0 then
            error("bad argument #1 to 'getmetatable' (value expected)", 2)
        end
        local t = ...
        local metatable
        if t ~= nil and real[t] then
            metatable = getmetatable(real[t])
            return metatable and guard(metatable)
        end
        metatable = getmetatable(t)
        if metatable ~= nil and guards[metatable] then
            return guards[metatable]
        end
        return metatable
    end,
    setmetatable = function(...)
        local t, metatable = ...
        local count = select("#", ...)
        if type(t) ~= "table" then
            mistyped(1, "setmetatable", "table", count, t)
        elseif count < 2 or metatable ~= nil and type(metatable) ~= "table" then
            error("bad argument #2 to 'setmetatable' (nil or table expected)", 2)
        elseif real[t] then
            error(READ_ONLY, 0)
        end
        local present = getmetatable(t)
        if present ~= nil and (type(present) ~= "table" or rawget(present, "__metatable") ~= nil) then
            error("cannot change a protected metatable", 2)
        end
        return setmetatable(t, metatable and real[metatable] or metatable)
    end,
    rawget = function(...)
        local t, key = ...
        local count = select("#", ...)
        if type(t) ~= "table" then
            mistyped(1, "rawget", "table", count, t)
        elseif count < 2 then
            error("bad argument #2 to 'rawget' (value expected)", 2)
        end
        return rawget(real[t] or t, key)
    end,
    rawset = function(...)
        local t, key, value = ...
        local count = select("#", ...)
        if type(t) ~= "table" then
            mistyped(1, "rawset", "table", count, t)
        elseif count < 3 then
            error("bad argument #" .. count + 1 .. " to 'rawset' (value expected)", 2)
        elseif real[t] then
            error(READ_ONLY, 0)
        elseif of_proxies[t] and key == "__gc" then
            return t
        end
        return rawset(t, key, value)
    end,
    next = function(...)
        local t, key = ...
        if type(t) ~= "table" then
            mistyped(1, "next", "table", select("#", ...), t)
        end
        return next(real[t] or t, key)
    end,
    pairs = function(...)
        local t = ...
        if type(t) ~= "table" then
            mistyped(1, "pairs", "table", select("#", ...), t)
        elseif real[t] then
            return guarded_next, t, nil
        end
        return next, t, nil
    end,
    loadstring = function(...)
        local text, name = ...
        local count = select("#", ...)
        if type(text) ~= "string" and type(text) ~= "number" then
            mistyped(1, "loadstring", "string", count, text)
        elseif name ~= nil and type(name) ~= "string" and type(name) ~= "number" then
            mistyped(2, "loadstring", "string", count, name)
        end
        return load_text(tostring(text), name)
    end,
    load = function(...)
        local read, name = ...
        local count = select("#", ...)
        if type(read) ~= "function" then
            mistyped(1, "load", "function", count, read)
        elseif name ~= nil and type(name) ~= "string" and type(name) ~= "number" then
            mistyped(2, "load", "string", count, name)
        end
        local pieces = {}
        while true do
            local ok, piece = as_seen(pcall(read))
            if not ok then
                return nil, piece
            elseif piece == nil or piece == "" then
                return load_text(concat(pieces), name or "=(load)")
            elseif type(piece) ~= "string" and type(piece) ~= "number" then
                return nil, "reader function must return a string"
            end
            pieces[#pieces + 1] = tostring(piece)
        end
    end,
}

for _, name in ipairs {
    "_VERSION", "assert", "collectgarbage", "error", "gcinfo", "ipairs", "rawequal", "select", "tonumber", "tostring", "type",
    "unpack",
} do
    shown[name] = globals[name]
end
for name, f in next, replaced do
    shown[name] = f
end
coroutine.resume = function(...)
    return as_table(resume(...))
end
math.random, math.randomseed = native.random, native.randomseed
for name, f in next, native.strings do
    string[name] = f
end
-- Functions that go on for long without an instruction that would be counted.
local function counted(f)
    return function(a, b)
        return f(a, b)
    end
end
table.insert = native.insertion(table.insert, real)
shown.unpack = native.unpack(unpack)
-- What a script does to the collector ends with it.
shown.collectgarbage = native.noting(collectgarbage)
table.foreach, table.foreachi = native.callbacks(table.foreach, counted), native.callbacks(table.foreachi, counted)
table.sort = native.sort(table.sort, counted, function(a, b)
    return a < b
end)
for _, name in ipairs { "coroutine", "math", "string", "table" } do
    shown[name] = guard(globals[name])
end
for name, library in next, native.libraries do
    shown[name] = guard(library)
end
shown.os = guard { clock = os.clock }
shown.server = shown.redis
local function complain(_, name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end
setmetatable(shown, { __index = complain })
local seen = guard(shown)
shown._G = seen
if native.has_deprecated_api then
    native.add_deprecated(shown, seen, mistyped, of_proxies)
end
-- What libraries see while they are loaded, if this is for functions.
local at_load
if native.at_load then
    local redis = guard(setmetatable(native.at_load, { __index = complain }))
    at_load = setmetatable({ redis = redis, server = redis }, { __index = complain })
else
    shown.__redis__err__handler, shown.__server__err__handler = native.handler, native.handler
end
local strings = getmetatable("")
strings.__index = shown.string
guard(strings)
guard(getmetatable(shown))

-- Runs the text of a library.
local function load_library(text)
    local behind = getmetatable(seen)
    behind.__index = at_load
    local ok, value = xpcall(text, native.handler)
    behind.__index = shown
    return ok, value
end

return shown, seen, load_library
