// Tells a runner of the heads: only what is new to it, and only when it is idle, so that one message is under way at most,
// whatever the pace of commits.
import type { EventSource } from './query.ts'
import type { Head, ToRunner } from './runner-messages.ts'

export interface HeadsToSendInit {
  readonly source: EventSource
  readonly mayReadLog: boolean
  post(message: ToRunner): void
}

export interface HeadsToSend {
  /** Another read model: its runner knows nothing, and is told everything, be it nothing. */
  open(): void
  /** Heads may have moved. */
  advance(): void
  /** The runner has seen everything that it knows of. Says whether there is no more. */
  becomeIdle(): boolean
  /** The runner is gone. */
  close(): void
}

export function createHeadsToSend({ source, mayReadLog, post }: HeadsToSendInit): HeadsToSend {
  const sent = new Map<number, Head>()
  let isIdle = false

  /** What has changed since the last call. */
  const take = (): readonly Head[] => {
    const localLog = mayReadLog ? source.localLog : null
    const heads: Head[] = []
    for (const [partition, index] of source.heads()) {
      const readable = localLog?.readableThrough(partition) ?? 0
      const known = sent.get(partition)
      if (known?.index === index && known.readable === readable) continue
      const head = { partition, index, readable }
      sent.set(partition, head)
      heads.push(head)
    }
    return heads
  }

  const send = ({ isForced }: { readonly isForced: boolean }): void => {
    const heads = take()
    if (heads.length === 0 && !isForced) return
    isIdle = false
    post({ type: 'heads', heads })
  }

  return {
    open() {
      sent.clear()
      send({ isForced: true })
    },
    advance() {
      if (isIdle) send({ isForced: false })
    },
    becomeIdle() {
      isIdle = true
      send({ isForced: false })
      return isIdle
    },
    close() {
      isIdle = false
    },
  }
}
