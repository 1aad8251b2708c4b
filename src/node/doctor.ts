// `doctor`: looks at an installation from outside, whether its node runs or not, and changes nothing.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { hasCode, isGlynError } from '../core/errors.ts'
import { openStoreReader, type StoreReader } from '../store/sqlite/open-store-reader.ts'
import { counted, type DoctorCheck, type DoctorOptions, notOk, ok, skipped, textOf } from './doctor-check.ts'
import { checkConfig, checkDisk, checkNodeVersion, checkPermissions } from './doctor-files.ts'
import { checkChains, checkClock, checkCoverage, checkReplay, type Ends } from './doctor-history.ts'
import { dialMembers, membersOfStatus } from './doctor-members.ts'
import { gatherAggregates, type LoadedAggregates } from './loaded-aggregates.ts'
import type { NodeStatus } from './node-api.ts'
import { readClusterSettings, readRemoval } from './node-settings.ts'
import { packageVersion } from './version.ts'

export type { DoctorCheck, DoctorOptions, DoctorProgress } from './doctor-check.ts'

/** `running`: what the node of this directory says of itself; undefined when none answers, or why it did not. */
export async function examine(
  options: DoctorOptions,
  running: NodeStatus | Error | undefined,
): Promise<readonly DoctorCheck[]> {
  const loaded = await gatherAggregates({ configDirectory: options.configDirectory, aggregates: [] })
  return [
    checkNodeVersion(),
    ...checkPermissions(options),
    ...(await checkConfig(options, loaded)),
    checkDisk(options),
    ...(await checkStore(options, { loaded, running })),
    ...ofRunning(options, running),
  ]
}

async function checkStore(
  options: DoctorOptions,
  facts: { readonly loaded: LoadedAggregates; readonly running: NodeStatus | Error | undefined },
): Promise<DoctorCheck[]> {
  const path = join(options.dataDirectory, 'glyn.db')
  if (!existsSync(path)) return [skipped('history', `${path} is not there yet`, 'glyn-node start makes it')]
  let store: StoreReader
  try {
    store = openStoreReader(path)
  } catch (error) {
    if (!isGlynError(error)) throw error
    const remedy = hasCode(error, 'STORE_FORMAT')
      ? 'a node of this version brings older formats up to date when it starts; for a newer one use a newer glyn-node'
      : 'keep the file, and let the node come back as a new one: the others have its history'
    return [notOk('history', error.message, { remedy })]
  }
  try {
    const bindings = facts.loaded.bindings
    const checks = [
      ...checkCoverage(store, { bindings, options }),
      checkClock(store, Date.now()),
      ...(await checkCluster(store, facts.running)),
    ]
    if (!options.deep)
      return [...checks, skipped('replay and hash chains', 'they take a while', 'glyn-node doctor --deep')]
    const ends = endsOf(store, facts.running !== undefined)
    return [
      ...checks,
      ...(await checkReplay(store, { bindings, options, ends })),
      ...(await checkChains(store, { options, ends })),
    ]
  } catch (error) {
    // A file that is damaged says so wherever it is read.
    if (!hasCode(error, 'STORE_CORRUPT', 'EVENT_STORE_ERROR')) throw error
    return [
      notOk('history', error.message, {
        remedy: 'keep the file, and let the node come back as a new one: the others have its history',
      }),
    ]
  } finally {
    store.close()
  }
}

/** Beyond what is committed, a node that runs may take back what it wrote; of one that is stopped, all that is there counts. */
const endsOf = (store: StoreReader, isRunning: boolean): Ends =>
  new Map(
    store
      .recover()
      .map(({ partition, hardState, lastIndex }) => [partition, isRunning ? hardState.commit : lastIndex]),
  )

async function checkCluster(
  store: StoreReader,
  running: NodeStatus | Error | undefined,
): Promise<DoctorCheck[]> {
  const removedFrom = readRemoval(store)
  if (removedFrom !== undefined)
    return [
      notOk('cluster', `this node was removed from cluster ${removedFrom}, for ever`, {
        remedy: 'start it with an empty data directory, and it joins as a new node',
      }),
    ]
  const settings = readClusterSettings(store)
  if (settings === undefined) return [skipped('cluster', 'this node belongs to none yet')]
  const { clusterId, topic, scope, partitions, replicas } = settings
  const text = `${clusterId}, topic ${topic}, scope ${scope}, ${partitions} partitions, up to ${replicas} replicas`
  const members =
    running !== undefined && !(running instanceof Error)
      ? membersOfStatus(running)
      : await dialMembers(store, store.settings().get('peer-id'))
  return [ok('cluster', text), members]
}

function ofRunning(options: DoctorOptions, running: NodeStatus | Error | undefined): DoctorCheck[] {
  if (running === undefined)
    return [
      ok('node', 'it is not running'),
      ...(options.deep
        ? []
        : [skipped('quarantine', 'only a running node, or a replay, knows', 'glyn-node doctor --deep')]),
    ]
  if (running instanceof Error)
    return [
      notOk('node', `it does not answer as it should: ${textOf(running)}`, {
        remedy: 'see its log; a node that is starting says how far it is',
      }),
    ]
  const { node, problems, quarantined } = running
  const checks = [
    node.state === 'ready'
      ? ok('node', `${node.name}, ready, version ${node.version}`)
      : notOk('node', `${node.name} is ${node.state}`, { remedy: 'see its log' }),
  ]
  if (node.version !== packageVersion)
    checks.push(
      notOk('version', `the node runs version ${node.version}, this is ${packageVersion}`, {
        state: 'warning',
        remedy: 'start the node again, to run the version that is installed',
      }),
    )
  const { count, first } = quarantined
  if (count === 0) checks.push(ok('quarantine', 'no aggregate was met that could not be loaded'))
  else
    checks.push(
      notOk(
        'quarantine',
        `${counted(count, 'aggregate')}: ${first.map(({ aggregate, sequence, reason }) => `${aggregate.type}/${aggregate.id}, event ${sequence}: ${reason}`).join('; ')}`,
        {
          remedy: 'correct the file of the type, or bring the newer one, and start the node again',
          details: quarantined,
        },
      ),
    )
  checks.push(
    problems.length === 0
      ? ok('problems', 'the node knows of none')
      : notOk('problems', `the node knows of ${problems.length}; the first: ${problems[0]}`, {
          remedy: 'glyn-node status shows all of them',
          details: { problems },
        }),
  )
  return checks
}
