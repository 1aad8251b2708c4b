import t, { type Test } from 'tap'
import { type MeshHarness, meshConformance } from './conformance.ts'
import { settingsOf, startMesh } from './libp2p-cluster.ts'

const harness: MeshHarness = {
  start: (test, { as, prepare, ...options } = {}) =>
    startMesh(test, { ...options, ...(as === undefined ? {} : settingsOf(as)) }, prepare),
}

t.test('a libp2p mesh keeps the promises of every mesh', async t => meshConformance(t as Test, harness))
