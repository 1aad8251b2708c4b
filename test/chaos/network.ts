// A network of namespaces: one for each node, all joined by a bridge that lies in a namespace of its own, so that the
// machine's own network is not touched. Faults are put where packets arrive (drop) or leave (delay).
import { mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { refusal, shell } from './shell.ts'

/** An address that exists only inside of the run's namespaces, the same in every run. */
const subnet = [10, 213, 0] as const

/** `tc` takes the action as the answer of the filter (direct action): these are TC_ACT_SHOT and TC_ACT_UNSPEC. */
const dropIt = '6 0 0 2'
const passOn = '6 0 0 4294967295'

export interface Way {
  readonly from: string
  readonly to: string
}

/** How packets are slowed down: by netem where the kernel has it, or else by a narrow link with a queue. */
export type SlowdownTool = 'netem' | 'tbf'

export interface Network {
  readonly slowdownTool: SlowdownTool
  /** Makes the namespace of a node. */
  add(node: string): Promise<void>
  addressOf(node: string): string
  /** What runs a command inside of the node's namespace. */
  enter(node: string): readonly string[]
  /** From now on exactly these ways are cut: their packets vanish on arrival, nobody is told. */
  cut(ways: readonly Way[]): Promise<void>
  /** This share (0 to 1) of the packets that arrive at the node vanishes. 0: none. */
  lose(node: string, share: number): Promise<void>
  /** What leaves the node is late, by about so much when it has much to say. 0: not at all. */
  slow(node: string, delayMs: number): Promise<void>
}

/** What this machine lacks for a run, in words; null when it has everything. Leaves nothing behind. */
export async function missingForNetwork(prefix: string): Promise<string | null> {
  if (process.platform !== 'linux') return `network namespaces: this is ${process.platform}, not linux`
  if (process.getuid?.() !== 0) return 'root: only it makes network namespaces'
  const probe = `${prefix}probe`
  const inside = (...args: readonly string[]): Promise<string | null> => refusal('tc', '-n', probe, ...args)
  const tries: readonly (readonly [string, () => Promise<string | null>])[] = [
    ['network namespaces', () => refusal('ip', 'netns', 'add', probe)],
    ['veth', () => refusal('ip', '-n', probe, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'port')],
    ['bridges', () => refusal('ip', '-n', probe, 'link', 'add', 'hub', 'type', 'bridge')],
    ['tc clsact', () => inside('qdisc', 'add', 'dev', 'eth0', 'clsact')],
    ['tc bpf', () => inside(...filterArguments('add', 'eth0', 10, lossProgram(0.5)))],
    ['tc netem or tbf', async () => ((await slowdownToolIn(probe)) === null ? 'neither is there' : null)],
    ['tmpfs', () => refusalOfMount(prefix)],
  ]
  try {
    for (const [name, attempt] of tries) {
      const said = await attempt()
      if (said !== null) return `${name} (${said})`
    }
    return null
  } finally {
    await refusal('ip', 'netns', 'delete', probe)
  }
}

async function refusalOfMount(prefix: string): Promise<string | null> {
  const folder = mkdtempSync(join(tmpdir(), `${prefix}probe-`))
  const said = await refusal('mount', '-t', 'tmpfs', '-o', 'size=1m', 'glyn-chaos-probe', folder)
  if (said === null) await shell('umount', folder)
  rmdirSync(folder)
  return said
}

export async function createNetwork(prefix: string): Promise<Network> {
  const nodes = new Map<string, number>()
  const hub = `${prefix}hub`
  const spaceOf = (node: string): string => prefix + node
  const ip = (space: string, ...args: readonly string[]): Promise<string> => shell('ip', '-n', space, ...args)
  const tc = (space: string, ...args: readonly string[]): Promise<string> => shell('tc', '-n', space, ...args)
  const lossy = new Set<string>()
  const slowed = new Set<string>()
  let cuts: ReadonlyMap<string, readonly string[]> = new Map()

  await shell('ip', 'netns', 'add', hub)
  await ip(hub, 'link', 'add', 'hub', 'type', 'bridge', 'stp_state', '0')
  await ip(hub, 'link', 'set', 'hub', 'up')
  await ip(hub, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'probe')
  const slowdownTool = await slowdownToolIn(hub)
  await ip(hub, 'link', 'delete', 'eth0')
  if (slowdownTool === null) throw new Error('tc has neither netem nor tbf')

  const numberOf = (node: string): number => {
    const number = nodes.get(node)
    if (number === undefined) throw new Error(`the network has no node ${node}`)
    return number
  }

  return {
    slowdownTool,
    async add(node) {
      const number = nodes.size + 1
      nodes.set(node, number)
      const [space, port] = [spaceOf(node), `port${number}`]
      await shell('ip', 'netns', 'add', space)
      await ip(space, 'link', 'set', 'lo', 'up')
      await ip(space, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', port, 'netns', hub)
      await ip(hub, 'link', 'set', port, 'master', 'hub', 'up')
      await ip(space, 'addr', 'add', `${subnet.join('.')}.${number}/24`, 'dev', 'eth0')
      await ip(space, 'link', 'set', 'eth0', 'up')
      await tc(space, 'qdisc', 'add', 'dev', 'eth0', 'clsact')
    },
    addressOf: node => [...subnet, numberOf(node)].join('.'),
    enter: node => ['ip', 'netns', 'exec', spaceOf(node)],
    async cut(ways) {
      const wanted = new Map<string, string[]>()
      for (const { from, to } of ways) wanted.set(to, [...(wanted.get(to) ?? []), from].toSorted())
      const changed = new Set([...cuts.keys(), ...wanted.keys()])
      const before = cuts
      cuts = wanted
      await Promise.all(
        [...changed].map(async to => {
          const sources = wanted.get(to)
          if (sources?.join() === before.get(to)?.join()) return
          if (before.has(to)) await tc(spaceOf(to), 'filter', 'del', 'dev', 'eth0', 'ingress', 'pref', '10')
          if (sources === undefined) return
          const program = sourceProgram(sources.map(numberOf))
          await tc(spaceOf(to), ...filterArguments('add', 'eth0', 10, program))
        }),
      )
    },
    async lose(node, share) {
      const space = spaceOf(node)
      if (lossy.delete(node)) await tc(space, 'filter', 'del', 'dev', 'eth0', 'ingress', 'pref', '20')
      if (share === 0) return
      lossy.add(node)
      await tc(space, ...filterArguments('add', 'eth0', 20, lossProgram(share)))
    },
    async slow(node, delayMs) {
      const space = spaceOf(node)
      if (slowed.delete(node)) await tc(space, 'qdisc', 'del', 'dev', 'eth0', 'root')
      if (delayMs === 0) return
      slowed.add(node)
      await tc(space, 'qdisc', 'add', 'dev', 'eth0', 'root', ...slowdown(slowdownTool, delayMs))
    },
  }
}

const slowdown = (tool: SlowdownTool, delayMs: number): string[] =>
  tool === 'netem'
    ? ['netem', 'delay', `${delayMs}ms`, `${Math.ceil(delayMs / 3)}ms`]
    : // A queue that takes `delayMs` to drain when it is full, and drops what does not fit.
      ['tbf', 'rate', '1mbit', 'burst', '3000', 'latency', `${delayMs}ms`]

async function slowdownToolIn(space: string): Promise<SlowdownTool | null> {
  for (const tool of ['netem', 'tbf'] as const) {
    const place = ['qdisc', 'add', 'dev', 'eth0', 'root'] as const
    if ((await refusal('tc', '-n', space, ...place, ...slowdown(tool, 100))) === null) return tool
  }
  return null
}

const filterArguments = (
  verb: 'add',
  device: string,
  preference: number,
  program: readonly string[],
): string[] => [
  ...['filter', verb, 'dev', device, 'ingress', 'pref', String(preference)],
  ...['bpf', 'direct-action', 'bytecode', `${program.length},${program.join(',')}`],
]

/** Classic BPF (Linux, networking/filter): drops what comes from these sources. */
function sourceProgram(numbers: readonly number[]): string[] {
  const [a, b, c] = subnet
  const comparisons = numbers.map((number, place) => {
    const address = ((a << 24) | (b << 16) | (c << 8) | number) >>> 0
    // Jumps to the last instruction where they are equal, else goes on.
    return `21 ${numbers.length - place} 0 ${address}`
  })
  // The source address stands 12 bytes into the IPv4 header, after 14 bytes of Ethernet.
  return ['32 0 0 26', ...comparisons, passOn, dropIt]
}

/** Classic BPF: drops by a random number of the kernel's (SKF_AD_RANDOM). */
const lossProgram = (share: number): string[] => [
  '32 0 0 4294963256',
  `53 0 1 ${Math.round(share * 2 ** 32)}`,
  passOn,
  dropIt,
]
