// A client without a node: `--peer` from an empty directory, and the same id through another node.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { silentLog } from '../../src/core/log.ts'
import { createPeerClient } from '../../src/node/create-peer-client.ts'
import { createWorkplace, eventually, repository, run, runJson, settled } from './real-node.ts'

t.setTimeout(600_000)

t.test(
  'send-command --peer finds the leader through the DHT; a retry elsewhere returns the first outcome',
  async t => {
    const place = createWorkplace()
    t.teardown(place.close)
    const config = ['--config', join(repository, 'config')]
    const a = await place.start('a', config)
    const b = await place.start('b', [...config, '--bootstrap', a.ready.addresses[0] ?? ''])
    const c = await place.start('c', [...config, '--bootstrap', a.ready.addresses[0] ?? ''])
    await settled(a, 3)
    const empty = join(place.folder, 'empty')
    mkdirSync(empty)
    for (let n = 0; n < 4; n += 1) {
      const command = [
        'send-command',
        'bank_account',
        `acc-${n}`,
        'OpenAccount',
        '--id',
        `open-${n}`,
        '--json',
      ]
      const { code, stdout, stderr } = await run([...command, '--peer', a.ready.addresses[0] ?? ''], {
        cwd: empty,
      })
      t.equal(code, 0, stderr)
      const first = JSON.parse(stdout) as Outcome
      t.equal(first.replicas >= 2, true, 'on a majority of the voters')
      const again = await runJson<Outcome>([
        ...command.slice(0, -1),
        '--data-dir',
        (n % 2 === 0 ? b : c).dataDir,
      ])
      t.equal(again.replayed, true)
      t.same(again.events, first.events)
    }
    const said: string[] = []
    // On a busy machine the DHT may answer too late; the client then asks the members, which is as good.
    await eventually(async () => {
      const client = await createPeerClient({
        peer: a.ready.addresses[0] ?? '',
        scope: 'default',
        log: { ...silentLog, debug: (_fields, message) => said.push(message) },
      })
      const loaded = await client.loadAggregate('bank_account', 'acc-1').finally(() => client.close())
      t.equal(loaded.sequence, 1)
      return said.some(message => message.includes('the DHT names the leader'))
    }, 'the DHT names the leader')
  },
)

interface Outcome {
  readonly replayed: boolean
  readonly replicas: number
  readonly events: readonly object[]
}
