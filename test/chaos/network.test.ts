// The faults of the network are what they are called: a nemesis whose knife is blunt proves nothing.
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { plainly } from '../support/plainly.ts'
import { createNetwork, missingForNetwork, type Network } from './network.ts'
import { namePrefixOf, sweep } from './sweep.ts'

const missing = await missingForNetwork(namePrefixOf(process.pid))
const skip = missing === null ? false : `chaos needs what this machine does not have: ${missing}`
const probe = fileURLToPath(new URL('udp-probe.ts', import.meta.url))
const arrivalMsMax = 30_000

interface Host {
  readonly name: string
  /** What came in, in order. */
  readonly heard: readonly string[]
  send(to: Host, text: string): void
  /** Resolves when this text came in. */
  hears(text: string): Promise<void>
}

async function startHost(network: Network, name: string, children: ChildProcess[]): Promise<Host> {
  await network.add(name)
  const [file, args] = plainly(process.execPath, [probe])
  const [enter = '', ...rest] = [...network.enter(name), file, ...args]
  const child = spawn(enter, rest, { stdio: ['pipe', 'pipe', 'inherit'] })
  children.push(child)
  const heard: string[] = []
  let wake: () => void = () => {}
  createInterface({ input: child.stdout }).on('line', line => {
    heard.push(line)
    wake()
  })
  const host: Host = {
    name,
    heard,
    send: (to, text) => void child.stdin.write(`${network.addressOf(to.name)} ${text}\n`),
    hears: text =>
      new Promise((resolve, reject) => {
        const late = (): void => reject(new Error(`${name} did not hear ${text}, only: ${heard.join(', ')}`))
        const timer = setTimeout(late, arrivalMsMax)
        wake = () => {
          if (!heard.includes(text)) return
          clearTimeout(timer)
          resolve()
        }
        wake()
      }),
  }
  await host.hears('bound')
  return host
}

t.test('faults of the network', { skip }, async t => {
  const prefix = `${namePrefixOf(process.pid)}network-`
  const children: ChildProcess[] = []
  t.teardown(async () => {
    for (const child of children) child.kill('SIGKILL')
    await sweep(prefix)
  })
  const network = await createNetwork(prefix)
  const a = await startHost(network, 'a', children)
  const b = await startHost(network, 'b', children)
  const c = await startHost(network, 'c', children)

  await t.test('without one, everybody hears everybody', async () => {
    a.send(b, 'a-to-b')
    await b.hears('a-to-b')
    b.send(c, 'b-to-c')
    await c.hears('b-to-c')
  })

  await t.test('a way that is cut lets nothing through, and the way back does', async t => {
    await network.cut([{ from: 'a', to: 'b' }])
    a.send(b, 'lost')
    a.send(c, 'not-cut')
    await c.hears('not-cut')
    b.send(a, 'back')
    await a.hears('back')
    await network.cut([])
    a.send(b, 'healed')
    await b.hears('healed')
    t.notOk(b.heard.includes('lost'))
  })

  await t.test('cuts from two sides at once, and one of them healed', async t => {
    await network.cut([
      { from: 'a', to: 'c' },
      { from: 'b', to: 'c' },
    ])
    a.send(c, 'lost-of-a')
    b.send(c, 'lost-of-b')
    // Told by way of others: what each sent before has had its turn.
    a.send(b, 'after-a')
    await b.hears('after-a')
    b.send(a, 'after-b')
    await a.hears('after-b')
    await network.cut([{ from: 'a', to: 'c' }])
    b.send(c, 'healed-b')
    await c.hears('healed-b')
    await network.cut([])
    a.send(c, 'healed-a')
    await c.hears('healed-a')
    t.notOk(c.heard.includes('lost-of-a') || c.heard.includes('lost-of-b'))
  })

  await t.test('a share of the packets vanishes', async t => {
    await network.lose('b', 0.5)
    for (let number = 0; number < 400; number += 1) a.send(b, `dice-${number}`)
    a.send(c, 'all-sent')
    await c.hears('all-sent')
    await network.lose('b', 0)
    a.send(b, 'no-dice')
    await b.hears('no-dice')
    const came = b.heard.filter(text => text.startsWith('dice-')).length
    // Fewer than 100 or more than 300 of 400 fair coins: never, in the age of the universe.
    t.ok(came > 100 && came < 300, `${came} of 400 came`)
  })

  await t.test('slow links can be made and unmade', async () => {
    await network.slow('a', 200)
    a.send(b, 'slow')
    await b.hears('slow')
    await network.slow('a', 0)
    a.send(b, 'quick')
    await b.hears('quick')
  })
})
