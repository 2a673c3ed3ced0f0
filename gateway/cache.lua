-- Keeps answers that are good for everybody (Cache-Control: public, max-age=…), by their URLs, for up to a second longer than they say. When
-- in that second one is asked for anew, chance says: what was asked at once is not asked anew at once. Until the new one is there, all others
-- get the old one, unless it is too old: one call asks and not each (RFC 5861's stale-while-revalidate).

local MOST_ANSWERS, MOST_BYTES = 10000, 32 * 2 ^ 20
local LARGEST = 2 ^ 18 -- bytes of an answer that is kept
-- Milliseconds.
local OVERTIME = 1000
local TOO_OLD = 10000 -- beyond what an answer says
local PATIENCE = 3000 -- that a new answer may take until somebody else asks for it
local NAMESPACE = "bazaar.cache"

-- In two halves: when the younger is full, the older is forgotten. What is asked for is in the younger, since it is asked anew all the time.
local older, younger, answers, bytes = {}, {}, 0, 0

local function now(handle)
  return tonumber(tostring(handle:timestamp(EnvoyTimestampResolution.MILLISECOND)):match("%d+"))
end

local function keep(url, answer)
  if answers >= MOST_ANSWERS / 2 or bytes >= MOST_BYTES / 2 then
    older, younger, answers, bytes = younger, {}, 0, 0
  end
  younger[url] = answer
  answers, bytes = answers + 1, bytes + #url + #answer.body
end

function envoy_on_request(handle)
  local headers = handle:headers()
  if headers:get("authorization") then
    return
  end
  local url, time = headers:get(":path"), now(handle)
  local answer = younger[url] or older[url]
  if answer and time < answer.due then
    answer.headers.age = tostring(math.floor((time - answer.made) / 1000))
    handle:respond(answer.headers, answer.body)
  elseif answer and time < answer.ends then
    answer.due = math.min(time + PATIENCE, answer.ends)
  end
  handle:streamInfo():dynamicMetadata():set(NAMESPACE, "url", url)
end

-- For how many seconds an answer is good for everybody; nil: it isn't.
local function lifetime(headers)
  local is_whole = headers:get(":status") == "200" and tonumber(headers:get("content-length") or LARGEST + 1) <= LARGEST
  return is_whole and tonumber(string.match(headers:get("cache-control") or "", "^public, max%-age=(%d+)$"))
end

function envoy_on_response(handle)
  local asked = handle:streamInfo():dynamicMetadata():get(NAMESPACE)
  local headers = handle:headers()
  local seconds = asked and lifetime(headers)
  if not seconds then
    return
  end
  local kept = { [":status"] = "200" }
  for _, name in ipairs({ "content-type", "cache-control", "etag" }) do
    kept[name] = headers:get(name)
  end
  local body, made = handle:body(), now(handle)
  local over = made + 1000 * seconds
  keep(asked.url, {
    headers = kept,
    body = body:getBytes(0, body:length()),
    made = made,
    due = over + math.random(0, OVERTIME),
    ends = over + TOO_OLD,
  })
end
