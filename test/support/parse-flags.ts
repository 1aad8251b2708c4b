// The flags of a program that developers run: `--help` prints its usage, a mistake is one line, and neither a stack.
import { type ParseArgsConfig, parseArgs } from 'node:util'

type Options = NonNullable<ParseArgsConfig['options']>
type Values<T extends Options> = ReturnType<typeof parseArgs<{ options: T }>>['values']

/** Ends the process after `--help` (exit code 0), and on a flag that is not known or wants a value (2). */
export function parseFlags<T extends Options>(usage: string, options: T): Values<T> {
  if (process.argv.slice(2).some(flag => flag === '--help' || flag === '-h')) {
    process.stdout.write(`${usage}\n`)
    process.exit(0)
  }
  try {
    return parseArgs({ options }).values
  } catch (error) {
    if (!(error instanceof TypeError) || !('code' in error)) throw error
    const known = Object.keys(options).map(name => `--${name}`)
    return endUsage(`${error.message.split('. ')[0]}; allowed: ${[...known, '--help'].join(', ')}`)
  }
}

/** A value that is not allowed: one line, and the exit code of a mistake in usage. */
export function endUsage(message: string): never {
  process.stderr.write(`${message}\n`)
  return process.exit(2)
}
