// Aggregates of glyn-node's own rest in the log beside those of users. Feeds and queries pass over them, and nobody else
// may define or command any.

/** Types that begin so are ours. */
export const systemPrefix = 'glyn.'

export const isSystemType = (type: string): boolean => type.startsWith(systemPrefix)

/** Ids of commands that glyn-node sends by itself begin so: nobody else may have sent one before. */
export const ownIdPrefix = 'glyn:'

/** In place of an event whose data are forgotten, and once more for each aggregate when that happens. */
export const forgottenEventType = `${systemPrefix}Forgotten`

/** The data of an event of {@link forgottenEventType}. */
export interface Forgotten {
  /** What the event was; null for the one that tells that a key of this aggregate was destroyed. */
  readonly type: string | null
  /** Id of the key. */
  readonly key: string
}

/** Ids of the commands that tell an aggregate that a key was destroyed: it follows. */
export const forgetIdPrefix = `${ownIdPrefix}forget:`
