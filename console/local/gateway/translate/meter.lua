-- What has an answer cost? Reads the usage that OpenAI's API tells, in JSON and in event streams, as it passes by, and
-- notes it as dynamic metadata: llm_input_token, llm_output_token, llm_total_token; llm_cached_input_token, a part of the
-- first, where a provider read some of it from its cache. Where they are not, it is not known.

local NAMESPACE = "io.envoy.ai_gateway"
local LONGEST_USAGE = 16384
local LONGEST_EVENT = 1048576
local SMALL = 16384
local MOST_TOKENS = 1000000000

-- The first of several numbers of a JSON object's own; what is nested is cut out before.
local function number_of(text, ...)
  for _, name in ipairs({ ... }) do
    local found = string.match(text, '"' .. name .. '"%s*:%s*(%d+)%s*,')
    if found then
      return tonumber(found)
    end
  end
end

local function counted(text)
  local own = string.gsub(sub(text, 2, -2), "%b{}", "null") .. ","
  local input, output = number_of(own, "prompt_tokens", "input_tokens"), number_of(own, "completion_tokens", "output_tokens")
  local total = number_of(own, "total_tokens")
  if not input or not (output or total) then
    return nil
  end
  total = total or input + output
  if input > MOST_TOKENS or total > MOST_TOKENS then
    return nil
  end
  local cached = tonumber(string.match(text, '"cached_tokens"%s*:%s*(%d+)') or 0)
  return {
    input = input,
    output = output or math.max(0, total - input),
    total = total,
    cached = cached > 0 and cached <= input and cached or nil,
  }
end

-- A reader of one JSON text that comes in pieces: it remembers the usage at the top, or in a top-level "response".
local function reader()
  return { depth = 0, level = 1, name_next = false, in_string = false, skip = false }
end

-- Where the next quote or backslash is; nil for nowhere. Byte by byte, for LuaJIT compiles that, and no pattern.
local function next_quote(text, i, n)
  while i <= n do
    local c = byte(text, i)
    if c == 34 or c == 92 then
      return i
    end
    i = i + 1
  end
end

-- The same for a quote or a bracket; and a comma, where asked for.
local function next_sign(text, i, n, comma)
  while i <= n do
    local c = byte(text, i)
    if c == 34 or c == 123 or c == 125 or c == 91 or c == 93 or c == comma then
      return i
    end
    i = i + 1
  end
end

local function read(s, text)
  local i, n = 1, #text
  local from = s.parts and 1 or nil
  while i <= n and not s.over do
    if s.skip then
      s.skip = false
      i = i + 1
    elseif s.in_string then
      local j = next_quote(text, i, n)
      if s.name then
        s.name = #s.name < 32 and s.name .. sub(text, i, (j or n + 1) - 1) or "…"
      end
      if not j then
        break
      elseif byte(text, j) == 92 then
        s.skip, s.name = true, s.name and "…"
      else
        s.in_string = false
        if s.name then
          s.key, s.name, s.name_next = s.name, nil, false
        end
      end
      i = j + 1
    else
      local j = next_sign(text, i, n, s.depth == s.level and 44 or 34)
      if not j then
        break
      end
      local c = byte(text, j)
      if c == 34 then
        s.in_string = true
        s.name = (s.depth == s.level and s.name_next) and "" or nil
      elseif c == 44 then
        s.name_next, s.key = true, nil
      elseif c == 123 or c == 91 then
        local at_level = s.depth == s.level
        s.depth = s.depth + 1
        if s.depth == 1 then
          s.name_next, s.over = true, c == 91
        elseif at_level and c == 123 and s.key == "usage" and not s.parts then
          s.parts, from = {}, j
        elseif at_level and c == 123 and s.key == "response" and s.level == 1 then
          s.level, s.name_next = 2, true
        end
      else
        s.depth = s.depth - 1
        if s.parts and s.depth == s.level then
          s.parts[#s.parts + 1] = sub(text, from, j)
          s.usage = counted(table.concat(s.parts)) or s.usage
          s.parts, from = nil, nil
        end
        if s.depth < s.level and s.level == 2 then
          s.level, s.key = 1, nil
        end
        s.over = s.over or s.depth <= 0
      end
      i = j + 1
    end
  end
  if s.parts and from then
    s.parts[#s.parts + 1] = sub(text, from)
    s.size = (s.size or 0) + n
    s.over = s.over or s.size > LONGEST_USAGE + n
  end
end

local function note(handle, costs, usage)
  local metadata = handle:streamInfo():dynamicMetadata() -- what was got before a wait for the next piece is stale
  metadata:set(NAMESPACE, "llm_input_token", usage.input)
  metadata:set(NAMESPACE, "llm_output_token", usage.output)
  metadata:set(NAMESPACE, "llm_total_token", usage.total)
  if usage.cached then
    metadata:set(NAMESPACE, "llm_cached_input_token", usage.cached)
  end
  for key, kind in pairs(costs or {}) do
    metadata:set(NAMESPACE, key, usage[kind])
  end
end

-- One event of a stream: what it says of the usage, and the event as a client gets it that has not asked for it.
local function take_event(event, hide)
  if not find(event, '"usage"', 1, true) then
    return nil, event
  end
  local payload = string.match(event, "^data:%s*(.-)%s*$") or string.match(event, "\ndata:%s*(.-)%s*$") or ""
  local s = reader()
  read(s, payload)
  if not hide then
    return s.usage, event
  elseif s.usage and find(event, '"choices"%s*:%s*%[%s*%]') then
    return s.usage, ""
  end
  for _, pattern in ipairs({ ',%s*"usage"%s*:%s*null', '"usage"%s*:%s*null%s*,?', ',%s*"usage"%s*:%s*%b{}', '"usage"%s*:%s*%b{}%s*,?' }) do
    local changed, times = string.gsub(event, pattern, "", 1)
    if times > 0 then
      return s.usage, changed
    end
  end
  return s.usage, event
end

-- Where the first event after a position ends, its empty line included.
local function event_end(text, from)
  local _, short = find(text, "\n\n", from, true)
  local _, long = find(text, "\r\n\r\n", from, true)
  return (short and long) and math.min(short, long) or short or long
end

local function meter_stream(handle, costs, hide)
  local held = ""
  for chunk in handle:bodyChunks() do
    local length = chunk:length()
    local text = held .. (length > 0 and chunk:getBytes(0, length) or "")
    local passed, at = {}, 1
    while true do
      local last = event_end(text, at)
      if not last then
        break
      end
      local usage, event = take_event(sub(text, at, last), hide)
      if usage then
        note(handle, costs, usage)
      end
      passed[#passed + 1] = event
      at = last + 1
    end
    held = sub(text, at)
    -- A stream may end without an empty line; of that nothing is lost but an event that may still turn out to be ours.
    local plain = find(held, "^data:%s*[^%s{]") or find(held, "^:")
    if #held > LONGEST_EVENT or (hide and plain) then
      passed[#passed + 1] = hide and held or ""
      held = ""
    end
    if hide then
      chunk:setBytes(table.concat(passed))
    end
  end
  if not hide and held ~= "" then
    local usage = take_event(held, false)
    if usage then
      note(handle, costs, usage)
    end
  end
end

local function meter_json(handle, costs)
  local s = reader()
  local length = handle:headers():get("content-length")
  if length and tonumber(length) <= SMALL then
    local body = handle:body() -- a wait for each piece costs more than one for all
    if body then
      read(s, body:getBytes(0, body:length()))
    end
    if s.usage then
      note(handle, costs, s.usage)
    end
    return
  end
  for chunk in handle:bodyChunks() do
    local length = chunk:length()
    if length > 0 and not s.over then
      read(s, chunk:getBytes(0, length))
      if s.usage then
        note(handle, costs, s.usage)
      end
    end
  end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  -- An error has cost nothing that it tells of; what is still packed cannot be read.
  if tonumber(headers:get(":status") or 0) >= 400 or headers:get("content-encoding") then
    return
  end
  local kind = lower(headers:get("content-type") or "")
  local costs = handle:filterContext():get("costs")
  if find(kind, "text/event-stream", 1, true) then
    local asked = handle:streamInfo():dynamicMetadata():get("modeldeck")
    meter_stream(handle, costs, asked ~= nil and asked["hide_usage"] == true)
  elseif find(kind, "json", 1, true) then
    meter_json(handle, costs)
  end
end
