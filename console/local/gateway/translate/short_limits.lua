-- Limits that Envoy counts in tokens are told in requests, and of several limits the one with the least left.

local LIMIT, REMAINING, RESET = "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"
local WHICH = "x-modeldeck-limit"
local REACHED = "reached" -- by what Envoy counts; any other word is of the rate-limit service

-- Where among the values of the headers those of a limit of Envoy's are, and what is known of it.
local function find(headers, context)
  for index = 0, headers:getNumValues(LIMIT) - 1 do
    local slot = context:get(headers:getAtIndex(LIMIT, index))
    if slot then
      return index, slot
    end
  end
end

local function tell(handle)
  local headers, context = handle:headers(), handle:filterContext()
  local several = headers:getNumValues(LIMIT) > 1
  local at, slot = 0, nil
  if several then
    at, slot = find(headers, context)
  else
    local capacity = headers:get(LIMIT)
    slot = capacity and context:get(capacity)
  end
  local tokens = slot and tonumber(headers:getAtIndex(REMAINING, at))
  if not tokens then
    return
  end
  local cost, each, limit, which = string.match(slot, "^(%d+)|([^|]+)|([^|]+)|([^|]+)$")
  local left = math.floor(tokens / cost)
  local refused = headers:get(WHICH)
  for index = 0, several and headers:getNumValues(REMAINING) - 1 or -1 do
    local other = index ~= at and tonumber(headers:getAtIndex(REMAINING, index))
    if other and (other < left or refused and refused ~= REACHED) then
      for _, name in ipairs({ LIMIT, REMAINING, RESET }) do
        headers:replace(name, headers:getAtIndex(name, index) or "0")
      end
      return
    end
  end
  headers:replace(LIMIT, limit)
  headers:replace(REMAINING, string.format("%d", left))
  if left < 1 or several then
    local wait = left < 1 and math.max(1, math.ceil((cost - tokens) / cost * each)) or 0
    headers:replace(RESET, string.format("%d", wait))
    if refused == REACHED then
      headers:replace(WHICH, which)
      headers:replace("retry-after", string.format("%d", wait))
    end
  end
end

function envoy_on_response(handle)
  local fine, problem = pcall(tell, handle)
  if not fine then
    handle:logErr("what is left of a limit could not be told: " .. tostring(problem))
  end
end
