// Tools of the machine (ip, tc, mount), each with a deadline, each failure with the command and what it printed.
import { execFile } from 'node:child_process'

const timeoutMs = 20_000

/** Resolves with stdout. Throws an error that names the command. */
export function shell(file: string, ...args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(file, args, { timeout: timeoutMs, encoding: 'utf8' }, (cause, stdout, stderr) => {
      if (cause === null) return resolve(stdout)
      const said = (stderr + stdout).trim() || cause.message
      reject(new Error(`${[file, ...args].join(' ')}: ${said}`, { cause }))
    })
  })
}

/** Null when the command succeeds, or else what it said. */
export async function refusal(file: string, ...args: readonly string[]): Promise<string | null> {
  try {
    await shell(file, ...args)
    return null
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
