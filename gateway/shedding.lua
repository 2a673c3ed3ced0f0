-- A worker that has too much to do refuses what matters less, and says from which priority on (x-bazaar-shed). For a second after that
-- such calls are answered here: one call a second, not each, asks the workers whether it is over.

local LASTS = 1000 -- milliseconds
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

function envoy_on_response(handle)
  local headers = handle:headers()
  local from = headers:get("x-bazaar-shed")
  if from then
    headers:remove("x-bazaar-shed")
    for priority = tonumber(from), 3 do
      refused_until[priority] = now(handle) + LASTS
    end
  end
end
