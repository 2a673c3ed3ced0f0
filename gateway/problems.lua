-- Errors as RFC 9457 has them, for clients that accept application/problem+json: {type, title, status, detail} from the error's own message,
-- with its code and details beside them.

local TITLES = {
  [400] = "Bad Request",
  [401] = "Unauthorized",
  [403] = "Forbidden",
  [404] = "Not Found",
  [405] = "Method Not Allowed",
  [408] = "Request Timeout",
  [409] = "Conflict",
  [413] = "Content Too Large",
  [415] = "Unsupported Media Type",
  [426] = "Upgrade Required",
  [429] = "Too Many Requests",
  [431] = "Request Header Fields Too Large",
  [499] = "Client Closed Request",
  [500] = "Internal Server Error",
  [501] = "Not Implemented",
  [502] = "Bad Gateway",
  [503] = "Service Unavailable",
  [504] = "Gateway Timeout",
}

local NAMESPACE = "bazaar.problems"

-- Only requests that accept problems come here, but answers come to requests too that were refused before any filter saw them.
function envoy_on_request(handle)
  handle:streamInfo():dynamicMetadata():set(NAMESPACE, "accepted", true)
end

function envoy_on_response(handle)
  if not handle:streamInfo():dynamicMetadata():get(NAMESPACE) then
    return
  end
  local headers = handle:headers()
  local status = tonumber(headers:get(":status"))
  if not TITLES[status] or headers:get("content-type") ~= "application/json" then
    return
  end
  local body = handle:body()
  local members = body and body:getBytes(0, body:length()) or ""
  if string.sub(members, 1, 1) ~= "{" then
    return
  end
  -- The error's own message comes before any other: details, which may hold one too, follow it or are ours.
  local problem = string.gsub(string.sub(members, 2), '"message":', '"detail":', 1)
  headers = handle:headers() -- what was got before the body came is no longer valid
  local head = string.format('{"type":"about:blank","title":"%s","status":%d,', TITLES[status], status)
  headers:replace("content-type", "application/problem+json")
  headers:replace("content-length", tostring(body:setBytes(head .. problem)))
end
