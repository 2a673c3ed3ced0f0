-- HTTP statuses that gRPC has no word for: 201 for what was made, 304 for a client whose copy is still good. (The cache itself passes
-- If-None-Match on, and so would answer such a question at a miss's cost.)

local NAMESPACE = "bazaar.statuses"

function envoy_on_request(handle)
  local known = handle:headers():get("if-none-match")
  if known then
    handle:streamInfo():dynamicMetadata():set(NAMESPACE, "known", known)
    handle:headers():remove("if-none-match")
  end
end

-- If-None-Match compares weakly: only what stands between the quotes counts.
local function is_known(asked, etag)
  return asked and etag and (asked.known == "*" or string.find(asked.known, string.match(etag, '".*"'), 1, true))
end

function envoy_on_response(handle)
  local headers = handle:headers()
  if headers:get(":status") ~= "200" then
    return
  end
  if headers:get("location") then
    headers:replace(":status", "201")
  elseif is_known(handle:streamInfo():dynamicMetadata():get(NAMESPACE), headers:get("etag")) then
    headers:replace(":status", "304")
    headers:remove("content-type")
    headers:remove("content-length")
    handle:body():setBytes("")
  end
end
