// Addresses to listen on and to announce: tcp, over IPv4, IPv6 or a name.
import { multiaddr } from '@multiformats/multiaddr'
import { GlynError } from '../core/errors.ts'

const allowed = '/ip4/<address>/tcp/<port>, /ip6/<address>/tcp/<port>, /dns4/<name>/tcp/<port>'
const hosts = new Set(['ip4', 'ip6', 'dns', 'dns4', 'dns6'])

export interface ListenAddress {
  readonly host: string
  readonly port: number
  readonly isLoopback: boolean
}

/** Throws INVALID_CONFIGURATION that names the address and what is allowed. */
export function parseListenAddress(address: string): ListenAddress {
  const complain = (fault: string): never => {
    const text = `address is ${JSON.stringify(address)}: ${fault}; allowed: ${allowed}`
    throw new GlynError('INVALID_CONFIGURATION', text)
  }
  const components = componentsOf(address)
  if (components instanceof Error) return complain(components.message)
  const [host, transport, ...rest] = components
  const [peer, ...more] = rest
  if (host === undefined || !hosts.has(host.name)) return complain('it does not begin with a host')
  if (transport?.name !== 'tcp') return complain(`its transport is ${transport?.name ?? 'missing'}`)
  if (more.length > 0 || (peer !== undefined && peer.name !== 'p2p')) {
    return complain(`it goes on after the port with /${rest.map(({ name }) => name).join('/')}`)
  }
  const name = host.value ?? ''
  return { host: name, port: Number(transport.value), isLoopback: isLoopbackHost(host.name, name) }
}

/** True for 127.0.0.0/8, ::1 and the name localhost. False for what is no such address at all. */
export function isLoopbackAddress(address: string): boolean {
  const components = componentsOf(address)
  if (components instanceof Error) return false
  const [host] = components
  return host !== undefined && isLoopbackHost(host.name, host.value ?? '')
}

function isLoopbackHost(protocol: string, host: string): boolean {
  if (protocol === 'ip4') return host.startsWith('127.')
  if (protocol === 'ip6') return host === '::1'
  return protocol.startsWith('dns') && host.toLowerCase() === 'localhost'
}

function componentsOf(address: string): ReturnType<ReturnType<typeof multiaddr>['getComponents']> | Error {
  try {
    return multiaddr(address).getComponents()
  } catch (cause) {
    return cause instanceof Error ? cause : new Error(String(cause))
  }
}
