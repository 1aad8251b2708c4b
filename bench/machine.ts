// The facts that a figure is worth nothing without.
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { cpus, loadavg, platform, release, totalmem } from 'node:os'
import { join } from 'node:path'

export interface MachineFacts {
  /** ISO 8601. */
  readonly date: string
  readonly cores: number
  readonly processor: string
  readonly memoryBytes: number
  readonly system: string
  readonly node: string
  /** Of the disk that is measured on, 4 KiB each. */
  readonly fsyncsPerSecond: number
  /** Over one minute before the bench: well above 0 means that others used the machine too. */
  readonly load: number
}

export function machineFacts(options: { readonly date: string; readonly folder: string }): MachineFacts {
  const processors = cpus()
  return {
    date: options.date,
    cores: processors.length,
    processor: processors[0]?.model ?? 'unknown',
    memoryBytes: totalmem(),
    system: `${platform()} ${release()}`,
    node: process.versions.node,
    load: loadavg()[0] ?? 0,
    fsyncsPerSecond: fsyncRate(options.folder),
  }
}

function fsyncRate(folder: string): number {
  const path = join(folder, 'fsync')
  const file = openSync(path, 'w')
  const page = Buffer.alloc(4096, 1)
  const pages = 256
  const milliseconds = 1000
  try {
    // A WAL that is reused: to sync a file that grows takes several times longer.
    for (let at = 0; at < pages; at += 1) writeSync(file, page, 0, page.length, at * page.length)
    fdatasyncSync(file)
    const startedAt = performance.now()
    let count = 0
    for (; performance.now() - startedAt < milliseconds; count += 1) {
      writeSync(file, page, 0, page.length, (count % pages) * page.length)
      fdatasyncSync(file)
    }
    return Math.round((count * 1000) / (performance.now() - startedAt))
  } finally {
    closeSync(file)
    rmSync(path)
  }
}
