// Time that passes only when nothing is left to do: events in the order of their times, and of their making.
import type { Cancel } from '../../core/clock.ts'

export interface VirtualTime {
  /** Milliseconds since the simulation began. */
  now(): number
  after(delayMs: number, action: () => void): Cancel
  /**
   * Runs events until `isOver` says so, asked before each one, or none is left, or one throws. Between two events every
   * promise that can go on has gone on. Resolves with whether it was over.
   */
  run(isOver: () => boolean): Promise<boolean>
  /** Events run so far. */
  count(): number
}

interface Timed {
  readonly atMs: number
  readonly order: number
  /** Null: cancelled. */
  action: (() => void) | null
}

/** Macrotasks that wait at a time: Node runs them in one turn of its loop, and drains the promises after each. */
const stepsAhead = 64

export function createVirtualTime(): VirtualTime {
  const heap: Timed[] = []
  let nowMs = 0
  let made = 0
  let done = 0

  function push(timed: Timed): void {
    let place = heap.length
    heap.push(timed)
    while (place > 0) {
      const parent = (place - 1) >> 1
      const above = heap[parent]
      if (above === undefined || isBefore(above, timed)) break
      heap[place] = above
      place = parent
    }
    heap[place] = timed
  }

  function pop(): Timed | undefined {
    const [first] = heap
    const last = heap.pop()
    if (first === undefined || last === undefined || first === last) return first
    let place = 0
    for (;;) {
      const left = 2 * place + 1
      const leftChild = heap[left]
      if (leftChild === undefined) break
      const rightChild = heap[left + 1]
      const isRight = rightChild !== undefined && isBefore(rightChild, leftChild)
      const child = isRight ? rightChild : leftChild
      if (isBefore(last, child)) break
      heap[place] = child
      place = isRight ? left + 1 : left
    }
    heap[place] = last
    return first
  }

  /** False when there is none. */
  function runNext(): boolean {
    let next = pop()
    while (next !== undefined && next.action === null) next = pop()
    if (next === undefined) return false
    const { action } = next
    next.action = null
    nowMs = next.atMs
    done += 1
    action?.()
    return true
  }

  return {
    now: () => nowMs,
    after(delayMs, action) {
      const timed: Timed = { atMs: nowMs + Math.max(0, delayMs), order: made, action }
      made += 1
      push(timed)
      return () => {
        timed.action = null
      }
    },
    run: isOver =>
      new Promise<boolean>((resolve, reject) => {
        let isDone = false
        const step = (): void => {
          if (isDone) return
          let next: 'more' | 'none' | 'over'
          try {
            next = isOver() ? 'over' : runNext() ? 'more' : 'none'
          } catch (error) {
            isDone = true
            reject(error)
            return
          }
          if (next === 'more') {
            setImmediate(step)
            return
          }
          isDone = true
          resolve(next === 'over')
        }
        for (let ahead = 0; ahead < stepsAhead; ahead += 1) setImmediate(step)
      }),
    count: () => done,
  }
}

const isBefore = (a: Timed, b: Timed): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
