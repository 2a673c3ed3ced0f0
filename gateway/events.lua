-- Gives each server-sent event its `id`, which browsers send back as Last-Event-ID when they connect again. The transcoder writes an event
-- as one line, `data: {…}`; the id is the message's own `eventId`. (A quote within a JSON text is escaped, so that no text looks like it.)

local function with_id(event)
  local id = string.match(event, '"eventId":"([^"]+)"')
  return id and "id: " .. id .. "\n" .. event
end

function envoy_on_response(handle)
  if handle:headers():get("content-type") ~= "text/event-stream" then
    return
  end
  for chunk in handle:bodyChunks() do
    if chunk:length() > 0 then
      chunk:setBytes((string.gsub(chunk:getBytes(0, chunk:length()), "data: [^\n]+", with_id)))
    end
  end
end
