// Conversations as text: a script of commands, each with the output that is expected of it (after etcd's datadriven).
//
//   # a comment, kept where it is
//   add-nodes voters=3 spares=1        nodes 1..n on fresh disks, bootstrapped with entry 1; spares are empty
//   options electionTicks=10 …         before add-nodes: other settings
//   tick 1 [count] · stalled 1 · campaign 1 · propose 1 text [count] · read 1 7 · transfer 1 2
//   change 1 promote 4                 add-learner, promote, demote, remove
//   elect 1 2 3                        time runs out for all of them, and 1 is elected by 2 and 3; its no-op is not sent yet
//   ready 1 · write 1                  one `ready()`; the write under way becomes durable
//   slow-disk 1 · fast-disk 1          whether `stabilize` finishes writes of node 1
//   deliver 2 [type=append] [from=1] · drop [to=2] [from=1] [type=append] · network
//   isolate 1 · heal                   messages from and to node 1 are lost when they are sent
//   step 2 from=9 type=vote term=9 …   a message made by hand
//   stabilize [1 2 …]                  everything goes on, there, until nothing moves
//   crash 1 · restart 1                the write under way and everything in memory is lost
//   status 1 · log 1
//   quiet <command>                    without its output
import type { Entry } from '../../src/raft/entry.ts'
import type { RaftMessage } from '../../src/raft/message.ts'
import type {
  ChangeResult,
  ConfigurationChange,
  Persist,
  ProposeResult,
  Raft,
  RaftOptions,
} from '../../src/raft/raft.ts'
import { seededRandom } from '../../src/testing/simulator/seeded-random.ts'
import { createDisk, openRaft, type ReplicaDisk, writeToDisk } from './replica-disk.ts'

interface ScriptNode {
  readonly id: string
  readonly disk: ReplicaDisk
  raft: Raft | null
  write: Persist | null
  isSlow: boolean
}

const defaultOptions: RaftOptions = {
  electionTicks: 10,
  heartbeatTicks: 1,
  appendBytesMax: 100_000,
  inflightAppendsMax: 64,
  inflightBytesMax: 1_000_000,
  uncommittedBytesMax: 1_000_000,
}

/** The text of the script again, with the output that its commands gave this time. */
export function runScript(text: string): string {
  const script = new Script()
  const blocks: string[] = []
  for (const block of text.trimEnd().split(/\n\n+/)) {
    const [input = ''] = block.split('\n----')
    const lines = input.split('\n')
    const commands = lines.filter(line => !line.startsWith('#'))
    if (commands.length === 0) {
      blocks.push(input)
      continue
    }
    const output = commands.flatMap(command => script.run(command))
    blocks.push([...lines, '----', ...(output.length === 0 ? ['ok'] : output)].join('\n'))
  }
  return `${blocks.join('\n\n')}\n`
}

class Script {
  #options = defaultOptions
  readonly #nodes = new Map<string, ScriptNode>()
  #network: RaftMessage[] = []
  readonly #isolated = new Set<string>()
  #output: string[] = []

  run(command: string): readonly string[] {
    this.#output = []
    const words = command.split(' ').filter(word => word !== '')
    const [name = '', ...args] = words[0] === 'quiet' ? words.slice(1) : words
    try {
      this.#execute(name, args)
    } catch (error) {
      this.#say(`${(error as Error).name}: ${(error as Error).message}`)
    }
    return words[0] === 'quiet' ? [] : this.#output
  }

  #say(line: string): void {
    this.#output.push(line)
  }

  #execute(name: string, args: readonly string[]): void {
    const [first = '', second = '', third = ''] = args
    switch (name) {
      case 'options':
        this.#options = { ...this.#options, ...numbers(args) }
        break
      case 'add-nodes':
        this.#addNodes(numbers(args))
        break
      case 'tick':
        for (let count = Number(second || 1); count > 0; count -= 1) this.#raft(first).tick()
        break
      case 'stalled':
        this.#raft(first).stalled()
        break
      case 'campaign':
        this.#raft(first).campaign()
        break
      case 'elect':
        this.#elect(args)
        break
      case 'propose':
        for (let count = Number(third || 1); count > 0; count -= 1) {
          this.#say(formatResult(this.#raft(first).propose(Buffer.from(second))))
        }
        break
      case 'change': {
        const change = { type: second, id: third } as ConfigurationChange
        this.#say(formatResult(this.#raft(first).changeConfiguration(change)))
        break
      }
      case 'read':
        this.#say(this.#raft(first).readIndex(Number(second)) ? 'asked' : 'refused')
        break
      case 'transfer':
        this.#say(this.#raft(first).transferLeadership(second) ? 'under way' : 'refused')
        break
      case 'ready':
        this.#ready(this.#node(first))
        break
      case 'write':
        this.#finishWrite(this.#node(first))
        break
      case 'slow-disk':
      case 'fast-disk':
        this.#node(first).isSlow = name === 'slow-disk'
        break
      case 'deliver':
        this.#deliver({ ...fields(args), to: first })
        break
      case 'drop':
        for (const message of this.#take(fields(args))) this.#say(`lost ${formatMessage(message)}`)
        break
      case 'network':
        for (const message of this.#network) this.#say(formatMessage(message))
        break
      case 'isolate':
        this.#isolated.add(first)
        break
      case 'heal':
        this.#isolated.clear()
        break
      case 'step':
        this.#raft(first).step(handMade({ ...fields(args), to: first }))
        break
      case 'stabilize':
        this.#stabilize(args.length === 0 ? [...this.#nodes.keys()] : args)
        break
      case 'crash':
        this.#node(first).raft = null
        this.#node(first).write = null
        break
      case 'restart':
        this.#open(this.#node(first))
        break
      case 'status':
        this.#status(this.#raft(first))
        break
      case 'log':
        this.#log(this.#raft(first))
        break
      default:
        throw new Error(`no command ${name}`)
    }
  }

  #addNodes(init: Readonly<Record<string, number>>): void {
    const { voters = 0, learners = 0, spares = 0 } = init
    const ids = Array.from({ length: voters + learners + spares }, (_, place) => `${place + 1}`)
    const members = voters + learners
    const configuration = { voters: ids.slice(0, voters), learners: ids.slice(voters, members) }
    for (const [place, id] of ids.entries()) {
      const disk = place < members ? createDisk(configuration) : createDisk()
      const node = { id, disk, raft: null, write: null, isSlow: false }
      this.#nodes.set(id, node)
      this.#open(node)
    }
  }

  #open(node: ScriptNode): void {
    const { id, disk } = node
    node.raft = openRaft({ id, disk, random: seededRandom(Number(id)), options: this.#options })
  }

  #node(id: string): ScriptNode {
    const node = this.#nodes.get(id)
    if (node === undefined) throw new Error(`no node ${id}`)
    return node
  }

  #raft(id: string): Raft {
    const { raft } = this.#node(id)
    if (raft === null) throw new Error(`node ${id} is down`)
    return raft
  }

  #ready(node: ScriptNode): void {
    const { id } = node
    const { messages, persist, committed, reads, role } = this.#raft(id).ready()
    if (role !== null) {
      const { leader, term, reason, canServe } = role
      const serving = canServe ? ', can serve' : ''
      this.#say(`${id} ${role.role} term ${term} leader ${leader ?? 'none'}${serving}: ${reason}`)
    }
    this.#send(messages)
    if (persist !== null) {
      node.write = persist
      this.#say(`${id} writes ${formatPersist(persist)}`)
    }
    if (committed !== null) this.#say(`${id} committed ${committed.from}..${committed.to}`)
    for (const { context, index } of reads)
      this.#say(`${id} read ${context} at ${index ?? 'nothing: ask again'}`)
  }

  #finishWrite(node: ScriptNode): void {
    const { write } = node
    if (write === null) throw new Error(`node ${node.id} writes nothing`)
    node.write = null
    writeToDisk(node.disk, write)
    this.#raft(node.id).persisted()
    this.#say(`${node.id} has written`)
    this.#send(write.messages)
  }

  #send(messages: readonly RaftMessage[]): void {
    for (const message of messages) {
      const isLost = this.#isolated.has(message.from) || this.#isolated.has(message.to)
      this.#say(`${isLost ? 'lost' : 'sent'} ${formatMessage(message)}`)
      if (!isLost) this.#network.push(message)
    }
  }

  #take(wanted: Readonly<Record<string, string>>): readonly RaftMessage[] {
    const isWanted = (message: RaftMessage): boolean =>
      Object.entries(wanted).every(([key, value]) => message[key as 'to' | 'from' | 'type'] === value)
    const taken = this.#network.filter(isWanted)
    this.#network = this.#network.filter(message => !isWanted(message))
    return taken
  }

  #deliver(wanted: Readonly<Record<string, string>>): boolean {
    const messages = this.#take(wanted)
    for (const message of messages) {
      const { raft } = this.#node(message.to)
      if (raft === null) {
        this.#say(`lost ${formatMessage(message)}`)
        continue
      }
      raft.step(message)
    }
    return messages.length > 0
  }

  #elect(ids: readonly string[]): void {
    const [winner = ''] = ids
    for (const id of ids) {
      for (let tick = 0; tick < 2 * this.#options.electionTicks; tick += 1) this.#raft(id).tick()
    }
    for (const id of ids) while (this.#raft(id).hasReady()) this.#ready(this.#node(id))
    this.#network = []
    const isElected = (): boolean => this.#raft(winner).status().role === 'leader'
    // A vote given in the next term already costs one more term.
    for (let attempt = 0; attempt < 3 && !isElected(); attempt += 1) {
      this.#raft(winner).campaign()
      this.#stabilize(ids, isElected)
    }
    this.#network = []
  }

  #stabilize(ids: readonly string[], isEnough = () => false): void {
    for (let round = 0; round < 200; round += 1) {
      let isMoving = false
      for (const id of ids) {
        const node = this.#node(id)
        if (node.raft === null) continue
        while (node.raft.hasReady()) {
          this.#ready(node)
          isMoving = true
        }
        if (node.write === null || node.isSlow) continue
        this.#finishWrite(node)
        isMoving = true
      }
      for (const id of ids) isMoving = this.#deliver({ to: id }) || isMoving
      if (!isMoving || isEnough()) return
    }
    throw new Error('it never comes to rest')
  }

  #status(raft: Raft): void {
    const { id, role, term, leader, commitIndex, durableIndex, lastIndex, ...rest } = raft.status()
    const serving = rest.canServe ? ' can serve' : ''
    this.#say(`${id} ${role}${serving} term ${term} leader ${leader ?? 'none'}`)
    this.#say(`  commit ${commitIndex} durable ${durableIndex} last ${lastIndex}`)
    const { voters, learners } = rest.configuration
    this.#say(
      `  configuration ${rest.configurationIndex}: voters ${voters} learners ${learners.join(',') || 'none'}`,
    )
    if (rest.transferTarget !== null) this.#say(`  transferring to ${rest.transferTarget}`)
    for (const follower of rest.progress) {
      const seat = follower.voter ? 'voter' : 'learner'
      const claims = [follower.active ? 'active' : 'silent', ...(follower.caughtUp ? ['caught up'] : [])]
      this.#say(`  ${follower.id} ${seat} ${follower.state} match ${follower.match} ${claims.join(' ')}`)
    }
  }

  #log(raft: Raft): void {
    const { lastIndex } = raft.status()
    if (lastIndex === 0) this.#say('empty')
    else for (const entry of raft.entries(1, lastIndex, 1_000_000)) this.#say(formatEntry(entry))
  }
}

function fields(args: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(args.map(arg => arg.split('=', 2) as [string, string]))
}

function numbers(args: readonly string[]): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(fields(args)).map(([key, value]) => [key, Number(value)]))
}

/** Fields in the script are numbers, truth values or words. */
function handMade(given: Readonly<Record<string, string>>): RaftMessage {
  const parsed = Object.entries(given).map(([key, value]) => {
    if (key === 'from' || key === 'to' || key === 'type') return [key, value]
    return [key, value === 'true' ? true : value === 'false' ? false : Number(value)]
  })
  return { entries: [], ...Object.fromEntries(parsed) } as RaftMessage
}

const formatEntry = ({ index, term, kind, payload }: Entry): string =>
  kind === 'noop' ? `${index}/${term} noop` : `${index}/${term} ${kind} ${Buffer.from(payload)}`

const formatPlaces = (entries: readonly Entry[]): string =>
  entries.length === 0 ? 'nothing' : entries.map(({ index, term }) => `${index}/${term}`).join(' ')

function formatPersist({ hardState, truncateFrom, entries }: Persist): string {
  const parts: string[] = []
  if (hardState !== null) {
    parts.push(`term ${hardState.term} vote ${hardState.vote ?? 'none'} commit ${hardState.commit}`)
  }
  if (truncateFrom !== null) parts.push(`truncate from ${truncateFrom}`)
  if (entries.length > 0) parts.push(`entries ${formatPlaces(entries)}`)
  return parts.join(', ')
}

function formatMessage(message: RaftMessage): string {
  const head = `${message.from}>${message.to} ${message.type} term ${message.term}`
  switch (message.type) {
    case 'pre-vote':
      return `${head} last ${message.lastIndex}/${message.lastTerm}`
    case 'vote':
      return `${head} last ${message.lastIndex}/${message.lastTerm}${message.transfer ? ' transfer' : ''}`
    case 'pre-vote-response':
    case 'vote-response':
      return `${head} ${message.granted ? 'granted' : 'refused'}`
    case 'append': {
      const { previousIndex, previousTerm, entries, commit } = message
      return `${head} after ${previousIndex}/${previousTerm} ${formatPlaces(entries)} commit ${commit}`
    }
    case 'append-response':
      if (message.accepted) return `${head} accepted ${message.index}`
      return `${head} refused ${message.index} hint ${message.hintIndex}/${message.hintTerm}`
    case 'heartbeat':
      return `${head} commit ${message.commit} round ${message.readRound}`
    case 'heartbeat-response':
      return `${head} round ${message.readRound}`
    case 'timeout-now':
      return head
  }
}

const formatResult = (result: ProposeResult | ChangeResult): string =>
  result.type === 'appended' ? `appended ${result.index}/${result.term}` : `refused: ${result.reason}`
