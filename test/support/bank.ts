// The bank of the config folder, whose imports of `glyn-node` mean this checkout.
import { installPluginResolution } from '../../src/plugin/resolve-hook.ts'

installPluginResolution()
export const { default: bankAccount } = await import('../../config/aggregates/bank-account.ts')
export const { default: balance } = await import('../../config/queries/balance.ts')
