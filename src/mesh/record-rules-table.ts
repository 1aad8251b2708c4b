// The rules of records by key prefix.
import { GlynError } from '../core/errors.ts'
import type { RecordRules } from './mesh.ts'

export interface RecordRulesTable {
  set(rules: RecordRules): void
  /** The rules with the longest prefix of the key. Throws INVALID_ARGUMENT that names the key. */
  of(key: string): RecordRules
}

export function createRecordRulesTable(): RecordRulesTable {
  const table = new Map<string, RecordRules>()
  return {
    set: rules => {
      table.set(rules.prefix, rules)
    },
    of: key => {
      let best: RecordRules | undefined
      for (const rules of table.values()) {
        if (key.startsWith(rules.prefix) && rules.prefix.length > (best?.prefix.length ?? -1)) best = rules
      }
      if (best !== undefined) return best
      const prefixes = [...table.keys()].join(', ') || 'none, as no rules are set'
      throw new GlynError(
        'INVALID_ARGUMENT',
        `record key is ${JSON.stringify(key)}; allowed prefixes: ${prefixes}`,
      )
    },
  }
}
