// For network.test.ts, inside of a namespace: prints each datagram that comes, and sends what stdin says (`address text`).
import { createSocket } from 'node:dgram'
import { createInterface } from 'node:readline'

const port = 9_999
const socket = createSocket('udp4')
socket.on('message', message => process.stdout.write(`${message}\n`))
socket.bind(port, () => process.stdout.write('bound\n'))
createInterface({ input: process.stdin })
  .on('line', line => {
    const [address = '', text = ''] = line.split(' ')
    socket.send(text, port, address, error =>
      process.stdout.write(error === null ? '' : `${error.message}\n`),
    )
  })
  .on('close', () => socket.close())
