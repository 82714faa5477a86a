-- The offset behind which a bucket's log has what was appended at a time or later, and nothing older.
--
-- KEYS: log (a stream), head (a hash). ARGV: unix ms. Answer: the offset.
-- Ids are <offset>-<unix ms of the append>, without holes between the oldest entry and the head: this is
-- a binary search, in as many steps as the log's length has bits.
local function entry(from)
  local found = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 1)[1]
  if found then
    local offset, ms = string.match(found[1], '(%d+)-(%d+)')
    return tonumber(offset), tonumber(ms)
  end
end

local wanted_ms = tonumber(ARGV[1])
local newest = tonumber(redis.call('HGET', KEYS[2], 'offset') or 0)
local low = entry('-') or newest + 1
local high = newest + 1
while low < high do
  local middle = math.floor((low + high) / 2)
  local offset, ms = entry(string.format('%.0f', middle))
  if offset and ms < wanted_ms then
    low = offset + 1
  else
    high = middle
  end
end
return string.format('%.0f', low - 1)
