// Knows which connections of an HTTP server are between calls: a closing server waits for calls only, and silence is no
// reason to cut a call that waits for its answer.
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Returns `close`: ends connections without a call at once, and the others after their call. Node's own
 * `closeIdleConnections` leaves out those that never had a call, and clients do open some ahead.
 *
 * A connection that was silent for the server's timeout is destroyed, as Node does, unless a call on it was read as a
 * whole and has no answer yet: that call has a deadline of its own, which may be later.
 */
export function watchIdleSockets(server: Server): { close(): void } {
  const calls = new Map<Socket, number>()
  const waiting = new Map<Socket, { readonly request: IncomingMessage; readonly response: ServerResponse }>()
  let isClosing = false
  server.on('timeout', (socket: Socket) => {
    const call = waiting.get(socket)
    if (call === undefined || !call.request.complete || call.response.headersSent) socket.destroy()
  })
  server.on('connection', (socket: Socket) => {
    if (isClosing) return socket.destroy()
    calls.set(socket, 0)
    socket.once('close', () => calls.delete(socket))
    return undefined
  })
  server.on('request', (request, response) => {
    const { socket } = request
    calls.set(socket, (calls.get(socket) ?? 0) + 1)
    waiting.set(socket, { request, response })
    response.once('close', () => {
      if (waiting.get(socket)?.response === response) waiting.delete(socket)
      const rest = (calls.get(socket) ?? 1) - 1
      if (socket.destroyed) return
      calls.set(socket, rest)
      if (isClosing && rest === 0) socket.destroySoon()
    })
  })
  return {
    close() {
      isClosing = true
      for (const [socket, count] of calls) if (count === 0) socket.destroy()
    },
  }
}
