// A checker that finds nothing proves nothing: each kind of violation is planted into a right history, and found.
import t from 'tap'
import { checkHistory } from './check-history.ts'
import type { DumpedEvent, NodeDump } from './dump.ts'
import type { HistoryLine } from './history.ts'
import { command, createSmallRun, cut, event, query, read, refused, type SmallRun } from './small-history.ts'

t.test('a right history has no violations', async t => {
  const { lines, dump } = createSmallRun()
  t.same(checkHistory(lines, dump), [])
})

/** The same events on all nodes, in logs, feeds and queries: what clients were told is what is wrong. */
const everywhere = (run: SmallRun, events: readonly DumpedEvent[]): SmallRun => ({
  ...run,
  dump: {
    ...run.dump,
    nodes: run.dump.nodes.map(node => ({
      ...node,
      events: [...events],
      feed: [...events],
      tally: [...events],
    })),
  },
})

const atNode = (run: SmallRun, name: string, change: (node: NodeDump) => Partial<NodeDump>): SmallRun => ({
  ...run,
  dump: {
    ...run.dump,
    nodes: run.dump.nodes.map(node => (node.node === name ? { ...node, ...change(node) } : node)),
  },
})

const eventsOf = (run: SmallRun): readonly DumpedEvent[] => run.dump.nodes[0]?.events ?? []
const withLines = (run: SmallRun, ...lines: readonly HistoryLine[]): SmallRun => ({
  ...run,
  lines: [...run.lines, ...lines],
})
const swap = <Value>(values: readonly Value[], a: number, b: number): Value[] =>
  values.map((value, place) => (place === a ? values[b] : place === b ? values[a] : value) as Value)

interface Planted {
  readonly name: string
  readonly plant: (run: SmallRun) => SmallRun
  readonly expected: RegExp
}

const planted: readonly Planted[] = [
  {
    name: 'a lost acknowledged command',
    plant: run =>
      everywhere(
        run,
        eventsOf(run).filter(({ commandId }) => commandId !== 'c3'),
      ),
    expected: /^G1 withdraw c3 was acknowledged as sequence 4 of acc-0 .* and is lost$/,
  },
  {
    name: 'an acknowledged command on the disk of one voter only',
    plant(run) {
      const without = (node: NodeDump) => ({
        events: node.events.filter(({ commandId }) => commandId !== 'c2'),
      })
      return atNode(atNode(run, 'n2', without), 'n3', without)
    },
    expected: /^G1 deposit c2 .*; on disk at 1 of 3 voters only$/,
  },
  {
    name: 'a command applied twice',
    plant(run) {
      const again = event(8, { aggregate: 'acc-0', sequence: 5, amount: 5, balance: 13, commandId: 'c2' })
      const longer = everywhere(run, [...eventsOf(run), again])
      const nodes = longer.dump.nodes.map(node => ({
        ...node,
        partitions: [{ partition: 1, commitIndex: 8, hashes: ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'] }],
      }))
      return { ...longer, dump: { ...longer.dump, nodes, committed: new Map([[1, 8]]) } }
    },
    expected: /^G3 command c2 was applied twice: sequences 3 and 5$/,
  },
  {
    name: 'a command that nobody sent',
    plant: run => ({ ...run, lines: run.lines.filter(line => line.commandId !== 'c4') }),
    expected: /^G2 nobody sent the command c4 of sequence 2 of acc-1/,
  },
  {
    name: 'a stale read',
    plant: run => withLines(run, ...read(11, { aggregate: 'acc-0', sequence: 3, balance: 15 })),
    expected: /^G2 process 2, read of acc-0: a stale read: sequence 3, after 4 had been seen$/,
  },
  {
    name: 'a read that goes back behind another read',
    plant(run) {
      // c4 was never acknowledged: only the first of these reads tells that it happened.
      const first = read(11, { aggregate: 'acc-1', sequence: 2, balance: 4 })
      return withLines(run, ...first, ...read(12, { aggregate: 'acc-1', sequence: 1, balance: 0 }))
    },
    expected: /^G2 process 0, read of acc-1: a stale read: sequence 1, after 2 had been seen$/,
  },
  {
    name: 'a read of what nobody had sent yet',
    plant: run => ({
      ...run,
      lines: [...run.lines, ...read(0, { aggregate: 'acc-0', sequence: 2, balance: 10 })],
    }),
    expected: /^G2 process 0, read of acc-0: it read sequence 2 when only 0 could have happened$/,
  },
  {
    name: 'a read of a state that never was',
    plant: run => withLines(run, ...read(11, { aggregate: 'acc-0', sequence: 4, balance: 9 })),
    expected: /^G2 process 2, read of acc-0: it read balance 9 at sequence 4, where it was 8$/,
  },
  {
    name: 'a command ordered before one that had ended when it began',
    plant(run) {
      const events = swap(eventsOf(run), 2, 3).map((moved, place) => ({
        ...moved,
        ...(place === 2 ? { index: 4, sequence: 2, balance: 5 } : {}),
        ...(place === 3 ? { index: 5, sequence: 3, balance: 15 } : {}),
      }))
      const lines = run.lines.filter(
        line => line.commandId !== 'c1' && line.commandId !== 'c2' && line.op !== 'read',
      )
      const [first, second] = [events[3], events[2]]
      const told = [
        ...command(3, { op: 'deposit', commandId: 'c1', event: first }),
        ...command(5, { op: 'deposit', commandId: 'c2', event: second }),
      ]
      return { ...everywhere(run, events), lines: [...lines, ...told] }
    },
    expected: /^G2 process 2, deposit of acc-0: it began after sequence 3 was seen, and became 2$/,
  },
  {
    name: 'a refusal for a balance that never was',
    plant: run =>
      withLines(run, ...refused(11, { aggregate: 'acc-0', commandId: 'c6', amount: 50, balance: 15 })),
    expected:
      /^G2 process 2, withdraw of acc-0: refused for a balance of 15, which it never was from sequence 4 to 4$/,
  },
  {
    name: 'a command that was refused, and applied',
    plant: run => ({
      ...run,
      lines: [
        ...run.lines.filter(line => line.commandId !== 'c4'),
        ...refused(7, { aggregate: 'acc-1', commandId: 'c4', amount: 4, balance: 0 }),
      ],
    }),
    expected:
      /^G3 command c4 was refused \(cant_withdraw_more_than_current_balance\) and is sequence 2 of acc-1/,
  },
  {
    name: 'two different outcomes for one id',
    plant(run) {
      const other = event(6, { aggregate: 'acc-0', sequence: 5, amount: 7, balance: 1, commandId: 'c3' })
      const again = command(11, { op: 'withdraw', commandId: 'c3', event: other, isAgain: true })
      return withLines(run, ...again)
    },
    expected: /^G3 withdraw c3 was acknowledged as sequence 5 of acc-0 .* and is sequence 4 of acc-0/,
  },
  {
    name: 'a command that became something else',
    plant: run =>
      everywhere(
        run,
        eventsOf(run).map(own => (own.commandId === 'c4' ? { ...own, amount: 5, balance: 5 } : own)),
      ),
    expected: /^G2 deposit 4 to acc-1 became CustomerDepositedCash 5 of sequence 2 of acc-1/,
  },
  {
    name: 'a gap in the sequences of an aggregate',
    plant: run =>
      everywhere(
        run,
        eventsOf(run).map(own => (own.commandId === 'c3' ? { ...own, sequence: 5 } : own)),
      ),
    expected: /^G2 acc-0: sequence 5 stands where 4 should \(index 6\)$/,
  },
  {
    name: 'a gap in a feed',
    plant: run => atNode(run, 'n2', ({ feed }) => ({ feed: (feed ?? []).toSpliced(2, 1) })),
    expected:
      /^G4 the feed of n2, partition 1: it saw acc-0 3 \(index 5\) where acc-0 2 \(index 4\) was due$/,
  },
  {
    name: 'the end of a feed that never came',
    plant: run => atNode(run, 'n2', ({ feed }) => ({ feed: (feed ?? []).slice(0, -1) })),
    expected: /^G4 the feed of n2, partition 1: it never saw acc-1 2 \(index 7\)$/,
  },
  {
    name: 'events in the wrong order',
    plant: run => atNode(run, 'n1', ({ tally }) => ({ tally: swap(tally ?? [], 3, 4) })),
    expected:
      /^G4 the query tally of n1, partition 1: it saw acc-0 4 \(index 6\) where acc-0 3 \(index 5\) was due$/,
  },
  {
    name: 'a query that saw an event twice',
    plant: run =>
      atNode(run, 'n3', ({ tally }) => ({
        tally: (tally ?? []).flatMap((own, place) => (place === 4 ? [own, own] : [own])),
      })),
    expected: /^G4 the query tally of n3, partition 1: it saw acc-0 4 \(index 6\) twice$/,
  },
  {
    name: 'a query that counted twice',
    plant: run => atNode(run, 'n3', ({ balances }) => ({ balances: { ...balances, 'acc-0': 1 } })),
    expected: /^G4 the query balance of n3 has 1 for acc-0; its events add up to 8$/,
  },
  {
    name: 'a query that answers something else than it has',
    plant: run => atNode(run, 'n3', ({ answers }) => ({ answers: { ...answers, 'acc-1': null } })),
    expected: /^G4 the query balance of n3 answers nothing for acc-1; its events add up to 4$/,
  },
  {
    name: 'a query that had not seen what it had to wait for',
    plant: run => withLines(run, ...query(11, { aggregate: 'acc-0', balance: 10, afterSequence: 4 })),
    expected:
      /^G2 process 2, query of acc-0: it answered 10, which the balance never was from sequence 4 to 4$/,
  },
  {
    name: 'diverging logs',
    plant: run =>
      atNode(run, 'n2', () => ({
        partitions: [{ partition: 1, commitIndex: 7, hashes: ['a', 'b', 'c', 'd', 'e', 'F', 'G'] }],
      })),
    expected: /^G2 partition 1: the logs of n1 and n2 part at index 6$/,
  },
  {
    name: 'a removed node that committed something else',
    plant: run =>
      atNode(run, 'n3', () => ({
        isMember: false,
        partitions: [{ partition: 1, commitIndex: 4, hashes: ['a', 'b', 'c', 'D'] }],
      })),
    expected: /^G2 partition 1: the logs of n1 and n3 part at index 4$/,
  },
  {
    name: 'a voter that never caught up',
    plant: run =>
      atNode(run, 'n2', () => ({
        partitions: [{ partition: 1, commitIndex: 5, hashes: ['a', 'b', 'c', 'd', 'e'] }],
      })),
    expected: /^G1 partition 1: committed up to 7, voter n2 ends at 5$/,
  },
  {
    name: 'a damaged log',
    plant: run => atNode(run, 'n2', () => ({ damage: ['partition 1, index 3: it is missing'] })),
    expected: /^G1 n2: partition 1, index 3: it is missing$/,
  },
  {
    name: 'a minority that acknowledged',
    plant: run => {
      const lines = run.lines.toSpliced(8, 0, cut(5, { phase: 'begin', node: 'n3' }))
      return { ...run, lines: [...lines, cut(20, { phase: 'end', node: 'n3' })] }
    },
    expected: /^G5 n3 was cut off from 490 to 1990 ms and answered deposit of acc-0 by process 2 at 550 ms$/,
  },
]

for (const { name, plant, expected } of planted) {
  t.test(`${name} is found`, async t => {
    const { lines, dump } = plant(createSmallRun())
    const found = checkHistory(lines, dump).map(({ guarantee, text }) => `${guarantee} ${text}`)
    t.ok(
      found.some(text => expected.test(text)),
      found.join('\n'),
    )
  })
}

t.test('what may be is no violation', async t => {
  const mayBe: Readonly<Record<string, (run: SmallRun) => SmallRun>> = {
    'a command of unknown outcome that never happened': run => {
      const [invoked, ended] = createSmallRun().lines.filter(line => line.commandId === 'c4')
      if (invoked === undefined || ended === undefined) throw new Error('there is no c4')
      const never = [invoked, ended].map(line => ({ ...line, commandId: 'c7', process: 300 }) as HistoryLine)
      return withLines(run, ...never)
    },
    'a removed node whose disk ends with what was never committed': run => {
      const { lines, dump } = atNode(run, 'n3', () => ({
        isMember: false,
        partitions: [{ partition: 1, commitIndex: 3, hashes: ['a', 'b', 'c', 'D'] }],
      }))
      return { lines, dump: { ...dump, voters: new Map([[1, ['n1', 'n2']]]) } }
    },
    'a query that lags': run => withLines(run, ...query(11, { aggregate: 'acc-0', balance: 10 })),
    'a read that began before the command ended': run => {
      const [invoked, ended] = read(6, { aggregate: 'acc-0', sequence: 3, balance: 15 })
      if (invoked === undefined || ended === undefined) throw new Error('a read has two lines')
      return withLines(run, ...[invoked, ended].map(line => ({ ...line, process: 301 }) as HistoryLine))
    },
    'an answer of a node that is cut off about what was decided before': run => {
      const begin = cut(9, { phase: 'begin', node: 'n1' })
      const lines = run.lines.filter(line => line.op !== 'query')
      return { ...run, lines: [...lines, begin, cut(20, { phase: 'end', node: 'n1' })] }
    },
  }
  for (const [name, change] of Object.entries(mayBe)) {
    const { lines, dump } = change(createSmallRun())
    t.same(checkHistory(lines, dump), [], name)
  }
})
