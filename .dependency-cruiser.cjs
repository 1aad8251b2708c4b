// The import directions of the architecture: each folder may import itself and the folders listed for it.
const allowed = {
  core: [],
  raft: ['core'],
  store: ['core', 'raft'],
  plugin: ['core'],
  mesh: ['core', 'raft', 'store'],
  query: ['core', 'raft', 'store', 'plugin'],
  registry: ['core', 'raft', 'store', 'mesh'],
  pubsub: ['core', 'raft', 'store', 'mesh'],
  partition: ['core', 'raft', 'store', 'mesh'],
  cluster: ['core', 'raft', 'store', 'mesh'],
  erasure: ['core', 'raft', 'store', 'mesh'],
  reaction: ['core', 'raft', 'store', 'plugin'],
  node: [
    'core',
    'raft',
    'store',
    'plugin',
    'mesh',
    'query',
    'registry',
    'pubsub',
    'partition',
    'cluster',
    'reaction',
    'erasure',
  ],
  http: ['core', 'node'],
  cli: ['core', 'plugin', 'mesh', 'node', 'http'],
  testing: [
    'core',
    'raft',
    'store',
    'mesh',
    'query',
    'registry',
    'pubsub',
    'partition',
    'cluster',
    'reaction',
    'erasure',
    'node',
  ],
}

const directions = Object.entries(allowed).map(([folder, targets]) => ({
  name: `${folder}-imports-only-what-lies-below`,
  severity: 'error',
  from: { path: `^src/${folder}/` },
  to: { path: '^src/', pathNot: `^src/(${[folder, ...targets].join('|')})/` },
}))

module.exports = {
  forbidden: [
    ...directions,
    {
      name: 'pure-folders-import-no-package',
      severity: 'error',
      from: { path: '^src/(core|raft)/' },
      to: {
        dependencyTypes: ['npm', 'npm-dev', 'npm-optional', 'core', 'unknown'],
        // Types and nothing else: a schema of any library is an argument.
        pathNot: '(^|/)node_modules/@standard-schema/spec/',
      },
    },
    {
      name: 'adapters-are-private-to-their-folder-and-to-node',
      severity: 'error',
      from: { path: '^src/([^/]+)/', pathNot: '^src/(node|testing)/' },
      to: { path: '^src/([^/]+)/(memory|sqlite|postgres|libp2p)/', pathNot: '^src/$1/' },
    },
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'no-unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
    {
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, pathNot: ['^src/index\\.ts$', '\\.d\\.ts$'] },
      to: {},
    },
    {
      name: 'no-undeclared-package',
      severity: 'error',
      from: { path: '^(src|bin)/' },
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'no-dev-dependency-in-source',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    parser: 'swc',
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
}
