// A closed loop: a fixed number of callers, each of which sends its next command when the last one was answered.

export interface Measurement {
  readonly inFlight: number
  readonly seconds: number
  readonly count: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

export interface MeasureOptions {
  readonly inFlight: number
  /** Not counted: compilers, caches and connections warm up. */
  readonly warmUpMs: number
  readonly durationMs: number
  /** Resolves when the command with this number (0, 1, 2 …) is durable; rejects to end the whole measurement. */
  readonly send: (number: number) => Promise<void>
}

/** Rejects with the first failure of `send`, after all callers have stopped. */
export async function measure({
  inFlight,
  warmUpMs,
  durationMs,
  send,
}: MeasureOptions): Promise<Measurement> {
  const startsAt = performance.now() + warmUpMs
  const endsAt = startsAt + durationMs
  const latencies: number[] = []
  let next = 0
  let lastAnswer = startsAt
  let failure: { readonly reason: unknown } | undefined
  const caller = async (): Promise<void> => {
    while (failure === undefined) {
      const sentAt = performance.now()
      if (sentAt >= endsAt) return
      try {
        await send(next++)
      } catch (reason) {
        failure ??= { reason }
        return
      }
      const answeredAt = performance.now()
      // What was sent in the warm-up is its own; what was sent in time counts, however late its answer.
      if (sentAt < startsAt) continue
      latencies.push(answeredAt - sentAt)
      lastAnswer = answeredAt
    }
  }
  await Promise.all(Array.from({ length: inFlight }, caller))
  if (failure !== undefined) throw failure.reason
  return summarize(inFlight, latencies, lastAnswer - startsAt)
}

/** Takes the latencies over: they are sorted. */
export function summarize(inFlight: number, latencies: number[], elapsedMs: number): Measurement {
  latencies.sort((a, b) => a - b)
  const seconds = elapsedMs / 1000
  return {
    inFlight,
    seconds,
    count: latencies.length,
    perSecond: latencies.length / seconds,
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
  }
}

/** The smallest value that at least `share` of the sorted ones do not exceed; NaN of none. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
}
