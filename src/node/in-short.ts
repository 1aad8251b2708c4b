// Many partitions in few words.

/** `1, 2, 5` or, of many, `1, 2, 3 and 29 more`. */
export const inShort = (ids: readonly number[]): string =>
  ids.length <= 5 ? ids.join(', ') : `${ids.slice(0, 3).join(', ')} and ${ids.length - 3} more`
