-- A worker that has too much to do refuses what matters less, and says from which priority on (x-bazaar-shed). For a second after that
-- such calls are answered here: one call a second, not each, asks the workers whether it is over. The same for a moment after there was
-- no place for one (x-bazaar-no-place): with much to refuse, it must cost little.

local LASTS, NO_PLACE_LASTS = 1000, 20 -- milliseconds
local refused_until = {} -- by priority

local function priority_of(handle)
  return handle:metadata():get("priority")
end

local function now(handle)
  return tonumber(tostring(handle:timestamp(EnvoyTimestampResolution.MILLISECOND)):match("%d+"))
end

function envoy_on_request(handle)
  local until_then = refused_until[priority_of(handle)]
  if until_then and now(handle) < until_then then
    handle:respond({ [":status"] = "503", ["retry-after"] = "1" }, "Too much is asked for at the moment; what matters more goes first.")
  end
end

local function remember(handle, from, lasts)
  for priority = from, 3 do
    refused_until[priority] = math.max(refused_until[priority] or 0, now(handle) + lasts)
  end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local from = headers:get("x-bazaar-shed")
  if from then
    headers:remove("x-bazaar-shed")
    remember(handle, tonumber(from), LASTS)
  end
  if headers:get("x-bazaar-no-place") then
    headers:remove("x-bazaar-no-place")
    remember(handle, priority_of(handle), NO_PLACE_LASTS)
  end
end
