-- For whichever backend this try goes to: its credential, the place of its OpenAI API, its own name for the model.
-- A second try finds the headers as the first has left them, so each sets all of them; the body comes as it was.

local function choose(handle)
  local headers = handle:headers()
  local mine = backends[headers:get("x-modeldeck-backend") or ""]
  headers:remove("x-modeldeck-backend")
  local key
  for _, name in ipairs(credentials) do
    if mine and mine.credential == name then
      key = headers:get(name)
    end
    headers:remove(name)
  end
  if #credentials > 0 then
    -- What another backend was given, or the client has sent, is none of this one's business.
    headers:remove("authorization")
    if key then
      headers:add("authorization", key)
    end
  end
  if not mine then
    error("no backend was chosen")
  end
  if rewrites_path then
    local path = headers:get("x-envoy-original-path")
    if not path then
      path = headers:get(":path")
      headers:add("x-envoy-original-path", path)
    end
    local rest = mine.prefix and string.match(path, "^/v1(/.*)$")
    headers:replace(":path", rest and (mine.prefix .. rest) or path)
  end
  if not rewrites_model then
    return
  end
  local body = handle:body()
  local size = body and body:length() or 0
  if size == 0 then
    return
  end
  if mine.model then
    local text = body:getBytes(0, size)
    local found, from, to = scan(text)
    if found == "ok" then
      size = body:setBytes(sub(text, 1, from - 1) .. mine.model .. sub(text, to + 1))
    end
  end
  headers = handle:headers()
  if headers:get("content-length") then
    headers:replace("content-length", tostring(size))
  end
end

function envoy_on_request(handle)
  local fine, problem = pcall(choose, handle)
  if not fine then
    handle:logErr("the request could not be made the backend's: " .. tostring(problem))
    handle:respond({ [":status"] = "500" }, "")
  end
end
