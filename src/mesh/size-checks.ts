// Refuses what is too large, naming the thing, its size and the bound. The same words on every adapter.
import { GlynError } from '../core/errors.ts'
import { meshLimits } from './mesh-limits.ts'

const check = (what: string, bytes: number, bytesMax: number): void => {
  if (bytes > bytesMax) {
    throw new GlynError('MESSAGE_TOO_LARGE', `${what} has ${bytes} bytes; allowed: ${bytesMax}`)
  }
}

/** Throws MESSAGE_TOO_LARGE. */
export const checkFrameSize = (channel: string, frame: Uint8Array): void =>
  check(`a frame on channel ${channel}`, frame.length, meshLimits.frameBytesMax)

/** Throws MESSAGE_TOO_LARGE. */
export const checkGossipSize = (topic: string, data: Uint8Array): void =>
  check(`a message on topic ${JSON.stringify(topic)}`, data.length, meshLimits.gossipBytesMax)

/** Throws MESSAGE_TOO_LARGE. */
export const checkRecordSize = (key: string, value: Uint8Array): void =>
  check(`the record ${JSON.stringify(key)}`, value.length, meshLimits.recordBytesMax)
