-- Which model does a JSON text name? One pass, byte by byte (LuaJIT compiles it), nothing is built.
--
-- The text is held to RFC 8259 to the last byte: what a lenient parser behind us might read differently is malformed
-- here. So is anything but UTF-8 without a mark, for no other encoding begins with the bytes of a JSON text.

local byte, char, find, lower, sub = string.byte, string.char, string.find, string.lower, string.sub

local DEEPEST = 512
local LONGEST_MODEL = 1024
local ESCAPED = { [34] = '"', [47] = "/", [92] = "\\", [98] = "\b", [102] = "\f", [110] = "\n", [114] = "\r", [116] = "\t" }

-- The position of the next byte that is no white space, and that byte. The text ends with a NUL that we have added.
local function after_space(text, i)
  local c = byte(text, i)
  while c == 32 or c == 10 or c == 13 or c == 9 do
    i = i + 1
    c = byte(text, i)
  end
  return i, c
end

-- The position after the string that begins at i, and whether it holds escapes; nil where it is malformed.
local function after_string(text, i)
  local escaped = false
  i = i + 1
  local c = byte(text, i)
  while true do
    while c ~= 34 and c ~= 92 and c >= 32 do
      i = i + 1
      c = byte(text, i)
    end
    if c == 34 then
      return i + 1, escaped
    end
    if c ~= 92 then
      return nil
    end
    escaped = true
    local e = byte(text, i + 1)
    if e == 117 then
      if not find(text, "^%x%x%x%x", i + 2) then
        return nil
      end
      i = i + 6
    elseif ESCAPED[e] then
      i = i + 2
    else
      return nil
    end
    c = byte(text, i)
  end
end

local function after_digits(text, i)
  local c = byte(text, i)
  if c < 48 or c > 57 then
    return nil
  end
  repeat
    i = i + 1
    c = byte(text, i)
  until c < 48 or c > 57
  return i
end

local function after_number(text, i)
  if byte(text, i) == 45 then
    i = i + 1
  end
  if byte(text, i) == 48 then
    i = i + 1
  else
    i = after_digits(text, i)
  end
  if i and byte(text, i) == 46 then
    i = after_digits(text, i + 1)
  end
  if i then
    local c = byte(text, i)
    if c == 69 or c == 101 then
      c = byte(text, i + 1)
      i = after_digits(text, (c == 43 or c == 45) and i + 2 or i + 1)
    end
  end
  return i
end

local function after_scalar(text, i, c)
  if c == 34 then
    return after_string(text, i)
  elseif c == 116 then
    return sub(text, i, i + 3) == "true" and i + 4 or nil
  elseif c == 102 then
    return sub(text, i, i + 4) == "false" and i + 5 or nil
  elseif c == 110 then
    return sub(text, i, i + 3) == "null" and i + 4 or nil
  end
  return after_number(text, i)
end

local function utf8(code)
  if code < 0x80 then
    return char(code)
  elseif code < 0x800 then
    return char(0xC0 + math.floor(code / 0x40), 0x80 + code % 0x40)
  elseif code < 0x10000 then
    return char(0xE0 + math.floor(code / 0x1000), 0x80 + math.floor(code / 0x40) % 0x40, 0x80 + code % 0x40)
  end
  return char(
    0xF0 + math.floor(code / 0x40000),
    0x80 + math.floor(code / 0x1000) % 0x40,
    0x80 + math.floor(code / 0x40) % 0x40,
    0x80 + code % 0x40
  )
end

-- The text that a string with escapes stands for, between the positions of its quotes; nil where it stands for none.
local function decoded(text, from, to)
  local parts, i = {}, from + 1
  while i < to do
    if byte(text, i) ~= 92 then
      local last = (find(text, "\\", i, true) or to) - 1
      if last >= to then
        last = to - 1
      end
      parts[#parts + 1] = sub(text, i, last)
      i = last + 1
    elseif byte(text, i + 1) == 117 then
      local code = tonumber(sub(text, i + 2, i + 5), 16)
      i = i + 6
      if code >= 0xDC00 and code <= 0xDFFF then
        return nil
      elseif code >= 0xD800 and code <= 0xDBFF then
        local low = sub(text, i, i + 1) == "\\u" and tonumber(sub(text, i + 2, i + 5), 16) or 0
        if low < 0xDC00 or low > 0xDFFF then
          return nil
        end
        code = 0x10000 + (code - 0xD800) * 0x400 + (low - 0xDC00)
        i = i + 6
      end
      parts[#parts + 1] = utf8(code)
    else
      parts[#parts + 1] = ESCAPED[byte(text, i + 1)]
      i = i + 2
    end
  end
  return table.concat(parts)
end

-- The same for any string.
local function string_at(text, from, to, escaped)
  if escaped then
    return decoded(text, from, to)
  end
  return sub(text, from + 1, to - 1)
end

-- What is found ("ok", "no-model", "duplicate-model" or "malformed") and, where it is ok, where the model's string
-- begins and ends, quotes included, and whether it holds escapes.
local function scan(text)
  local length = #text
  text = text .. "\0"
  local closers, depth = {}, 0
  local i, c = after_space(text, 1)
  local mentions, from, to = 0, nil, nil
  local names_model, with_escapes = false, false
  local escaped
  while true do
    -- A value begins at i.
    if c == 123 or c == 91 then
      names_model = false
      depth = depth + 1
      if depth > DEEPEST then
        return "malformed"
      end
      closers[depth] = c + 2
      i, c = after_space(text, i + 1)
      if c == closers[depth] then
        depth = depth - 1
        i = i + 1
      elseif c == 93 or c == 125 then
        return "malformed"
      elseif closers[depth] == 125 then
        goto name
      else
        goto value
      end
    else
      local start = i
      i, escaped = after_scalar(text, i, c)
      if not i then
        return "malformed"
      end
      if names_model and c == 34 then
        from, to, with_escapes = start, i - 1, escaped
      end
    end
    names_model = false
    ::after_value::
    i, c = after_space(text, i)
    if depth == 0 then
      if i ~= length + 1 then
        return "malformed"
      end
      break
    end
    if c == closers[depth] then
      depth = depth - 1
      i = i + 1
      goto after_value
    elseif c ~= 44 then
      return "malformed"
    end
    i, c = after_space(text, i + 1)
    if closers[depth] == 93 then
      goto value
    end
    ::name::
    if c ~= 34 then
      return "malformed"
    end
    do
      local start = i
      i, escaped = after_string(text, i)
      if not i then
        return "malformed"
      end
      if depth == 1 and (escaped or i - start == 7) then
        local name = string_at(text, start, i - 1, escaped)
        -- Go's parser takes "Model" for "model": an upstream written in Go would see two.
        if name and lower(name) == "model" then
          mentions = mentions + 1
          names_model = name == "model"
        end
      end
      i, c = after_space(text, i)
      if c ~= 58 then
        return "malformed"
      end
      i, c = after_space(text, i + 1)
    end
    ::value::
  end
  if mentions > 1 then
    return "duplicate-model"
  elseif not from or to == from + 1 then
    return "no-model"
  end
  return "ok", from, to, with_escapes
end
