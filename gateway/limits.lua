-- X-RateLimit-Reset: the seconds until the whole limit is there again, rounded up. The filter behind this one says there when another call
-- is allowed, in whole seconds rounded down: 0, as good as always.

local function number(headers, name)
  return tonumber(headers:get("x-ratelimit-" .. name))
end

function envoy_on_response(handle)
  local headers = handle:headers()
  if not headers:get("x-ratelimit-limit") then
    return
  end
  local has_user = handle:streamInfo():dynamicMetadata():get("envoy.filters.http.jwt_authn")
  local interval = handle:metadata():get(has_user and "user" or "address") -- microseconds until a caller has one more call
  if interval then
    local missing = number(headers, "limit") - number(headers, "remaining")
    headers:replace("x-ratelimit-reset", tostring(math.ceil(missing * interval / 1e6)))
  end
end
