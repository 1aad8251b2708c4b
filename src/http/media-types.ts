// The media types of the HTTP API beside plain JSON.

/** One JSON value per line. */
export const ndjson = 'application/x-ndjson'
/** Bytes. */
export const octets = 'application/octet-stream'
/** Server-sent events, https://html.spec.whatwg.org/multipage/server-sent-events.html */
export const eventStream = 'text/event-stream'
