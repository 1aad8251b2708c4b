// Meshes over real libp2p on loopback, for tests.
import type t from 'tap'
import { createEphemeralIdentity } from '../../src/mesh/libp2p/identity.ts'
import { createLibp2pMesh, type Libp2pMesh, type Libp2pMeshInit } from '../../src/mesh/libp2p/libp2p-mesh.ts'
import type { Mesh } from '../../src/mesh/mesh.ts'
import { realClock, until } from './real-clock.ts'

export const scope = 'default'

const settings = new WeakMap<Mesh, Pick<Libp2pMeshInit, 'privateKey' | 'listen'>>()

/** The identity and the address of a mesh that was started here, to come back with. */
export const settingsOf = (mesh: Mesh): Pick<Libp2pMeshInit, 'privateKey' | 'listen'> | undefined =>
  settings.get(mesh)

/** A started mesh that stops with its test. */
export async function startMesh(
  test: Pick<typeof t, 'teardown'>,
  init: Partial<Libp2pMeshInit> = {},
  prepare: (mesh: Libp2pMesh) => void = () => {},
): Promise<Libp2pMesh> {
  const { privateKey } =
    init.privateKey === undefined ? await createEphemeralIdentity() : { privateKey: init.privateKey }
  const mesh = await createLibp2pMesh({
    privateKey,
    scope,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    clock: realClock,
    ...init,
  })
  prepare(mesh)
  await mesh.start()
  const port = /\/tcp\/(\d+)/.exec(mesh.addresses()[0] ?? '')?.[1] ?? '0'
  settings.set(mesh, { privateKey, listen: [`/ip4/127.0.0.1/tcp/${port}`] })
  test.teardown(() => mesh.stop())
  return mesh
}

/** Everybody is a member of everybody. */
export function introduce(meshes: readonly Libp2pMesh[]): void {
  const members = meshes.map(mesh => ({ peerId: mesh.peerId, addresses: mesh.addresses() }))
  for (const mesh of meshes) mesh.setMembers(members)
}

export async function startCluster(
  test: Pick<typeof t, 'teardown'>,
  count: number,
  init: Partial<Libp2pMeshInit> = {},
  prepare: (mesh: Libp2pMesh) => void = () => {},
): Promise<Libp2pMesh[]> {
  const meshes: Libp2pMesh[] = []
  for (let n = 0; n < count; n += 1) meshes.push(await startMesh(test, init, prepare))
  introduce(meshes)
  await untilConnected(meshes)
  return meshes
}

export const untilConnected = (meshes: readonly Libp2pMesh[], timeoutMs = 60_000): Promise<void> =>
  until(
    `${meshes.length} nodes are connected to each other`,
    () => meshes.every(mesh => meshes.every(other => other === mesh || mesh.isConnected(other.peerId))),
    timeoutMs,
  )
