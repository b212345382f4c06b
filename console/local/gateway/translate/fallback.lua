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
  if rewrites_model then
    put_model(handle, mine.model)
  end
end

function envoy_on_request(handle)
  local fine, problem = pcall(choose, handle)
  if not fine then
    handle:logErr("the request could not be made the backend's: " .. tostring(problem))
    handle:respond({ [":status"] = "500" }, "")
  end
end
