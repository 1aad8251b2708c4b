// A new name in a folder is durable when the folder is.
import { open } from 'node:fs/promises'

export async function syncDirectory(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
