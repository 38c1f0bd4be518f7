#!/usr/bin/env python3
"""Random scripts on Radish and on Redis 8.2: `compat/scripts.py [--server BINARY] [--seed N] [--scripts N]`.

Values go through cjson, cmsgpack, struct and bit, and from Lua to replies and back, and texts are searched for patterns, all of it
whole and broken, with arguments that fit and that do not. Every reply must be the same byte for byte, errors included. A script that differs is printed; the seed makes
the same ones again.
"""

import argparse
import random
import re
import sys

import peers
import server

PEER = "redis-8.2"
PRINTED_MAX = 20

# Shows a value with the types of all that is in it.
SHOW = """
local function show(v)
  if type(v) == 'table' then
    local r = {}
    for k, x in pairs(v) do r[#r + 1] = show(k) .. '=' .. show(x) end
    table.sort(r)
    return '{' .. table.concat(r, ';') .. '}'
  elseif type(v) == 'number' then return string.format('%.17g', v)
  elseif type(v) == 'string' then return string.format('%q', v)
  else return type(v) .. (v == cjson.null and ' null' or '') .. (type(v) == 'boolean' and tostring(v) or '') end
end
"""

NUMBERS = [
    *[0, 1, -1, 2, 5, 31, 32, -32, -33, 127, 128, -128, -129, 255, 256, 65535, 65536, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1],
    *[2**32, 2**53, 2**53 + 1, 2**63, -(2**63), 2**64, 123456789012345, 1e14, 1e15, 1e300],
    *["1/0", "-1/0", "0/0", "0.1", "1e-5", "0.0001", "-0.0", "1.5", "3.4e38", "1e39"],
]
# In JSON, and what only looks like it.
JSON_NUMBERS = """0 1 -1 1.5 1e5 1E-3 - +1 01 0x1F inf -inf nan Infinity 1. .5 1e -x 0x 0x1p3 1e400 123456789012345678 NaN nanx
infx tru true false null nul 0x1.8p1 -0 --1 1..2 NULL""".split()
JSON_PIECES = ["a", r"\n", r"\u0041", r"\ud83d\ude00", r"\ud800", r"\udc00", r"\u00e9", r"\x", r"\/", "\x01", "\xe9", "\\", r"\u12", r"\b"]
FORMATS = "b B h H l L T i I i3 I2 i8 I16 i33 f d x s c c0 c3 c10 < > ! !4 !3 z !0 i0 c99999999999".split() + [" "]
PATTERN_PIECES = """a b . %a %d %A %s %w %z %p %c %x %u [ab] [^a] [a-c] [%d_] [] [^ [^]a] [a- [% ( ) () (a %1 %2 %0 %b() %bab %b %f[a] %f[^b] %f
% ^ $ * + - ? ] 1 [%a-z] %% a* b- .- .* a+ (a*) (.-)b (.) ^a b$""".split() + ["\\0"]
REPLACEMENTS = """"x" "%0%0" "%1" "%2" "%" "%%" "%a" "" 5 {a="b",b=false,c=1} {} true nil function(...)return(...)end
function(...)return(select("#",...))end function()return{}end function()return(false)end function(a)error(a)end
function(a)error({err=a})end string.upper setmetatable({},{__index=function(t,k)return(k..k)end})""".split()
BIT_FUNCTIONS = "tobit bnot band bor bxor lshift rshift arshift rol ror bswap tohex".split()


class Scripts:
    """Draws scripts. Names of fields stay short: those from 32 bytes on come in another order in Redis' own Lua."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def number(self):
        rng = self.rng
        return str(
            rng.choice(
                [
                    lambda: rng.choice(NUMBERS),
                    lambda: repr(rng.uniform(-10, 10)),
                    lambda: rng.randint(-(10 ** rng.randint(1, 12)), 10 ** rng.randint(1, 12)),
                ]
            )()
        )

    def text(self, longest=40):
        rng = self.rng
        length = rng.choice([0, 1, 2, 3, min(31, longest), min(40, longest)]) if rng.random() < 0.3 else rng.randint(0, 4)
        letters = b'ab/"\\\n\r\t\x00\x01\x1f\x7f\x80\xff\xc3\xa9{}[]:,01'
        return '"' + "".join(f"\\{rng.choice(letters):03}" for _ in range(length)) + '"'

    def value(self, depth=0):
        rng, kind = self.rng, self.rng.random()
        if kind < 0.25 or depth > 4:
            return self.number()
        if kind < 0.45:
            return self.text()
        if kind < 0.5:
            return rng.choice(["true", "false", "nil", "cjson.null", "function() end"])
        if kind < 0.75:
            count = rng.randint(0, 5 if rng.random() < 0.9 else 20)
            return "{" + ",".join(self.value(depth + 1) for _ in range(count)) + "}"
        fields = [f"[{self.key()}]={self.value(depth + 1)}" for _ in range(rng.randint(1, 3))]
        return "{" + ",".join(fields) + "}"

    def key(self):
        rng = self.rng
        odd = [str(rng.randint(1, 30)), str(rng.randint(-5, 5)), "true", "1.5"]
        return rng.choice(odd if rng.random() < 0.2 else [self.text(20), f'"k{rng.randint(0, 9)}"'])

    def json(self, depth=0):
        rng, kind = self.rng, self.rng.random()
        space = rng.choice(["", "", "", " ", "\n\t"])
        if kind < 0.3 or depth > 4:
            return space + rng.choice(JSON_NUMBERS)
        if kind < 0.55:
            pieces = (rng.choice(JSON_PIECES) if rng.random() < 0.4 else "b" for _ in range(rng.randint(0, 4)))
            return space + '"' + "".join(pieces) + '"'
        count = rng.randint(0, 3)
        if kind < 0.75:
            return space + "[" + ",".join(self.json(depth + 1) for _ in range(count)) + rng.choice(["]", "]", "]", "", ",]", "}"])
        names = ["a", "1", ""] if rng.random() < 0.1 else ['"a"', '"b"', '"7"']
        fields = (rng.choice(names) + rng.choice([":", ":", ": ", ""]) + self.json(depth + 1) for _ in range(count))
        return space + "{" + ",".join(fields) + rng.choice(["}", "}", "}", "", ",}"])

    def bytes(self, letters, longest):
        rng = self.rng
        return bytes(rng.choice([*letters, rng.randrange(256)]) for _ in range(rng.randint(0, longest)))

    def format(self):
        return "".join(self.rng.choice(FORMATS) for _ in range(self.rng.randint(1, 5)))

    def search(self):
        """A call of one of the functions that match patterns."""
        rng = self.rng
        subject = '"' + "".join(rng.choice(["a", "b", "c", "1", "(", ")", " ", "\\000", "\\255", "A", "]", "%"]) for _ in range(rng.randint(0, 12))) + '"'
        pattern = '"' + "".join(rng.choice(PATTERN_PIECES) for _ in range(rng.randint(0, 5))) + '"'
        odd = [self.number(), self.value(5)]
        subject, pattern = (rng.choice(odd) if rng.random() < 0.03 else text for text in (subject, pattern))
        init = rng.choice(["", "", "", ",1", ",3", ",-2", ",0", ",-100", ",100", ",nil", "," + rng.choice(odd)])
        name = rng.choice(["find", "find", "match", "gsub", "gsub", "gmatch", "rep"])
        if name == "gmatch":
            collect = f"local r = {{}} for a, b in string.gmatch({subject},{pattern}) do r[#r + 1] = {{a, b}} end return show(r)"
            return f"{SHOW} {collect}", b""
        if name == "find":
            init += rng.choice(["", "", ",true", ",false"]) if init else ""
        elif name == "gsub":
            init = "," + rng.choice(REPLACEMENTS) + rng.choice(["", "", ",1", ",0", ",-1", "," + rng.choice(odd)])
        elif name == "rep":
            pattern, init = rng.choice(["0", "3", "-1", "2.9", "nil", "{}", '"2"', '"x"']), ""
        call = f"string.{name}({subject},{pattern}{init})" if rng.random() < 0.8 else f"({subject}):{name}({pattern}{init})"
        if rng.random() < 0.1:
            call = f"pcall(string.{name},{subject},{pattern}{init})"
        return f"{SHOW} return show({{{call}}})", b""

    def next(self):
        """A script and its argument."""
        rng = self.rng
        return rng.choice(
            [
                lambda: (f"return cjson.encode({self.value()})", b""),
                lambda: (f"{SHOW} return show(cjson.decode(ARGV[1]))", (self.json() + rng.choice(["", "", " ", "x", " 1"])).encode("latin1")),
                lambda: ("return cmsgpack.pack(" + ",".join(self.value() for _ in range(rng.randint(0, 3))) + ")", b""),
                self.unpacking,
                self.search,
                self.search,
                lambda: (f'return struct.pack("{self.format()}",{",".join(self.value(5) for _ in range(rng.randint(1, 5)))})', b""),
                lambda: (
                    f'{SHOW} return show({{struct.{rng.choice(["unpack", "unpack", "size"])}("{self.format()}",ARGV[1]'
                    f'{rng.choice(["", "", ",1", ",3", ",0", ",-1", ",100"])})}})',
                    self.bytes([0, 0, 1, 2, 255, 97], 30),
                ),
                lambda: (
                    f"return tostring(bit.{rng.choice(BIT_FUNCTIONS)}"
                    f'({",".join(self.number() if rng.random() < 0.9 else self.text(3) for _ in range(rng.randint(1, 3)))}))',
                    b"",
                ),
                lambda: (f"return {self.value()}", b""),
                lambda: (f"redis.setresp(3) return {self.value()}", b""),
                lambda: (f"{SHOW} return show({{redis.pcall('echo',{self.value(5)})}})", b""),
            ]
        )()

    def unpacking(self):
        rng = self.rng
        call = rng.choice(
            [
                "unpack(ARGV[1])",
                "unpack_one(ARGV[1])",
                f"unpack_one(ARGV[1],{rng.randint(-1, 5)})",
                f"unpack_limit(ARGV[1],{rng.randint(-1, 3)},{rng.randint(-1, 5)})",
                f"unpack_limit(ARGV[1],{rng.randint(0, 3)})",
            ]
        )
        tags = [0xC0, 0xCC, 0xD9, 0x81, 0x92, 0xA1, 0xDC, 0xDE, 0xCB, 0xCA, 0xD3, 0, 1]
        return f"{SHOW} return show({{cmsgpack.{call}}})", self.bytes(tags, 12)


class Client(server.Client):
    def reply(self):
        """The bytes of a reply."""
        line = self.file.readline()
        if not line:
            raise EOFError("the server has ended")
        if line[:1] == b"-":
            # An error that quotes a text has its line ends in one server as they are, in the other as blanks.
            while not line.endswith(b"\r\n"):
                line += self.file.readline()
        if line[:1] == b"$" and line != b"$-1\r\n":
            return line + self.file.read(int(line[1:]) + 2)
        if line[:1] == b"*" and line != b"*-1\r\n":
            return line + b"".join(self.reply() for _ in range(int(line[1:])))
        return line


def comparable(reply):
    """A reply without what may differ: addresses of functions, and line ends in errors."""
    reply = re.sub(rb"0x[0-9a-f]+", b"0x", reply)
    return re.sub(rb"[\r\n]+", b" ", reply) if reply.startswith(b"-") else reply


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", help="binary to test, or redis-7.0, redis-8.2, valkey-9.1 (default: radish, built here)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scripts", type=int, default=5000, help="how many (default: 5000)")
    options = parser.parse_args()
    scripts, differences = Scripts(options.seed), 0
    with server.Server(peers.server_under_test(options.server)) as ours, server.Server(peers.PEERS[PEER]()) as theirs:
        here, there = Client(ours.connect()), Client(theirs.connect())
        for _ in range(options.scripts):
            script, argument = scripts.next()
            words = [b"EVAL", script.encode("latin1"), b"0", argument]
            found, wanted = here.ask(*words), there.ask(*words)
            if comparable(found) != comparable(wanted):
                differences += 1
                if differences <= PRINTED_MAX:
                    print(f"{script.removeprefix(SHOW)[:500]} with {argument!r}\n  here  {found[:500]!r}\n  there {wanted[:500]!r}")
    print(f"seed {options.seed}: {options.scripts} scripts, {differences} differences")
    return 1 if differences else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except peers.Missing as missing:
        sys.exit(str(missing))
