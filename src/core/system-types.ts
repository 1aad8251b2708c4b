// Aggregates of glyn-node's own rest in the log beside those of users. Feeds and queries pass over them, and nobody else
// may define or command any.

/** Types that begin so are ours. */
export const systemPrefix = 'glyn.'

export const isSystemType = (type: string): boolean => type.startsWith(systemPrefix)

/** Ids of commands that glyn-node sends by itself begin so: nobody else may have sent one before. */
export const ownIdPrefix = 'glyn:'
