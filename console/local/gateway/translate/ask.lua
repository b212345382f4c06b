-- A stream tells what it has cost only when it is asked: ask in the client's place, where the route says so in its
-- metadata. Whether the client is to see nothing of the answer to that. The body is one that was read strictly.
local function ask_for_usage(handle, headers, body, text)
  if not find(text, '"stream"%s*:%s*true') or not find(headers:get(":path") or "", "/completions", 1, true) then
    return false
  end
  if not handle:metadata():get("asks_for_usage") then
    return false
  end
  local from, to = find(text, '"stream_options"%s*:%s*')
  local changed
  if not from then
    changed = string.gsub(text, "^(%s*{)", '%1"stream_options":{"include_usage":true},', 1)
  else
    local given = string.match(text, "^%b{}", to + 1)
    if given and find(given, '"include_usage"%s*:%s*true') then
      return false
    elseif not given then
      local rest = string.match(text, "^null(.*)$", to + 1)
      changed = rest and sub(text, 1, to) .. '{"include_usage":true}' .. rest
    else
      local own, times = string.gsub(given, '("include_usage"%s*:%s*)%a+', "%1true", 1)
      if times == 0 then
        own = find(given, "^{%s*}") and '{"include_usage":true}' or '{"include_usage":true,' .. sub(given, 2)
      end
      changed = sub(text, 1, to) .. own .. sub(text, to + 1 + #given)
    end
  end
  if not changed then
    return false
  end
  local size = body:setBytes(changed)
  if headers:get("content-length") then
    headers:replace("content-length", tostring(size))
  end
  return true
end
