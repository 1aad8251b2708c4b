// A mesh as one process sees it: what arrives waits while the process is paused, and nothing arrives when it is dead.
// Gossip comes late, twice and out of order, as the seed wants it.
import type { Mesh } from '../../mesh/mesh.ts'
import type { SimulatedProcess } from './simulated-process.ts'

export interface SimulatedMeshInit {
  readonly mesh: Mesh
  readonly process: SimulatedProcess
  /** The delays after which a message of the topic is handled: one of 0 for once and at once, none for a loss. */
  readonly gossipDelaysMs: () => readonly number[]
  /** Told of every frame before it leaves. */
  readonly onSend: (to: string, channel: 'raft' | 'bulk' | 'rpc', frame: Uint8Array) => void
  readonly after: (delayMs: number, action: () => void) => void
}

export function createSimulatedMesh(init: SimulatedMeshInit): Mesh {
  const { mesh, process } = init
  /** What is answered while the process stands still is answered when it goes on. */
  const taken = <T>(promise: Promise<T>): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      promise.then(
        value => process.take(() => resolve(value)),
        (error: unknown) => process.take(() => reject(error)),
      )
    })

  return {
    ...mesh,
    connect: (address, options) => taken(mesh.connect(address, options)),
    onPeerChange: listener =>
      mesh.onPeerChange((peerId, connected) => process.take(() => listener(peerId, connected))),
    send(to, channel, frame) {
      init.onSend(to, channel, frame)
      return mesh.send(to, channel, frame)
    },
    handle: (channel, handler) =>
      mesh.handle(channel, (from, frame) => process.take(() => handler(from, frame))),
    subscribe: (topic, handler) =>
      mesh.subscribe(topic, {
        validate: (from, data) => (process.state === 'running' ? handler.validate(from, data) : 'accept'),
        handle(from, data) {
          for (const delayMs of init.gossipDelaysMs()) {
            init.after(delayMs, () =>
              process.take(() => {
                if (handler.validate(from, data) === 'accept') handler.handle(from, data)
              }),
            )
          }
        },
      }),
    setRecordRules: rules =>
      mesh.setRecordRules({
        ...rules,
        validate: (key, value) =>
          new Promise<void>((resolve, reject) => {
            process.take(() => void rules.validate(key, value).then(resolve, reject))
          }),
      }),
    putRecord: (key, value, options) => taken(mesh.putRecord(key, value, options)),
    getRecord: (key, options) => taken(mesh.getRecord(key, options)),
  }
}
