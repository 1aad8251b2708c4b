// Which node a command talks to: the one of --data-dir through its socket, --url, or --peer.
import { join, resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { GlynError } from '../core/errors.ts'
import { type ControlClient, createControlClient } from '../http/control-client.ts'
import { controlSocketName } from '../http/control-socket.ts'
import type { PeerClient } from '../node/peer-client.ts'
import type { Io } from './io.ts'
import { readSecret, readToken } from './secret-files.ts'
import { loadSettings } from './settings.ts'
import { sourcesOf } from './sources-of.ts'
import { createStderrLog } from './stderr-log.ts'

export interface TargetFlags {
  readonly dataDir?: readonly string[]
  readonly url?: readonly string[]
  readonly peer?: string
  readonly config?: string
  readonly httpTokenFile?: string
  readonly scope?: string
  readonly secretFile?: string
}

const collect = (value: string, before: readonly string[] | undefined): string[] => [...(before ?? []), value]

/** `--data-dir`, `--url` and what belongs to them. */
export function addTargetOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--data-dir <dir>',
        'the node of this folder, through its socket (default: ./data)',
      ).argParser(collect),
    )
    .addOption(new Option('--url <url>', 'the node with this HTTP address').argParser(collect))
    .option('--http-token-file <file>', 'the token for --url; or set GLYN_HTTP_TOKEN')
    .option('--config <dir>', 'the folder with glyn.yaml (default: ./config)')
}

/** `--peer`, and what it takes to get into the mesh. */
export function addPeerOptions(command: Command): Command {
  return command
    .option('--peer <multiaddr>', 'no local node: find the leader through this member of the mesh')
    .option('--scope <scope>', 'with --peer: the scope of the cluster (default: default)')
    .option('--secret-file <file>', 'with --peer: the secret of the mesh')
}

/** The nodes named by the flags, one at least. Throws INVALID_ARGUMENT for a contradiction. */
export async function openControlClients(io: Io, flags: TargetFlags): Promise<ControlClient[]> {
  const { urls, dataDirectories, tokenFile } = findTargets(io, flags)
  const token = await readToken(io, tokenFile)
  return [
    ...dataDirectories.map(folder =>
      createControlClient({ socketPath: join(resolve(io.cwd, folder), controlSocketName) }),
    ),
    ...urls.map(url => createControlClient(token === undefined ? { url } : { url, token })),
  ]
}

/** The one node named by the flags. Throws INVALID_ARGUMENT for more. */
export async function openControlClient(io: Io, flags: TargetFlags): Promise<ControlClient> {
  const [client, ...more] = await openControlClients(io, flags)
  if (client !== undefined && more.length === 0) return client
  throw new GlynError('INVALID_ARGUMENT', `${more.length + 1} nodes are named; this command talks to one`)
}

/** Runs the call with the one node named by the flags, and closes the connection afterwards. */
export async function withControlClient(
  io: Io,
  flags: TargetFlags,
  call: (client: ControlClient) => Promise<void>,
): Promise<void> {
  const client = await openControlClient(io, flags)
  try {
    await call(client)
  } finally {
    await client.close()
  }
}

export type AggregateClient = PeerClient & Partial<Pick<ControlClient, 'subscribe'>>

/** As {@link withControlClient}; `--peer` will do as well. */
export async function withAggregateClient(
  io: Io,
  flags: TargetFlags,
  call: (client: AggregateClient) => Promise<void>,
): Promise<void> {
  const client = (await openPeer(io, flags)) ?? (await openControlClient(io, flags))
  try {
    await call(client)
  } finally {
    await client.close()
  }
}

/** Null without `--peer`. */
export async function openPeer(io: Io, flags: TargetFlags): Promise<PeerClient | null> {
  if (flags.dataDir !== undefined || flags.url !== undefined) {
    if (flags.peer === undefined) return null
    throw new GlynError('INVALID_ARGUMENT', '--peer stands alone: it goes with neither --data-dir nor --url')
  }
  const { settings } = loadSettings(['peer', 'scope', 'secret-file'], sourcesOf(io, flags))
  const { peer, scope } = settings
  if (peer === undefined) return null
  const secret = await readSecret(io, settings['secret-file'])
  const { createPeerClient } = await import('../node/create-peer-client.ts')
  const log = createStderrLog(io, { level: 'warn' })
  return await createPeerClient({ peer, scope, log, ...(secret === undefined ? {} : { secret }) })
}

function findTargets(io: Io, flags: TargetFlags) {
  const given = sourcesOf(io, { ...flags, dataDir: undefined, url: undefined })
  const { settings } = loadSettings(['data-dir', 'url', 'http-token-file'], given)
  const tokenFile = settings['http-token-file']
  // What is on the command line wins over both settings; of the settings, url.
  if (flags.dataDir !== undefined || flags.url !== undefined) {
    return { dataDirectories: flags.dataDir ?? [], urls: flags.url ?? [], tokenFile }
  }
  if (settings.url !== undefined) return { dataDirectories: [], urls: [settings.url], tokenFile }
  return { dataDirectories: [settings['data-dir']], urls: [], tokenFile }
}
