#!/usr/bin/env node
// The executable: looks at the Node that runs it, in a syntax that old ones parse, and hands over to src/cli or dist/cli.
// biome-ignore-all lint/style/useNodejsImportProtocol: Node before 14.18 does not know `node:`.
// biome-ignore-all lint/complexity/useArrowFunction: one syntax for all of the file, an old one.
// biome-ignore-all lint/complexity/useOptionalChain: one syntax for all of the file, an old one.
// biome-ignore-all lint/style/useTemplate: one syntax for all of the file, an old one.

var fs = require('fs')
var nodeModule = require('module')
var os = require('os')
var path = require('path')
var url = require('url')

var needed = [22, 18]
var root = path.dirname(__dirname)

if (isNewEnough(process.versions.node)) run()
else runWithNewerNode()

function isNewEnough(version) {
  var parts = version.split('.')
  var major = Number(parts[0])
  var minor = Number(parts[1])
  return major > needed[0] || (major === needed[0] && minor >= needed[1])
}

function run() {
  keepCompiledCode()
  var source = path.join(root, 'src', 'cli', 'main.ts')
  // Node strips types from our source in a checkout, and refuses to below node_modules.
  var isCheckout = root.split(path.sep).indexOf('node_modules') === -1 && fs.existsSync(source)
  var main = isCheckout ? source : path.join(root, 'dist', 'cli', 'main.js')
  import(url.pathToFileURL(main).href)
    .then(module => module.main())
    .catch(error => {
      process.stderr.write('glyn-node could not start: ' + ((error && error.stack) || error) + '\n')
      process.exit(1)
    })
}

/**
 * What was compiled is kept in the cache folder of the user, and the next start takes half the time. Where there is none, or it
 * cannot be written, all is compiled each time. NODE_COMPILE_CACHE names another folder, NODE_DISABLE_COMPILE_CACHE=1 ends it.
 */
function keepCompiledCode() {
  var cache, folder
  try {
    cache = process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache')
    folder = path.join(cache, 'glyn-node')
    // Step by step: what Node itself would do here does not end where a folder can never be made, as under /proc.
    ;[cache, folder].forEach(place => {
      if (!fs.existsSync(place)) fs.mkdirSync(place)
    })
    nodeModule.enableCompileCache(folder)
    // For threads: each is a Node that looks here, and not at what was enabled for this one.
    if (!process.env.NODE_COMPILE_CACHE) process.env.NODE_COMPILE_CACHE = folder
  } catch (_cannotBeKept) {
    // No home, a read-only one, or another process was faster: it is compiled as it always was.
  }
}

/** The npm package `node` beside us, if there is one: `npm ci` in a checkout installs it. */
function runWithNewerNode() {
  var newer = process.env.GLYN_NODE_STARTED_AGAIN ? null : findNode()
  if (newer === null) {
    process.stderr.write(
      'glyn-node needs Node.js ' +
        needed.join('.') +
        ' or newer; this is ' +
        process.versions.node +
        ' (' +
        process.execPath +
        ').\n' +
        'Get one from https://nodejs.org, or with a version manager: `nvm install 24`, `fnm install 24`, `volta install node@24`.\n',
    )
    process.exit(2)
  }
  var environment = Object.assign({}, process.env, { GLYN_NODE_STARTED_AGAIN: '1' })
  var child = require('child_process').spawn(
    newer,
    process.execArgv.concat([__filename], process.argv.slice(2)),
    {
      stdio: 'inherit',
      env: environment,
    },
  )
  ;['SIGINT', 'SIGTERM', 'SIGHUP'].forEach(signal => {
    process.on(signal, () => {
      child.kill(signal)
    })
  })
  child.on('error', error => {
    process.stderr.write('glyn-node could not start ' + newer + ': ' + error.message + '\n')
    process.exit(1)
  })
  child.on('exit', (code, signal) => {
    if (signal === null) return process.exit(code)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}

function findNode() {
  var name = process.platform === 'win32' ? 'node.exe' : 'node'
  var places = [
    path.join(root, 'node_modules', 'node', 'bin', name),
    path.join(root, '..', 'node', 'bin', name),
  ]
  return places.filter(fs.existsSync)[0] || null
}
