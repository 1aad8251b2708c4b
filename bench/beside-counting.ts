// One node beside a query that counts: what the looping one is compared with.
import { measureBeside } from './beside-queries.ts'

await measureBeside({ hasLoop: false })
