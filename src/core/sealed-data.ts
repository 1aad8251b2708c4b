// The form of encrypted data where they rest: JSON text like that of any other event, so that every store takes it.

/** The one field of encrypted data. No event may have data that begin with it. */
export const sealedField = '$encrypted'

/** AES-256-GCM. All in base64url. */
export interface SealedText {
  /** Ids of the keys: one of an event; of a snapshot all those that its state was made with. */
  readonly keys: readonly string[]
  readonly iv: string
  readonly tag: string
  readonly data: string
}

/** Cheap: a look at the first characters of data or state, which are JSON text. */
export const isLikeSealed = (text: string): boolean =>
  text.charCodeAt(2) === dollar && text.startsWith(sealedPrefix)

const sealedPrefix = `{"${sealedField}":`
const dollar = 36

export const formatSealed = (sealed: SealedText): string => JSON.stringify({ [sealedField]: sealed })

/** Undefined for what is not of this form: an older version let any data pass. */
export function parseSealed(text: string): SealedText | undefined {
  if (!isLikeSealed(text)) return undefined
  const outer = JSON.parse(text) as Readonly<Record<string, unknown>>
  const sealed = outer[sealedField]
  if (Object.keys(outer).length !== 1 || typeof sealed !== 'object' || sealed === null) return undefined
  const { keys, iv, tag, data } = sealed as Readonly<Record<string, unknown>>
  const areTexts = [iv, tag, data].every(value => typeof value === 'string')
  const areKeys = Array.isArray(keys) && keys.length > 0 && keys.every(key => typeof key === 'string')
  return areTexts && areKeys ? (sealed as SealedText) : undefined
}
