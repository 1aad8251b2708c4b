// A whole node with a config folder of a test's own, and what its handlers wrote down.
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { LogFields } from '../../src/core/log.ts'
import { createNode } from '../../src/node/create-node.ts'
import type { NodeApi } from '../../src/node/node-api.ts'
import type { NodeOptions } from '../../src/node/node-options.ts'
import type { ReactionStatus } from '../../src/reaction/reactions.ts'
import { counter, testTiming } from '../node/memory-cluster.ts'
import { directoryOf } from '../support/directory-of.ts'

export interface TestOfNodes {
  testdir(): string
  teardown(action: () => Promise<void>): void
}

export interface Place {
  readonly folder: string
  /** Text by path below the config folder. */
  write(files: Readonly<Record<string, string>>): void
  start(options?: Partial<NodeOptions>): Promise<NodeApi>
  /** What `note('<name>', …)` wrote. */
  notes(name: string): readonly string[]
  readonly lines: { readonly level: string; readonly message: string }[]
}

export function createPlace(t: TestOfNodes): Place {
  const folder = directoryOf(t)
  const notes = join(folder, 'notes')
  mkdirSync(notes)
  const lines: Place['lines'] = []
  const write = (level: string) => (_fields: LogFields, message: string) =>
    void lines.push({ level, message })
  const log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
  const place: Place = {
    folder,
    lines,
    write(files) {
      for (const [name, text] of Object.entries({ 'handlers/_note.ts': noteModule(notes), ...files })) {
        const path = join(folder, 'config', name)
        mkdirSync(dirname(path), { recursive: true })
        writeFileSync(path, text)
      }
    },
    async start(options = {}) {
      const node = await createNode({
        topic: 'test',
        dataDirectory: join(folder, 'data'),
        configDirectory: join(folder, 'config'),
        partitions: 2,
        aggregates: [counter],
        timing: testTiming,
        log,
        ...options,
      })
      t.teardown(() => node.close())
      return node
    },
    notes(name) {
      const path = join(notes, name)
      return existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n') : []
    },
  }
  writeFileSync(join(folder, 'package.json'), '{}')
  place.write({})
  return place
}

/** For handlers in threads: what they did outlives them. */
const noteModule = (folder: string): string => `
import { appendFileSync } from 'node:fs'
export const note = (name: string, text: string): void => appendFileSync(${JSON.stringify(folder)} + '/' + name, text + '\\n')
`

/** The same for code of this thread. */
export const noteHere = (place: Place, name: string, text: string): void =>
  appendFileSync(join(place.folder, 'notes', name), `${text}\n`)

export const reactionOf = async (node: NodeApi, name: string): Promise<ReactionStatus | undefined> =>
  (await node.status()).reactions.find(reaction => reaction.name === name)

export const add = (node: NodeApi, id: string, by = 1) =>
  node.execute('counter', id, { type: 'Add', data: { by } }, { timeoutMs: 60_000 })
