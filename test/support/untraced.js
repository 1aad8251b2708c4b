// Imported first in every test process (see run-tap.ts). tap records which files each process loads, and has the processes
// that a test starts do the same, for coverage and for its `--changed`, which we do not use. It doubles the time that each of
// them takes to start (measured; of the suite it is some 8 %). With its record there already, tap starts none; without its
// hook, nothing reads each file a second time. With an older Node, which registers hooks in another way, tests are only slower.
import Module from 'node:module'

// tap itself is started with it too, and hands it on.
if (process.env.TAP_CHILD_ID !== undefined) {
  globalThis[Symbol.for('@tapjs/processinfo.ProcessInfoNodeData')] ??= {
    files: [],
    sources: Object.create(null),
  }

  const { registerHooks } = Module
  if (registerHooks !== undefined) {
    Module.registerHooks = hooks => (hooks.load?.name === 'loadSync' ? undefined : registerHooks(hooks))
  }

  // What a test starts is as it is elsewhere.
  const { NODE_OPTIONS = '' } = process.env
  const others = NODE_OPTIONS.replace(
    /"?--import=\S*\/(test\/support\/untraced\.js|@tapjs\/processinfo\/\S*)"?/g,
    '',
  ).trim()
  if (others === '') delete process.env.NODE_OPTIONS
  else process.env.NODE_OPTIONS = others
}
