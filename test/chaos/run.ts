// `npm run chaos -- --minutes 30 --seed 7`: the long run.

import { endUsage, parseFlags } from '../support/parse-flags.ts'
import { type FaultKind, faultKinds } from './nemesis.ts'
import { missingForNetwork } from './network.ts'
import { forSoLong, once, split } from './plans.ts'
import { storyOf, summaryOf } from './report.ts'
import { type ChaosResult, type ChaosWorld, defaultOptions, runChaos } from './run-chaos.ts'
import { namePrefixOf } from './sweep.ts'

const usage = `npm run chaos -- [--minutes 30] [--seed N] [--nodes 3] [--clients 5] [--fault KIND,KIND …] [--split SECONDS]

Real nodes in network namespaces, a nemesis, and a checker. Needs Linux, root, iproute2 (ip, tc) and tmpfs.
  --fault   only these, once each, instead of --minutes of all: ${faultKinds.join(', ')}
  --split   nothing but two sides that do not hear each other for so long`

const values = parseFlags(usage, {
  minutes: { type: 'string', default: '30' },
  seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  nodes: { type: 'string', default: String(defaultOptions.nodes) },
  clients: { type: 'string', default: String(defaultOptions.clients) },
  fault: { type: 'string' },
  split: { type: 'string' },
})

const print = (text: string): void => void process.stdout.write(`${text}\n`)

async function main(): Promise<number> {
  const numbers = {
    seed: number('seed'),
    minutes: number('minutes'),
    nodes: number('nodes'),
    clients: number('clients'),
  }
  const kinds = values.fault?.split(',').map(faultKind)
  const splitMs = values.split === undefined ? null : number('split') * 1000
  const missing = await missingForNetwork(namePrefixOf(process.pid))
  if (missing !== null) {
    print(`skipped: chaos needs what this machine does not have: ${missing}`)
    return 0
  }
  const again = process.argv.slice(2).includes('--seed') ? '' : ` --seed ${numbers.seed}`
  const command = `npm run chaos -- ${process.argv.slice(2).join(' ')}${again}`.trimEnd()
  print(`seed ${numbers.seed}; run it again: ${command}`)

  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    // Also the second one, which npm sends after the terminal's: it must not end the cleaning.
    process.on(signal, () => {
      if (stop.signal.aborted) return
      print(`${signal}: cleaning up`)
      stop.abort(new Error(`ended by ${signal}`))
    })
  }
  const plan = (world: ChaosWorld) => {
    if (splitMs !== null) return split(world, splitMs)
    return kinds === undefined ? forSoLong(world, numbers.minutes * 60_000) : once(world, kinds)
  }
  const { seed, nodes, clients } = numbers
  let result: ChaosResult
  try {
    result = await runChaos({ ...defaultOptions, seed, nodes, clients, print, signal: stop.signal }, plan)
  } catch (error) {
    if (!stop.signal.aborted) throw error
    print('ended before its end: nothing was checked, nothing is left on the machine')
    return 130
  }
  print(`\n${summaryOf(result)}\n\nseed ${seed}`)
  if (result.violations.length === 0) {
    print('every guarantee held')
    return 0
  }
  print(`\nFAILED, ${result.violations.length} violations\n${storyOf(result.violations, result.lines)}`)
  print(`\nhistory, logs and disks: ${result.folder}\nrun it again: ${command}`)
  return 1
}

function number(name: 'split' | 'seed' | 'minutes' | 'nodes' | 'clients'): number {
  const value = Number(values[name])
  if (Number.isFinite(value) && value > 0) return value
  return endUsage(`--${name} is ${values[name]}; allowed: a number above 0`)
}

function faultKind(name: string): FaultKind {
  const kind = faultKinds.find(known => known === name)
  if (kind !== undefined) return kind
  return endUsage(`--fault is ${name}; allowed: ${faultKinds.join(', ')}`)
}

process.exitCode = await main()
