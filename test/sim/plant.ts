// A copy of the source with a bug in it.
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Change, PlantedBug } from './planted-bugs.ts'

const project = fileURLToPath(new URL('../..', import.meta.url))

/** Copies what the simulator needs into an empty folder and plants the bug there. Throws when the source has moved on. */
export function plant(bug: PlantedBug, folder: string): void {
  for (const name of ['src', 'test', 'config', 'package.json'])
    cpSync(join(project, name), join(folder, name), { recursive: true })
  symlinkSync(join(project, 'node_modules'), join(folder, 'node_modules'))
  for (const change of bug.changes) {
    const path = join(folder, change.file)
    writeFileSync(path, changed(readFileSync(path, 'utf8'), change))
  }
}

/** Throws when the text to change does not occur exactly once. */
export function changed(text: string, { file, find, replace }: Change): string {
  const pieces = text.split(find)
  if (pieces.length !== 2) {
    throw new Error(
      `${file} has ${pieces.length - 1} places that read ${JSON.stringify(find)}; a planted bug needs exactly one`,
    )
  }
  return pieces.join(replace)
}
