// When an aggregate is due for a snapshot.

/** True when the events (from, to] cross a multiple of `every`. */
export function isSnapshotDue(
  every: number | undefined,
  range: { readonly from: number; readonly to: number },
): boolean {
  if (every === undefined) return false
  return Math.floor(range.to / every) > Math.floor(range.from / every)
}
