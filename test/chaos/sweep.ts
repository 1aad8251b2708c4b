// What a run leaves on the machine if it is killed: found by the prefix of its names, and removed by the next run.
import { readFileSync, readlinkSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { refusal, shell } from './shell.ts'

/** Of network namespaces and folders; the pid of the run follows. */
export const namePrefix = 'glyn-chaos-'

export const namePrefixOf = (pid: number): string => `${namePrefix}${pid}-`

/** Removes namespaces with their processes, mounts and folders of runs that are no more. Returns their names. */
export async function sweepOldRuns(): Promise<string[]> {
  const names = [...(await namespaces()), ...(await readdir(tmpdir()))].filter(isOfDeadRun)
  for (const prefix of new Set(names.map(name => namePrefixOf(pidIn(name))))) await sweep(prefix)
  return names
}

/** Removes everything whose name begins with the prefix. What is not there is no failure. */
export async function sweep(prefix: string): Promise<void> {
  for (const namespace of (await namespaces()).filter(name => name.startsWith(prefix))) {
    for (const pid of await pidsIn(namespace)) killAtOnce(pid)
    const said = await refusal('ip', 'netns', 'delete', namespace)
    if (said !== null && (await namespaces()).includes(namespace)) throw new Error(said)
  }
  await unmountBelow(join(tmpdir(), prefix))
  for (const name of await readdir(tmpdir())) {
    if (name.startsWith(prefix)) await rm(join(tmpdir(), name), { recursive: true, force: true })
  }
}

/** Unmounts what lies below; processes that still hold it keep it for themselves until they end. */
export async function unmountBelow(path: string): Promise<void> {
  for (const place of mountedBelow(path).toReversed()) {
    const said = await refusal('umount', '--lazy', place)
    // Two runs that begin together sweep the same.
    if (said !== null && mountedBelow(path).includes(place)) throw new Error(said)
  }
}

const mountedBelow = (path: string): string[] =>
  readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map(line => line.split(' ')[1] ?? '')
    .filter(place => place.startsWith(path))

async function namespaces(): Promise<string[]> {
  if ((await refusal('ip', 'netns', 'list')) !== null) return []
  const lines = (await shell('ip', 'netns', 'list')).split('\n')
  return lines.map(line => line.split(' ')[0] ?? '').filter(name => name.startsWith(namePrefix))
}

async function pidsIn(namespace: string): Promise<number[]> {
  try {
    return (await shell('ip', 'netns', 'pids', namespace)).split('\n').filter(Boolean).map(Number)
  } catch (error) {
    // Two runs that begin together sweep the same.
    if ((await namespaces()).includes(namespace)) throw error
    return []
  }
}

const pidIn = (name: string): number => Number.parseInt(name.slice(namePrefix.length), 10)

/** A run lives as long as its pid is that of a Node; one that was given to another Node since only waits longer. */
function isOfDeadRun(name: string): boolean {
  if (!name.startsWith(namePrefix) || !Number.isInteger(pidIn(name))) return false
  try {
    return !basename(readlinkSync(`/proc/${pidIn(name)}/exe`)).startsWith('node')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true
    throw error
  }
}

function killAtOnce(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
