// A voter is (peer id, storage id): a node that lost its disk comes back as another voter.

/** `<peer id>/<storage id>`. */
export type ReplicaId = string

export const replicaId = (identity: { readonly peerId: string; readonly storageId: string }): ReplicaId =>
  `${identity.peerId}/${identity.storageId}`

export const peerIdOf = (id: ReplicaId): string => id.slice(0, id.indexOf('/'))
export const storageIdOf = (id: ReplicaId): string => id.slice(id.indexOf('/') + 1)
