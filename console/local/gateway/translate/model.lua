-- Put another name for the model into the body, the rest as it came, byte for byte; nil for none. What a try before has
-- changed is changed back: the body comes as it was, the headers do not.
local function put_model(handle, model)
  local body = handle:body()
  local size = body and body:length() or 0
  if size == 0 then
    return
  end
  if model then
    local text = body:getBytes(0, size)
    local found, from, to = scan(text)
    if found == "ok" then
      size = body:setBytes(sub(text, 1, from - 1) .. model .. sub(text, to + 1))
    end
  end
  local headers = handle:headers()
  if headers:get("content-length") then
    headers:replace("content-length", tostring(size))
  end
end
