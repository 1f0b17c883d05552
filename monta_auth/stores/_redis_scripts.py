"""What `RedisStore` keeps in Redis or Valkey, and the scripts that change it.

Each name has two keys in one cluster slot: the record (a string) and the lease (a hash). Each
method is one atomic script and one round trip. Leases use the server's clock.

The hash of an expired lease stays unless the lease was released. It shows that its holder was
lost. Fields: ``token`` of the holder; ``until`` in milliseconds; ``turn``, the number of the last
command with this lease; ``open``, whether nothing was saved since it was taken or last extended;
``doubt``, as reported to the holder, until it saves.
"""

from __future__ import annotations

from typing import Any

from .._core.policy import LONGEST_LIFE

#: Life of a record and of an expired lease in milliseconds. Source: a refresh token lives 24 hours
#: or more (Partner API reference), and no access token lives longer than this.
_LIFE = int(LONGEST_LIFE) * 1000


def command(prefix: str, name: str, script: str, *args: str | int | bytes) -> tuple[Any, ...]:
    """Return the command that runs a script on the keys of this name."""
    # The braces keep both keys in one slot of a cluster.
    key = f"{prefix}:{{{name}}}"
    return ("EVAL", script, 2, key, f"{key}:lease", *args)


_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# A holder numbers its commands. A late one, which its sender has given up, changes nothing.
_HELD = (
    _NOW
    + """
local held = redis.call('HMGET', KEYS[2], 'token', 'until', 'turn')
if held[1] ~= ARGV[1] or tonumber(held[2]) <= now then return 0 end
if tonumber(held[3]) >= tonumber(ARGV[2]) then return 0 end
"""
)

# Not a plain GET, because clients may send that to a replica or answer it from their cache.
LOAD = "return redis.call('GET', KEYS[1])"

# If the response was lost, it is sent a second time with the same token.
TRY_LOCK = (
    _NOW
    + f"""
local held = redis.call('HMGET', KEYS[2], 'token', 'until', 'open', 'doubt')
if held[1] == ARGV[1] then return tonumber(held[4]) end
if held[2] and tonumber(held[2]) > now then return false end
local doubt = held[3] or '0'
redis.call('HSET', KEYS[2], 'token', ARGV[1], 'until', now + ARGV[2], 'turn', 0,
  'open', 1, 'doubt', doubt)
redis.call('PEXPIRE', KEYS[2], {_LIFE})
return tonumber(doubt)
"""
)

EXTEND = (
    _HELD
    + f"""
redis.call('HSET', KEYS[2], 'until', now + ARGV[3], 'turn', ARGV[2], 'open', 1)
redis.call('PEXPIRE', KEYS[2], {_LIFE})
return 1
"""
)

SAVE = (
    _HELD
    + f"""
if ARGV[3] then
  redis.call('SET', KEYS[1], ARGV[3], 'PX', {_LIFE})
else
  redis.call('DEL', KEYS[1])
end
redis.call('HSET', KEYS[2], 'turn', ARGV[2], 'open', 0, 'doubt', 0)
return 1
"""
)

# An expired lease stays, to show that its holder could not save. A holder that saw a doubt and
# saved nothing leaves the doubt in place.
RELEASE = (
    _NOW
    + """
local held = redis.call('HMGET', KEYS[2], 'token', 'until', 'doubt')
if held[1] ~= ARGV[1] or tonumber(held[2]) <= now then return 0 end
if held[3] == '1' then
  redis.call('HSET', KEYS[2], 'token', '', 'until', 0)
else
  redis.call('DEL', KEYS[2])
end
return 1
"""
)
