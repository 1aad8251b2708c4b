// The settings that a node is started with: `start` takes them, `doctor` reports what is wrong with them.
import type { SettingName } from './settings.ts'

export const nodeSettingNames = [
  'topic',
  'scope',
  'data-dir',
  'store',
  'listen',
  'announce',
  'bootstrap',
  'partitions',
  'replicas',
  'role',
  'http',
  'http-token-file',
  'secret-file',
  'mdns',
  'name',
  'log-level',
] as const satisfies readonly SettingName[]
