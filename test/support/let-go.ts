// Whether what was used for a moment can be collected afterwards.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
const attemptsMax = 20

/** Runs the action `times` times. Resolves with how many of the objects that it gave are still held by something. */
export async function countHeld(times: number, action: () => Promise<object>): Promise<number> {
  const given: WeakRef<object>[] = []
  for (let time = 0; time < times; time += 1) given.push(new WeakRef(await action()))
  const held = (): number => given.filter(one => one.deref() !== undefined).length
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    // A reference that was looked at is held until the end of the turn.
    await new Promise(resolve => setImmediate(resolve))
    collect()
    await new Promise(resolve => setImmediate(resolve))
    if (held() === 0) return 0
  }
  return held()
}
