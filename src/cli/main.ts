// The command line: finds the command, loads its file alone, runs it, and turns its end into an exit code.
import { Command } from 'commander'
import { packageVersion } from '../node/version.ts'
import { watchThreads } from './end-process.ts'
import { type CommandContext, type Io, processIo } from './io.ts'
import { reportFailure } from './report-failure.ts'

type Load = (context: CommandContext) => Promise<Command>

/** In the order of `--help`. */
const commands: readonly { readonly name: string; readonly summary: string; readonly load: Load }[] = [
  {
    name: 'start',
    summary: 'run a node',
    load: async context => (await import('./commands/start.ts')).createStartCommand(context),
  },
  {
    name: 'send-command',
    summary: 'send a command to an aggregate, or a batch of them',
    load: async context => (await import('./commands/send-command.ts')).createSendCommandCommand(context),
  },
  {
    name: 'state',
    summary: 'show the state of an aggregate',
    load: async context => (await import('./commands/state.ts')).createStateCommand(context),
  },
  {
    name: 'events',
    summary: 'show the events of an aggregate or of all, and follow them',
    load: async context => (await import('./commands/events.ts')).createEventsCommand(context),
  },
  {
    name: 'stats',
    summary: 'show what a node, or one aggregate, amounts to',
    load: async context => (await import('./commands/stats.ts')).createStatsCommand(context),
  },
  {
    name: 'snapshot',
    summary: 'show the snapshot of an aggregate, or make snapshots again',
    load: async context => (await import('./commands/snapshot.ts')).createSnapshotCommand(context),
  },
  {
    name: 'query',
    summary: 'ask a query a question',
    load: async context => (await import('./commands/query.ts')).createQueryCommand(context),
  },
  {
    name: 'sql',
    summary: 'read a read model with SQL',
    load: async context => (await import('./commands/sql.ts')).createSqlCommand(context),
  },
  {
    name: 'queries',
    summary: 'list, watch, rebuild and pause queries, and what is parked in them',
    load: async context => (await import('./commands/queries.ts')).createQueriesCommand(context),
  },
  {
    name: 'publish',
    summary: 'tell the queries of all nodes something that is not stored',
    load: async context => (await import('./commands/publish.ts')).createPublishCommand(context),
  },
  {
    name: 'subscribers',
    summary: 'show which nodes run which queries',
    load: async context => (await import('./commands/subscribers.ts')).createSubscribersCommand(context),
  },
  {
    name: 'status',
    summary: 'show the node, its cluster and what is wrong',
    load: async context => (await import('./commands/status.ts')).createStatusCommand(context),
  },
  {
    name: 'members',
    summary: 'list the members, or remove one for ever',
    load: async context => (await import('./commands/members.ts')).createMembersCommand(context),
  },
  {
    name: 'leave',
    summary: 'take a node out of the cluster: what it holds moves to others first',
    load: async context => (await import('./commands/leave.ts')).createLeaveCommand(context),
  },
  {
    name: 'forget',
    summary: 'destroy the keys of a subject: nobody can read the data of its events any more',
    load: async context => (await import('./commands/forget.ts')).createForgetCommand(context),
  },
  {
    name: 'placement',
    summary: 'show which node holds which partition',
    load: async context => (await import('./commands/placement.ts')).createPlacementCommand(context),
  },
  {
    name: 'explain',
    summary: 'show where an aggregate lives, why, and how far its replicas and queries are',
    load: async context => (await import('./commands/explain.ts')).createExplainCommand(context),
  },
  {
    name: 'doctor',
    summary: 'check an installation: files, history, disk, keys, members',
    load: async context => (await import('./commands/doctor.ts')).createDoctorCommand(context),
  },
  {
    name: 'recover',
    summary: 'go on with what is left after a majority of the nodes is lost for good',
    load: async context => (await import('./commands/recover.ts')).createRecoverCommand(context),
  },
  {
    name: 'export',
    summary: 'write the events of a store to a file',
    load: async context => (await import('./commands/export.ts')).createExportCommand(context),
  },
  {
    name: 'import',
    summary: 'read the events of an export into a running node',
    load: async context => (await import('./commands/import.ts')).createImportCommand(context),
  },
  {
    name: 'backup',
    summary: 'write the history of the whole cluster into one file, or verify such a file',
    load: async context => (await import('./commands/backup.ts')).createBackupCommand(context),
  },
  {
    name: 'restore',
    summary: 'make a new data directory from a backup',
    load: async context => (await import('./commands/restore.ts')).createRestoreCommand(context),
  },
  {
    name: 'init',
    summary: 'make a config folder to start from',
    load: async context => (await import('./commands/init.ts')).createInitCommand(context),
  },
  {
    name: 'keygen',
    summary: 'make the secret that the nodes of a cluster share',
    load: async context => (await import('./commands/keygen.ts')).createKeygenCommand(context),
  },
]

const examples = `
Begin:
  $ glyn-node init                                                   a config folder with a bank in it
  $ glyn-node start --topic bank_events                              a node; leave it running
  $ glyn-node send-command bank_account acc-1 OpenAccount
  $ glyn-node send-command bank_account acc-1 DepositMoney amount:=100
  $ glyn-node state bank_account acc-1
  $ glyn-node query balance get id=acc-1

\`glyn-node <command> --help\` shows the options of a command, and examples.
Settings: flags, then GLYN_* in the environment, then config/glyn.yaml.
Exit codes: 0 done, 1 unexpected, 2 usage, 3 rejected by the domain, 4 unavailable (retry with the same id), 5 not found,
6 the store failed.`

/** Runs one command line (without the executable's own name). Never throws; returns the exit code. */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  let exitCode = 0
  const context: CommandContext = {
    io,
    setExitCode(code) {
      exitCode = code
    },
  }
  try {
    const program = await createProgram(argv, context)
    await program.parseAsync(argv, { from: 'user' })
    return exitCode
  } catch (error) {
    return await reportFailure(io, error, {
      isJson: wantsJson(argv),
      isSending: argv[0] === 'send-command',
    })
  }
}

/** The executable. */
export async function main(): Promise<void> {
  const io = processIo()
  const end = watchThreads()
  // A reader that goes away, as in `events | head`, ends the command without a complaint.
  process.stdout.on('error', error => {
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') process.exit(0)
    throw error
  })
  const code = await run(process.argv.slice(2), io)
  await Promise.all([io.stdout, io.stderr].map(stream => new Promise(done => stream.write('', done))))
  await end(code, text => new Promise(done => io.stderr.write(text, done)))
}

async function createProgram(argv: readonly string[], context: CommandContext): Promise<Command> {
  const program = new Command('glyn-node')
    .description('Event-sourced aggregates on several machines, without a broker or a database to operate.')
    .version(packageVersion, '--version')
    .addHelpText('after', examples)
    .showSuggestionAfterError()
  for (const { name, summary, load } of commands) {
    const command = argv.includes(name) ? await load(context) : new Command(name)
    program.addCommand(command.summary(summary))
  }
  applyHabits(program, context.io)
  return program
}

/** Commander neither exits nor writes to the process by itself. */
function applyHabits(command: Command, io: Io): void {
  command
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({
      writeOut: text => void io.stdout.write(text),
      writeErr: text => void io.stderr.write(text),
      // The error is thrown as well, and reported in one place.
      outputError: () => {},
      getOutHelpWidth: () => io.stdout.columns ?? 100,
      getOutHasColors: () => io.stdout.isTTY === true && (io.env['NO_COLOR'] ?? '') === '',
    })
  for (const child of command.commands) applyHabits(child, io)
}

function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--')
  return (end === -1 ? argv : argv.slice(0, end)).includes('--json')
}
