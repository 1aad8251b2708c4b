// What `glyn-node/testing` exports: the simulator, for your aggregates, queries, handlers and processes; the kit for stores.
export type { AnyAggregate } from '../core/aggregate.ts'
export type { AnyQuery } from '../query/define-query.ts'
export type { AnyHandler } from '../reaction/define-handler.ts'
export type { AnyProcess } from '../reaction/define-process.ts'
export {
  checkClaim,
  checkSharedStore,
  type SharedStoreSubject,
  sharedStoreClaims,
} from './shared-store/check-shared-store.ts'
export type { SharedStoreClaim } from './shared-store/claim.ts'
export { type SimulateOptions, type SimulateReport, simulate } from './simulate.ts'
export type { SimulatedClient } from './simulator/client.ts'
export type { Invariant, InvariantView } from './simulator/invariant.ts'
export { type FaultKind, faultKinds } from './simulator/nemesis.ts'
export type { Dice } from './simulator/seeded-random.ts'
export type { SimulationReport } from './simulator/simulation.ts'
