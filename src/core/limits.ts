// The bounds of the data model. Bounds of a mechanism live beside the mechanism.

export const limits = {
  /** UTF-8 bytes of an aggregate type, an aggregate id, a command type, an event type, a command id. */
  nameBytesMax: 256,
  /** UTF-8 bytes of the JSON of one command or one event. Gossip and streams carry frames of at most 4 MiB. */
  dataBytesMax: 1024 * 1024,
  /** Bytes of one entry: all events of one command. */
  entryBytesMax: 2 * 1024 * 1024,
  /** Events that one command may yield. */
  eventsPerCommandMax: 1000,
  /** UTF-8 bytes of the JSON of one message to queries: signed gossip is for small things. */
  messageBytesMax: 64 * 1024,
  metadataEntriesMax: 64,
  partitionsMax: 1024,
  replicasMax: 7,
} as const
