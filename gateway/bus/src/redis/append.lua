-- Appends one batch to a bucket's log and tells whoever listens, if the log still ends where the caller
-- believes. All or nothing: a script is one transaction, in the append-only file too.
--
-- KEYS: log (a stream), head (a hash), marks (a list). All carry the bucket's hash tag.
-- ARGV: expected offset, payload, channel, PUBLISH or SPUBLISH, retention in ms, in bytes, in entries.
-- Answer: {1, offset} if it was appended, {0, the log's newest offset} if not.
--
-- An entry's id is <offset>-<unix ms of its append>: ordered by offset, and to be searched by time.
-- A mark is "<offset> <unix ms> <bytes appended before it>", taken by the first append after a sixteenth
-- of the retention. What lies before a mark that is out of retention itself goes. So most appends trim
-- nothing, and a log in use keeps a sixteenth more than its retention at most. Its newest entry stays always.
local MARKS = 16

local head = redis.call('HMGET', KEYS[2], 'offset', 'bytes', 'mark_ms', 'mark_bytes', 'mark_offset')
local newest = tonumber(head[1] or 0)
if not head[1] and redis.call('EXISTS', KEYS[1]) == 1 then
  -- Somebody removed the head alone: a server that evicts. The stream knows what it had.
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      newest = tonumber(string.match(info[i + 1], '^(%d+)'))
    end
  end
end
if newest ~= tonumber(ARGV[1]) then
  return {0, newest}
end

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local offset = newest + 1
local bytes_before = tonumber(head[2] or 0)
local bytes = bytes_before + #ARGV[2]
redis.call('XADD', KEYS[1], string.format('%.0f-%.0f', offset, now_ms), 'b', ARGV[2])
redis.call('HSET', KEYS[2], 'offset', string.format('%.0f', offset), 'bytes', string.format('%.0f', bytes))

local keep_ms, keep_bytes, keep_entries = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
if now_ms >= tonumber(head[3] or 0) + keep_ms / MARKS
  or bytes >= tonumber(head[4] or 0) + keep_bytes / MARKS
  or offset >= tonumber(head[5] or 0) + keep_entries / MARKS then
  redis.call('RPUSH', KEYS[3], string.format('%.0f %.0f %.0f', offset, now_ms, bytes_before))
  redis.call('HSET', KEYS[2], 'mark_ms', string.format('%.0f', now_ms),
    'mark_bytes', string.format('%.0f', bytes), 'mark_offset', string.format('%.0f', offset))
  local first_kept
  repeat
    local mark = redis.call('LINDEX', KEYS[3], 0)
    local at, at_ms, at_bytes = string.match(mark or '', '(%d+) (%d+) (%d+)')
    local out = at and
      (at_ms + keep_ms < now_ms or at_bytes + keep_bytes < bytes or at + keep_entries <= offset)
    if out then
      first_kept = at
      redis.call('LPOP', KEYS[3])
    end
  until not out
  if first_kept then
    redis.call('XTRIM', KEYS[1], 'MINID', first_kept)
  end
end

-- The message is the offset, eight bytes big-endian, and the payload. The offset before is one less.
redis.call(ARGV[4], ARGV[3], struct.pack('>I8', offset) .. ARGV[2])
return {1, offset}
