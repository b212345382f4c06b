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
  if model then
    put_model(handle, model)
  end
end

function envoy_on_request(handle)
  local fine, problem = pcall(override, handle)
  if not fine then
    handle:logErr("the model could not be replaced: " .. tostring(problem))
    handle:respond({ [":status"] = "500" }, "")
  end
end
