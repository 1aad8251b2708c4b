// The same node, and a second query whose handler never returns.
import { measureBeside } from './beside-queries.ts'

await measureBeside({ hasLoop: true })
