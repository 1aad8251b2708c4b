/** Less free than this share and these bytes: nearly full. */
const freeShareMin = 0.05
const freeBytesMin = 1024 ** 3

export const isNearlyFull = (disk: { readonly freeBytes: number; readonly totalBytes: number }): boolean =>
  disk.freeBytes < freeShareMin * disk.totalBytes && disk.freeBytes < freeBytesMin
