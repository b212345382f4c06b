-- For the backend that was chosen: its own name for the model, and the place of its OpenAI API.
-- The rest of the body stays as it came, byte for byte.

local function override(handle)
  local context = handle:filterContext()
  local prefix, model = context:get("prefix"), context:get("model")
  if prefix then
    local path = handle:headers():get(":path")
    local rest = string.match(path, "^/v1(/.*)$")
    if rest then
      handle:headers():replace(":path", prefix .. rest)
    end
  end
  if not model then
    return
  end
  local body = handle:body()
  local length = body and body:length() or 0
  if length == 0 then
    return
  end
  local text = body:getBytes(0, length)
  local found, from, to = scan(text)
  if found ~= "ok" then
    return
  end
  local size = body:setBytes(sub(text, 1, from - 1) .. model .. sub(text, to + 1))
  local headers = handle:headers()
  if headers:get("content-length") then
    headers:replace("content-length", tostring(size))
  end
end

function envoy_on_request(handle)
  local fine, problem = pcall(override, handle)
  if not fine then
    handle:logErr("the model could not be replaced: " .. tostring(problem))
    handle:respond({ [":status"] = "500" }, "")
  end
end
