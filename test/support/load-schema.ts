// The published schemas, for a reader of protobuf that knows nothing of our own codecs.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import protobuf from 'protobufjs'

const folder = fileURLToPath(new URL('../../proto', import.meta.url))

/** A file of `proto/` with what it imports. */
export async function loadSchema(file: string): Promise<protobuf.Root> {
  const root = new protobuf.Root()
  root.resolvePath = (_, target) => join(folder, target)
  return await root.load(file)
}
