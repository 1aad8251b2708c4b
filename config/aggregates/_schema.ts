// A few lines of Standard Schema (https://standardschema.dev), so that this directory needs no package. In a project of
// your own, give `commands` schemas of zod, valibot or arktype instead. The leading _ says: no aggregate in here.

interface Issue {
  readonly message: string
  readonly path: readonly string[]
}

/** Null when the value is fine, or else what is allowed. */
export type Check = (value: unknown) => string | null

export const finiteNumber: Check = value =>
  typeof value === 'number' && Number.isFinite(value)
    ? null
    : 'a finite number (on the command line: amount:=100)'

export const optionalText: Check = value =>
  value === undefined || (typeof value === 'string' && value !== '') ? null : 'a text that is not empty'

/** What a schema lets through; `types` is for the compiler only. */
interface Schema<Data> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly types?: { readonly input: Data; readonly output: Data }
    validate(value: unknown): { readonly value: Data } | { readonly issues: readonly Issue[] }
  }
}

/** A schema for an object with these fields and no others. */
export function fields<Data>(checks: Readonly<Record<string, Check>>): Schema<Data> {
  return {
    '~standard': {
      version: 1,
      vendor: 'glyn-node-example',
      validate(value) {
        const data = value === undefined || value === null ? {} : value
        if (typeof data !== 'object' || Array.isArray(data)) {
          return { issues: [{ message: `data is ${JSON.stringify(data)}; allowed: an object`, path: [] }] }
        }
        const issues: Issue[] = []
        const given = data as Record<string, unknown>
        for (const [name, check] of Object.entries(checks)) {
          const allowed = check(given[name])
          if (allowed === null) continue
          const found = given[name] === undefined ? 'missing' : JSON.stringify(given[name])
          issues.push({ message: `is ${found}; allowed: ${allowed}`, path: [name] })
        }
        for (const name of Object.keys(given)) {
          if (Object.hasOwn(checks, name)) continue
          const known = Object.keys(checks).join(', ')
          issues.push({
            message: `is no field of this command; allowed: ${known === '' ? 'none' : known}`,
            path: [name],
          })
        }
        return issues.length === 0 ? { value: given as Data } : { issues }
      },
    },
  }
}
