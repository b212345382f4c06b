-- The keys that may pass without a question: those that the authorizer has written into its table (console/access/table.py).
-- Whatever is not certain here (an unknown or expired key, a model that it lacks, an odd request, a table that nobody
-- keeps up to date) is left to the authorizer, which is asked then as ever. This script only ever says yes.

local gmatch, gsub, match = string.gmatch, string.gsub, string.match

local LONGEST_KEY = 512
local MOST_READ = 10000

-- The table as it was read last. `size` is how far into `file`.
local table_file, size, rest = nil, 0, ""
local keys, read_keys, read_count = {}, {}, 0
local salt, names
local client_beginnings = {}
local good_until = 0
local suspended, charged, own_project, shared = {}, {}, {}, {}

local function decoded(text)
  if not find(text, "%", 1, true) then
    return text
  end
  return (gsub(text, "%%(%x%x)", function(code) return char(tonumber(code, 16)) end))
end

-- The fields of a line, decoded; an empty one is "".
local function fields(line)
  local found = {}
  for one in gmatch(line, "([^\t]*)\t") do
    found[#found + 1] = decoded(one)
  end
  return found
end

local function set_of(line)
  local found = {}
  for _, one in ipairs(fields(line)) do
    found[one] = true
  end
  return found
end

local function grants_of(found, from)
  local grants = {}
  for i = from, #found - 3, 4 do
    grants[found[i]] = { endpoint = found[i + 1], model = found[i + 2], project = found[i + 3] }
  end
  return grants
end

local open_table

-- What each kind of line does; the rest of it ends in a tab.
local KINDS = {
  key = function(line)
    local digest = sub(line, 1, 64)
    keys[digest], read_keys[digest] = sub(line, 66), nil
  end,
  drop = function(line)
    local digest = sub(line, 1, 64)
    keys[digest], read_keys[digest] = nil, nil
  end,
  ["until"] = function(line)
    good_until = tonumber(fields(line)[1]) or 0
  end,
  shared = function(line)
    for name, grant in pairs(grants_of(fields(line), 1)) do
      shared[name] = grant
    end
  end,
  unshared = function(line)
    shared[fields(line)[1]] = nil
  end,
  suspended = function(line)
    suspended = set_of(line)
  end,
  charged = function(line)
    charged = set_of(line)
  end,
  own = function(line)
    own_project = set_of(line)
  end,
  rule = function(line)
    local found = fields(line)
    salt, names, client_beginnings = found[1], {}, {}
    for _, name in ipairs({ "model", "key-id", "tenant", "endpoint-id", "model-id", "project-id" }) do
      names[name] = found[2] .. "-" .. name
    end
    for i = 3, #found do
      client_beginnings[#client_beginnings + 1] = found[i]
    end
  end,
  next = function(line)
    open_table(fields(line)[1])
  end,
}

-- Apply what has been written since. A line without its end mark was not finished, and says nothing.
local function apply(text)
  local file = table_file
  text = rest .. text
  local at = 1
  while true do
    local stop = find(text, "\n", at, true)
    if not stop then
      break
    end
    local kind, line = match(sub(text, at, stop - 1), "^(%l+)\t(.*)%.$")
    local change = kind and KINDS[kind]
    if change then
      change(line)
      if table_file ~= file then
        return -- it was followed to another
      end
    end
    at = stop + 1
  end
  rest = sub(text, at)
end

open_table = function(name)
  if table_file then
    table_file:close()
  end
  keys, read_keys, read_count = {}, {}, 0
  shared, suspended, charged, own_project = {}, {}, {}, {}
  salt, good_until, rest, size = nil, 0, "", 0
  -- One that it leads to may have been followed by another meanwhile.
  table_file = io.open(DIRECTORY .. "/" .. name, "r") or io.open(DIRECTORY .. "/current", "r")
  if table_file then
    local text = table_file:read("*a") or ""
    -- With a buffer, to look for the end would read what is before it.
    table_file:setvbuf("no")
    size = #text
    apply(text)
  end
end

-- Have the table as it is now. To look for its size costs a microsecond or two, and no change waits for anything.
local function look()
  if not table_file then
    open_table("current")
    return
  end
  local now = table_file:seek("end")
  if now ~= size then
    table_file:seek("set", size)
    local text = table_file:read("*a") or ""
    size = size + #text
    apply(text)
  end
end

local function key_of(digest)
  local key = read_keys[digest]
  if key then
    return key
  end
  local line = keys[digest]
  if not line then
    return nil
  end
  local found = fields(line)
  key = {
    not_after = tonumber(found[1]),
    id = found[2],
    tenant = found[3],
    project = found[4],
    tenants = found[5] ~= "" and {} or nil,
    grants = grants_of(found, 6),
  }
  for one in gmatch(found[5], "[^\31]+") do
    key.tenants[one] = true
  end
  if read_count >= MOST_READ then
    read_keys, read_count = {}, 0
  end
  read_keys[digest], read_count = key, read_count + 1
  return key
end

-- Where a published model leads; nil for keys that are no client's, and models of tenants that the key may not call.
local function published(presented, key, model)
  local grant = shared[model]
  if not grant or (key.tenants and not key.tenants[grant.project]) then
    return nil
  end
  for _, beginning in ipairs(client_beginnings) do
    if sub(presented, 1, #beginning) == beginning then
      return grant
    end
  end
end

-- Paths that ask for no model, or name one themselves, and bodies of which more is to be said.
local function is_usual(path, body, route_model)
  if body == "duplicate-model" or body == "too-large" then
    return false
  end
  if find(path, "^/v1/models") or find(path, "^/v1/batches") or find(path, "^/v1/files") then
    return false
  end
  return route_model ~= nil or (body == "ok" and not find(path, "/models/", 1, true))
end

local function passes(headers, body, model, route_model)
  local path, authorization = headers:get(":path"), headers:get("authorization")
  model = route_model or model
  if not (authorization and path and model) or not is_usual(path, body, route_model) then
    return nil
  end
  local presented = match(authorization, "^[Bb][Ee][Aa][Rr][Ee][Rr] +([%w%-%._~%+/]+=*) *$")
  if not presented or #presented > LONGEST_KEY then
    return nil
  end
  look()
  -- The authorizer knows the time to the millisecond; the second in which something ends is its business.
  local now = os.time()
  if not salt or now >= good_until then
    return nil
  end
  local digest = sha256(salt .. presented)
  local key = key_of(digest)
  if not key or (key.not_after and now + 1 >= key.not_after) or suspended[key.tenant] then
    return nil
  end
  if charged["key:" .. key.id] or charged["tenant:" .. key.tenant] then
    return nil
  end
  local grant = key.grants[model] or published(presented, key, model)
  if not grant or (own_project[model] and (grant.project == "" or grant.project ~= key.project)) then
    return nil
  end
  return digest, key, grant, model
end

local function tell(headers, listed, name, value)
  local header = names[name]
  -- As the authorizer does: what cannot be text of a header is left out rather than mangled.
  if value ~= "" and not find(value, "[^\32-\126]") and find(listed, "," .. header .. ",", 1, true) then
    headers:replace(header, value)
  end
end

-- For a route that says so in its metadata: which of the authorizer's headers it passes on, and the model that it stands
-- for, if any. The use in the stream's metadata is what gates pass by, and what the log of uses shows.
local function check_key(handle, headers, body, named)
  local route = handle:metadata():get("native")
  if not route then
    return
  end
  local digest, key, grant, model = passes(headers, body, named, route["model"])
  if not digest then
    return
  end
  local listed = route["headers"]
  tell(headers, listed, "model", model)
  tell(headers, listed, "key-id", key.id)
  tell(headers, listed, "tenant", key.tenant)
  tell(headers, listed, "endpoint-id", grant.endpoint)
  tell(headers, listed, "model-id", grant.model)
  tell(headers, listed, "project-id", grant.project)
  handle:streamInfo():dynamicMetadata():set("modeldeck.native", "use", digest .. "\t" .. gsub(model, "%c", "?"))
end

-- An error here is no yes: the authorizer is asked.
check = function(handle, headers, body, model)
  local fine, problem = pcall(check_key, handle, headers, body, model)
  if not fine then
    handle:logErr("a key could not be checked here: " .. tostring(problem))
  end
end
