// The identity of a node: an Ed25519 key in a file of its own, made once, never replaced.
import { randomBytes } from 'node:crypto'
import { link, open, readFile, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { GlynError } from '../../core/errors.ts'

export interface Identity {
  /** The libp2p peer id in text. */
  readonly peerId: string
  readonly privateKey: PrivateKey
  /** True if the file was not there before. */
  readonly created: boolean
}

/**
 * Reads the key of the file, or makes one and writes it: mode 0600, in one step, durable before this resolves.
 * Throws INVALID_CONFIGURATION when the file holds no such key; it is never overwritten.
 */
export async function loadOrCreateIdentity(path: string): Promise<Identity> {
  const known = await readKey(path)
  if (known !== undefined) return identityOf(known, false)
  const privateKey = await generateKeyPair('Ed25519')
  if (await createDurably(path, privateKeyToProtobuf(privateKey))) return identityOf(privateKey, true)
  const winner = await readKey(path)
  if (winner === undefined)
    throw new GlynError('INVALID_CONFIGURATION', `${path} appeared and vanished again`)
  return identityOf(winner, false)
}

/** An identity that no file keeps: for a sender of commands that is gone in a moment. */
export async function createEphemeralIdentity(): Promise<Identity> {
  return identityOf(await generateKeyPair('Ed25519'), true)
}

const identityOf = (privateKey: PrivateKey, created: boolean): Identity => ({
  peerId: peerIdFromPrivateKey(privateKey).toString(),
  privateKey,
  created,
})

async function readKey(path: string): Promise<PrivateKey | undefined> {
  let bytes: Uint8Array
  try {
    bytes = await readFile(path)
  } catch (cause) {
    if (isFileError(cause, 'ENOENT')) return undefined
    throw new GlynError('INVALID_CONFIGURATION', `cannot read the identity ${path}: ${messageOf(cause)}`, {
      cause,
    })
  }
  try {
    const privateKey = privateKeyFromProtobuf(bytes)
    if (privateKey.type === 'Ed25519') return privateKey
    throw new Error(`its type is ${privateKey.type}`)
  } catch (cause) {
    throw new GlynError(
      'INVALID_CONFIGURATION',
      `${path} is not an identity (${messageOf(cause)}); allowed: an Ed25519 key as libp2p writes it, in protobuf`,
      { cause },
    )
  }
}

/** False when another process was first. The file is never seen half-written. */
async function createDurably(path: string, bytes: Uint8Array): Promise<boolean> {
  const draft = `${path}.${randomBytes(6).toString('hex')}.tmp`
  const file = await open(draft, 'wx', 0o600)
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
  try {
    await link(draft, path)
  } catch (cause) {
    if (isFileError(cause, 'EEXIST')) return false
    throw cause
  } finally {
    await unlink(draft)
  }
  const folder = await open(dirname(path), 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
  return true
}

const isFileError = (cause: unknown, code: string): boolean =>
  cause instanceof Error && (cause as { code?: unknown }).code === code

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))
