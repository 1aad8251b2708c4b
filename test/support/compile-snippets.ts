// Compiles programs of documents as strictly as our own source, `glyn-node` being this checkout.
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { promisify } from 'node:util'
import { plainly } from './plainly.ts'
import { root } from './snippets.ts'

/** What the compiler says of the `.ts` files in a folder of the repository: nothing, when all is well. */
export async function compileSnippets(folder: string): Promise<string> {
  const up = relative(folder, root)
  const configuration = {
    extends: `${up}/tsconfig.json`,
    compilerOptions: { rootDir: up, paths: pathsFrom(up) },
    include: ['./**/*.ts'],
    exclude: [],
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(configuration))
  const tsc = join(root, 'node_modules', '.bin', 'tsc')
  const ran = promisify(execFile)(...plainly(tsc, ['-p', folder]))
  return await ran.then(
    ({ stdout }) => stdout,
    (error: { readonly stdout: string }) => error.stdout,
  )
}

const pathsFrom = (up: string) => ({
  'glyn-node': [`${up}/src/index.ts`],
  'glyn-node/testing': [`${up}/src/testing/index.ts`],
})
