// What `doctor` finds without the history: the version of Node, folders and their permissions, files of the config folder,
// the disk.
import { readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { loadPluginFolder } from '../plugin/load-folder.ts'
import { stemOf } from '../plugin/plugin-files.ts'
import { normalizeQuery } from '../query/define-query.ts'
import { loadReactions } from '../reaction/load-reactions.ts'
import { diskOf } from './disk-of.ts'
import { counted, type DoctorCheck, type DoctorOptions, notOk, ok, skipped, textOf } from './doctor-check.ts'
import type { LoadedAggregates } from './loaded-aggregates.ts'
import { isNearlyFull } from './nearly-full.ts'

export function checkNodeVersion(found: string = process.versions.node): DoctorCheck {
  const { engines } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    readonly engines: { readonly node: string }
  }
  const wanted = engines.node.replace(/^>=/, '')
  const numbers = (text: string): readonly number[] => text.split('.').map(Number)
  const [major = 0, minor = 0] = numbers(found)
  const [majorMin = 0, minorMin = 0] = numbers(wanted)
  if (major > majorMin || (major === majorMin && minor >= minorMin)) return ok('node.js', `version ${found}`)
  return notOk('node.js', `version ${found}; allowed: ${wanted} or newer`, {
    remedy: `install Node.js ${wanted} or newer`,
  })
}

/** Only the owner may read what is in here: the key is the node's identity, the socket commands it. */
export function checkPermissions({ dataDirectory }: DoctorOptions): DoctorCheck[] {
  const checks: DoctorCheck[] = []
  for (const { name, isNeeded } of [
    { name: '', isNeeded: true },
    { name: 'identity.key', isNeeded: true },
    { name: 'control.sock', isNeeded: false },
  ]) {
    const path = name === '' ? dataDirectory : join(dataDirectory, name)
    const label = name === '' ? 'data directory' : name
    try {
      const mode = statSync(path).mode & 0o777
      const shown = mode.toString(8).padStart(4, '0')
      if ((mode & 0o077) === 0) checks.push(ok(label, `${path}, mode ${shown}`))
      else
        checks.push(
          notOk(label, `${path} has mode ${shown}: others than its owner have access`, {
            remedy: `chmod ${name === '' ? '700' : '600'} ${path}`,
          }),
        )
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code
      if (code === 'ENOENT' && !isNeeded) continue
      if (code === 'ENOENT' && name !== '') {
        checks.push(skipped(label, `${path} is not there yet`, 'glyn-node start makes it'))
        continue
      }
      checks.push(
        notOk(
          label,
          code === 'ENOENT' ? `${path} is not there` : `${path} cannot be looked at: ${textOf(error)}`,
          {
            remedy: 'name the right folder with --data-dir, or start a node, which makes it',
          },
        ),
      )
      return checks
    }
  }
  return checks
}

export async function checkConfig(
  { configDirectory }: DoctorOptions,
  loaded: LoadedAggregates,
): Promise<DoctorCheck[]> {
  if (configDirectory === null)
    return [
      notOk('config', 'there is no config folder', { state: 'warning', remedy: 'glyn-node init makes one' }),
    ]
  const checks: DoctorCheck[] = loaded.problems.map(problem =>
    notOk('aggregates', problem, { remedy: 'correct the file, and start the node again' }),
  )
  const types = [...loaded.bindings].map(([type, { definition }]) => {
    const chains = Object.keys((definition.upcast ?? {}) as object).length
    return chains === 0 ? type : `${type} (${counted(chains, 'upcast chain')})`
  })
  if (loaded.problems.length === 0)
    checks.push(ok('aggregates', types.length === 0 ? 'no files' : `loaded: ${types.sort().join(', ')}`))
  const queries = await loadPluginFolder({
    directory: join(configDirectory, 'queries'),
    kind: 'query',
    check: (value, file) => normalizeQuery(value, stemOf(file)),
    nameOf: query => query.name,
  })
  for (const { file, message } of queries.failed)
    checks.push(
      notOk('queries', message.includes(file) ? message : `${file}: ${message}`, {
        remedy: 'correct the file; a running node takes it up by itself',
      }),
    )
  if (queries.failed.length === 0) checks.push(ok('queries', namesOf(queries.loaded)))
  const reactions = await loadReactions({
    handlers: join(configDirectory, 'handlers'),
    processes: join(configDirectory, 'processes'),
  })
  for (const problem of reactions.problems)
    checks.push(notOk('reactions', problem, { remedy: 'correct the file, and start the node again' }))
  const { handlers, processes } = reactions
  if (reactions.problems.length === 0 && handlers.length + processes.length > 0)
    checks.push(
      ok('reactions', `${counted(handlers.length, 'handler')}, ${counted(processes.length, 'process file')}`),
    )
  return checks
}

const namesOf = (files: readonly { readonly file: string }[]): string =>
  files.length === 0 ? 'no files' : `loaded: ${files.map(({ file }) => stemOf(basename(file))).join(', ')}`

export function checkDisk({ dataDirectory }: DoctorOptions): DoctorCheck {
  const disk = diskOf(dataDirectory)
  if (disk === null) return skipped('disk', 'the system does not tell how much room there is')
  const mebibytes = (bytes: number): string => `${Math.round(bytes / 1024 ** 2)} MiB`
  const text = `${mebibytes(disk.freeBytes)} of ${mebibytes(disk.totalBytes)} are free`
  if (!isNearlyFull(disk)) return ok('disk', text)
  return notOk('disk', `nearly full: ${text}`, {
    remedy: 'make room or enlarge it; when it is full the node hands over what it leads, and stops',
  })
}
