-- Before anything is decided: which model does the request name? Says what it found in x-modeldeck-body, and the model
-- in x-ai-eg-model, by which the route is then chosen. Copies that a client sent are gone before this runs.

local check -- what else is done with it, where there is something (native.lua)

local function is_read_as_json(content_type)
  if not content_type then
    return true -- curl without a header; so is a form, which is what curl -d claims to send
  end
  local kind = lower(string.match(content_type, "^%s*([^;%s]*)"))
  return kind == "" or kind == "application/json" or kind == "application/x-www-form-urlencoded" or find(kind, "%+json$")
end

-- Whether a text is UTF-8; others would be read in one way here and in another behind us.
local function is_utf8(text)
  local i, length = find(text, "[\128-\255]"), #text
  while i and i <= length do
    local lead, second = byte(text, i, i + 1)
    local more
    if lead < 128 then
      more = 0
    elseif lead >= 0xC2 and lead <= 0xDF then
      more = 1
    elseif lead >= 0xE0 and lead <= 0xEF then
      more = 2
    elseif lead >= 0xF0 and lead <= 0xF4 then
      more = 3
    else
      return false
    end
    if not find(text, "^" .. string.rep("[\128-\191]", more), i + 1) then
      return false
    end
    -- Longer than it need be, half of a surrogate pair, or beyond the last character.
    if (lead == 0xE0 and second < 0xA0) or (lead == 0xED and second > 0x9F)
      or (lead == 0xF0 and second < 0x90) or (lead == 0xF4 and second > 0x8F) then
      return false
    end
    i = i + 1 + more
  end
  return true
end

-- A model's name travels in a header, where neither control characters nor spaces at its ends survive.
local function fits_a_header(name)
  return #name <= LONGEST_MODEL and is_utf8(name) and not find(name, "%c") and not find(name, "^ ") and not find(name, " $")
end

local function inspect(handle)
  if not is_read_as_json(handle:headers():get("content-type")) then
    return "not-json"
  end
  local body = handle:body()
  local length = body and body:length() or 0
  if length == 0 then
    return "none"
  end
  local text = body:getBytes(0, length)
  local found, from, to, escaped = scan(text)
  if found ~= "ok" then
    return found
  end
  local model = string_at(text, from, to, escaped)
  if not model or not fits_a_header(model) then
    return "malformed"
  end
  return found, model, body, text
end

local function ask(handle, headers, body, text)
  local fine, hide = pcall(ask_for_usage, handle, headers, body, text)
  if not fine then
    handle:logErr("the usage could not be asked for: " .. tostring(hide))
  elseif hide then
    handle:streamInfo():dynamicMetadata():set("modeldeck", "hide_usage", true)
  end
end

function envoy_on_request(handle)
  -- An error in a script lets a request pass; so errors end here.
  local fine, found, model, body, text = pcall(inspect, handle)
  if not fine then
    handle:logErr("the model could not be extracted: " .. tostring(found))
    handle:respond({ [":status"] = "500" }, "")
    return
  end
  local headers = handle:headers()
  headers:replace("x-modeldeck-body", found)
  if found == "ok" or found == "no-model" then
    headers:replace("content-type", "application/json")
  end
  if model then
    headers:replace("x-ai-eg-model", model)
    handle:clearRouteCache()
    if find(text, '"stream"', 1, true) then
      ask(handle, headers, body, text)
    end
  end
  if check then
    check(handle, headers, found, model)
  end
end
