// A thread that reads a partition with a reader of its own whenever it is told how far it is durable, and looks into the
// view, and says at the end what was not whole.
import { parentPort, workerData } from 'node:worker_threads'
import { openReadConnection } from '../../src/store/sqlite/sqlite-connection.ts'
import { openSqliteLogReader } from '../../src/store/sqlite/sqlite-log-reader.ts'

const { path } = workerData as { readonly path: string }
const reader = openSqliteLogReader(path)
const connection = openReadConnection(path)
const view = connection
  .prepare<[number], number>('select sequence from events where partition = ? order by "index", offset')
  .pluck()
const faults: string[] = []
let reads = 0

const isWhole = (sequences: readonly unknown[]): boolean =>
  sequences.every((sequence, place) => sequence === place + 1)

parentPort?.on('message', (message: 'end' | { readonly partition: number; readonly index: number }) => {
  if (message === 'end') {
    parentPort?.postMessage({ reads, faults })
    reader.close()
    connection.close()
    parentPort?.close()
    return
  }
  const { partition, index } = message
  reads += 1
  const wanted = (index / 41) * 3
  const range = { afterIndex: 0, throughIndex: index, limit: 100_000 }
  const read = reader.readPartition(partition, range).map(({ sequence }) => sequence)
  if (read.length !== wanted || !isWhole(read)) {
    faults.push(`partition ${partition} through ${index}: ${read.length} events for ${wanted}: ${read}`)
  }
  const seen = view.all(partition)
  if (seen.length < wanted || !isWhole(seen)) {
    faults.push(`the view of ${partition} after ${index}: ${seen.length} events for ${wanted}: ${seen}`)
  }
})
