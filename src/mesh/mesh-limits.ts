// The bounds that every mesh keeps, whatever carries it.

export const meshLimits = {
  /** Bytes of one frame on a channel. Two entries of the largest size fit. */
  frameBytesMax: 4 * 1024 * 1024,
  /** Bytes that may wait for one peer on one channel; past it `send` answers false. */
  queueBytesMax: 16 * 1024 * 1024,
  /** Bytes of one message on a topic. Signed gossip is for hints: bulk goes over channels. */
  gossipBytesMax: 1024 * 1024,
  /** Bytes of one record. */
  recordBytesMax: 64 * 1024,
} as const
