// Listens: refuses what would be open to strangers, and comes back to the port that others know.
import type { Clock } from '../core/clock.ts'
import { GlynError } from '../core/errors.ts'
import { createLibp2pMesh } from '../mesh/libp2p/libp2p-mesh.ts'
import { isLoopbackAddress, parseListenAddress } from '../mesh/listen-address.ts'
import type { Mesh } from '../mesh/mesh.ts'
import type { DataDirectory } from './data-directory.ts'
import type { CompleteNodeOptions } from './node-options.ts'
import { rememberedListen, rememberListen } from './node-settings.ts'

export async function startMesh(init: {
  readonly options: CompleteNodeOptions
  readonly directory: DataDirectory
  readonly clock: Clock
}): Promise<Mesh> {
  const { options, directory } = init
  for (const address of options.listen) parseListenAddress(address)
  refuseOpenDoors(options)
  const remembered = rememberedListen(directory.store, options.listen)
  if (remembered !== undefined) {
    try {
      return await listenOn(remembered, init)
    } catch (error) {
      options.log.warn(
        { listen: remembered, error: String(error) },
        'mesh: the port of last time is taken; taking another',
      )
    }
  }
  const mesh = await listenOn(options.listen, init)
  const chosen = withPorts(options.listen, mesh.addresses())
  if (chosen !== undefined) await rememberListen(directory.store, { wish: options.listen, listen: chosen })
  return mesh
}

async function listenOn(listen: readonly string[], init: Parameters<typeof startMesh>[0]): Promise<Mesh> {
  const { options, directory, clock } = init
  const mesh = await createLibp2pMesh({
    privateKey: directory.identity.privateKey,
    scope: options.scope,
    listen,
    ...(options.announce === undefined ? {} : { announce: options.announce }),
    ...(options.secret === undefined ? {} : { secret: options.secret }),
    mdns: options.mdns,
    clock,
    log: options.log,
    mode: 'node',
  })
  try {
    await mesh.start()
  } catch (error) {
    await mesh.stop()
    throw error
  }
  return mesh
}

/** Guarantee G7: without a secret, whoever reaches the port could join, publish and read. */
function refuseOpenDoors({ listen, secret }: CompleteNodeOptions): void {
  if (secret !== undefined) return
  const open = listen.filter(address => !isLoopbackAddress(address))
  if (open.length === 0) return
  throw new GlynError(
    'INSECURE_LISTEN',
    `listen is ${open.join(', ')}, which others can reach, and there is no mesh secret: anybody could join and read. ` +
      'Make a secret with "glyn-node keygen swarm.key", copy the file to every node and start each with --secret-file swarm.key; ' +
      'or listen on loopback: /ip4/127.0.0.1/tcp/0',
  )
}

/** The wish with the port that was picked in place of 0; undefined when there is nothing to remember. */
function withPorts(wish: readonly string[], addresses: readonly string[]): readonly string[] | undefined {
  const [only] = wish
  const port = /\/tcp\/(\d+)/.exec(addresses[0] ?? '')?.[1]
  if (wish.length !== 1 || only === undefined || port === undefined || !/\/tcp\/0$/.test(only))
    return undefined
  return [only.replace(/\/tcp\/0$/, `/tcp/${port}`)]
}
