-- Answers 304 to a client whose copy is still good. The cache itself passes such a question on, and so would answer it at a miss's cost.

local NAMESPACE = "bazaar.not_modified"

function envoy_on_request(handle)
  local known = handle:headers():get("if-none-match")
  if known then
    handle:streamInfo():dynamicMetadata():set(NAMESPACE, "known", known)
    handle:headers():remove("if-none-match")
  end
end

function envoy_on_response(handle)
  local asked = handle:streamInfo():dynamicMetadata():get(NAMESPACE)
  local headers = handle:headers()
  local etag = headers:get("etag")
  if not (asked and etag and headers:get(":status") == "200") then
    return
  end
  -- If-None-Match compares weakly: only what stands between the quotes counts.
  if asked.known == "*" or string.find(asked.known, string.match(etag, '".*"'), 1, true) then
    headers:replace(":status", "304")
    headers:remove("content-type")
    headers:remove("content-length")
    handle:body():setBytes("")
  end
end
