// The mesh secret: a libp2p pre-shared key, 95 bytes of text in three lines.
import { randomBytes } from 'node:crypto'
import { GlynError } from '../../core/errors.ts'

const firstLine = '/key/swarm/psk/1.0.0/'
const secondLine = '/base16/'

/** A new secret as the bytes of its file. */
export const createSwarmKey = (): Uint8Array =>
  Buffer.from(`${firstLine}\n${secondLine}\n${randomBytes(32).toString('hex')}`)

/**
 * The secret in the form that libp2p takes. `name` says where the bytes are from; they are never shown.
 * Throws INVALID_CONFIGURATION that says what is wrong.
 */
export function parseSwarmKey(bytes: Uint8Array, name: string): Uint8Array {
  const complain = (what: string): never => {
    throw new GlynError(
      'INVALID_CONFIGURATION',
      `${name} is not a mesh secret: ${what}; allowed: three lines, ${firstLine}, ${secondLine} and 64 hex digits, as keygen writes them`,
    )
  }
  if (bytes.length === 0) return complain('it is empty')
  if (bytes.length > 1024) return complain(`it has ${bytes.length} bytes`)
  const lines = Buffer.from(bytes).toString('utf8').trimEnd().split(/\r?\n/)
  if (lines.length !== 3) return complain(`it has ${lines.length} lines`)
  if (lines[0] !== firstLine) return complain(`its first line is not ${firstLine}`)
  if (lines[1] !== secondLine) return complain(`its second line is not ${secondLine}`)
  const digits = lines[2] ?? ''
  if (digits.length !== 64) return complain(`its key has ${digits.length} digits`)
  if (!/^[0-9a-fA-F]+$/.test(digits)) return complain('its key has characters that are no hex digits')
  return Buffer.from(`${firstLine}\n${secondLine}\n${digits.toLowerCase()}`)
}
