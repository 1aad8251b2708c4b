// A writer thread that opens, and crashes at the first write.
import { parentPort } from 'node:worker_threads'

parentPort?.postMessage({ type: 'open', storageId: 'none' })
parentPort?.on('message', () => {
  throw new Error('boom')
})
