// The example of two services and a process between them, on real processes of which one is killed in the middle of it:
// every order ends confirmed or cancelled, and stock is set aside once for each, and only for those that are confirmed.
import { join } from 'node:path'
import t from 'tap'
import { type ControlClient, createControlClient } from '../../src/http/control-client.ts'
import { createWorkplace, eventually, repository, settled } from './real-node.ts'

const orders = 40
/** Of gadgets there are fewer than asked for. */
const skuOf = (n: number): string => (n % 4 === 0 ? 'gadget' : 'widget')
const restocked: Readonly<Record<string, number>> = { widget: 60, gadget: 4 }
const numbers = Array.from({ length: orders }, (_, n) => n)
/** Of every third order nothing is paid. */
const paid = numbers.filter(n => n % 3 !== 0)

t.test('every order ends, also when a node is killed in the middle of it', async t => {
  t.setTimeout(600_000)
  // Longer than it takes to place and pay all, while a node is killed.
  process.env['PAYMENT_TIMEOUT'] = '10s'
  const place = createWorkplace()
  t.teardown(async () => {
    delete process.env['PAYMENT_TIMEOUT']
    await place.close()
  })
  const config = join(repository, 'examples', 'orders', 'config')
  const args = ['--topic', 'orders', '--partitions', '4', '--config', config]
  const a = await place.start('a', args)
  const joining = [...args, '--bootstrap', a.ready.addresses[0] ?? '']
  const [b, c] = await Promise.all([place.start('b', joining), place.start('c', joining)])
  await settled(a, 3)
  const client = createControlClient({ socketPath: a.ready.control })
  t.teardown(() => client.close())
  const send = (type: string, id: string, command: string, data: object) =>
    client.execute(type, id, { type: command, data }, { commandId: `${command}-${id}`, timeoutMs: 60_000 })

  for (const [sku, quantity] of Object.entries(restocked)) await send('stock', sku, 'Restock', { quantity })
  await Promise.all(
    numbers.map(n => send('order', `order-${n}`, 'PlaceOrder', { sku: skuOf(n), quantity: 1 })),
  )
  const paying = Promise.all(paid.map(n => send('order', `order-${n}`, 'PayOrder', {})))
  await b.kill('SIGKILL')
  const restarting = b.restart()
  await paying

  let counts: Readonly<Record<string, number>> = {}
  await eventually(async () => {
    counts = await countOrders(client)
    return (counts['confirmed'] ?? 0) + (counts['cancelled'] ?? 0) === orders
  }, 'every order is confirmed or cancelled')
  await restarting
  t.ok((counts['confirmed'] ?? 0) >= 10, `most of what was paid is confirmed: ${JSON.stringify(counts)}`)
  t.ok((counts['cancelled'] ?? 0) >= 14, 'what was not paid, or not there, is cancelled')

  // What is released may still be on its way.
  await eventually(async () => {
    let held = 0
    for (const [sku, quantity] of Object.entries(restocked)) {
      const { available, reserved } = (await client.loadAggregate('stock', sku)).state as Stock
      const sum = Object.values(reserved).reduce((total, one) => total + one, 0)
      if (available + sum !== quantity) throw new Error(`${sku}: ${available} and ${sum} of ${quantity}`)
      held += sum
    }
    return held === counts['confirmed']
  }, 'stock is held for what is confirmed, and for nothing else')
  for (const sku of Object.keys(restocked)) {
    const events = await client.loadEvents('stock', sku)
    const reserved = events
      .filter(({ type }) => type === 'StockReserved')
      .map(({ data }) => (data as { orderId: string }).orderId)
    t.ok(reserved.length > 0)
    t.equal(new Set(reserved).size, reserved.length, `${sku}: none was set aside twice for one order`)
  }
  const receipts = (): number =>
    new Set(
      [a, b, c].flatMap(node => [...node.log().matchAll(/receipt for order (\S+)/g)].map(([, id]) => id)),
    ).size
  await eventually(async () => receipts() === counts['confirmed'], 'every confirmed order has its receipt')
  // The process hears of the end of an order when the query does, or a moment later.
  await eventually(async () => {
    const { state } = await client.loadAggregate('glyn.process.fulfilment', 'order-1')
    return (state as { readonly ended: boolean }).ended === true
  }, 'the instance of an order can be looked at, and has ended')
  t.match((await client.status()).reactions, [{ kind: 'handler', name: 'receipt' }, { name: 'fulfilment' }])
})

async function countOrders(client: ControlClient): Promise<Readonly<Record<string, number>>> {
  const rows = (await client.query('orders', 'count', {})) as { status: string; orders: number }[]
  return Object.fromEntries(rows.map(({ status, orders: number }) => [status, number]))
}

interface Stock {
  readonly available: number
  readonly reserved: Readonly<Record<string, number>>
}
