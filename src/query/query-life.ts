// One query over its versions: the one that answers, and the next one, which is built beside it and takes its place when it
// has caught up. Whatever happens to the next one, the one that answers goes on.
import { basename } from 'node:path'
import type { Clock } from '../core/clock.ts'
import { GlynError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { QueryMessage } from '../core/query-message.ts'
import type { AskOptions } from './ask-queue.ts'
import type { QueryStatus } from './query.ts'
import type { QueryLimits } from './query-limits.ts'
import type { QueryPlugin } from './query-plugin.ts'
import type { QuerySupervisor } from './query-supervisor.ts'
import { buildStatus, type Disk, isOnDisk, isSame, type QueryVersion } from './query-version.ts'
import { createVersionSwap } from './version-swap.ts'
import { within } from './within.ts'

export interface QueryLifeInit {
  /** For messages until a version has said its own. */
  readonly name: string
  readonly file: string | null
  readonly plugin: QueryPlugin | null
  createVersion(
    plugin: QueryPlugin | null,
    options: {
      readonly isServing: boolean
      claim(name: string): Place
      onChange(): void
    },
  ): QuerySupervisor
  /** The place of the read model that answers. Throws when another query has the name. */
  claim(name: string): { readonly path: string; readonly nextPath: string | null }
  /** The query does not bear this name any more. */
  retire(name: string): void
  isPaused(name: string): boolean
  /** Removes what was built beside the read model of this name. */
  removeNext(name: string): void
  readonly clock: Clock
  readonly log: Log
  readonly limits: QueryLimits
}

export interface Place {
  readonly path: string
  readonly nextPath: string | null
}

export interface QueryLife {
  readonly file: string | null
  readonly name: string
  /** Resolves when the query has loaded for the first time, or failed to. */
  start(): Promise<void>
  ask(question: string, parameters: Readonly<Record<string, unknown>>, options: AskOptions): Promise<unknown>
  status(): QueryStatus
  advance(): void
  /** For the `onMessage` of its versions. */
  deliver(message: QueryMessage): void
  /** The files are these now. */
  update(plugin: QueryPlugin, disk: Disk): void
  /** Files that its versions were loaded from. */
  parts(): readonly string[]
  rebuild(): void
  /** Resolves when it sees no more events. */
  pause(): Promise<void>
  resume(): void
  /** It has a name and a read model. */
  isEstablished(): boolean
  /** It cannot run for a reason outside of its code. Tried again later, or by `retryNow`. */
  fail(message: string): void
  retryNow(): void
  /** As that of {@link QuerySupervisor}. */
  close(why?: string): Promise<void>
}

export function createQueryLife(init: QueryLifeInit): QueryLife {
  return new Life(init)
}

class Life implements QueryLife {
  readonly #init: QueryLifeInit
  #serving: QueryVersion
  #building: QueryVersion | null = null
  /** Invariant: while true, neither version is exchanged by anything but the swap. */
  #isSwapping = false
  #isClosed = false
  #latest: { readonly plugin: QueryPlugin; readonly disk: Disk } | undefined
  #hasResumed = false
  /** What takes time goes one after the other: one version has closed before the next one opens the same file. */
  #work: Promise<void> = Promise.resolve()
  readonly #versionSwap

  constructor(init: QueryLifeInit) {
    this.#init = init
    const { clock, limits } = init
    this.#versionSwap = createVersionSwap({ clock, limits, isClosed: () => this.#isClosed })
    this.#serving = this.#create(init.plugin, { isServing: true, isRebuild: false })
  }

  get file(): string | null {
    return this.#init.file
  }

  get name(): string {
    return this.#serving.supervisor.name
  }

  start(): Promise<void> {
    return this.#serving.supervisor.start()
  }

  ask(
    question: string,
    parameters: Readonly<Record<string, unknown>>,
    options: AskOptions,
  ): Promise<unknown> {
    return this.#serving.supervisor.ask(question, parameters, options)
  }

  status(): QueryStatus {
    const building = this.#building === null ? null : buildStatus(this.#building, this.#init.file)
    return { ...this.#serving.supervisor.status(), building }
  }

  advance(): void {
    this.#serving.supervisor.advance()
    this.#building?.supervisor.advance()
  }

  deliver(message: QueryMessage): void {
    this.#serving.supervisor.deliver(message)
    // Its read model is one of its own, and takes the place of the other soon.
    this.#building?.supervisor.deliver(message)
  }

  parts(): readonly string[] {
    return [this.#serving, this.#building].flatMap(
      version => version?.supervisor.parts().map(({ file }) => file) ?? [],
    )
  }

  isEstablished(): boolean {
    return this.#serving.supervisor.isLoaded() || this.#serving.supervisor.status().state === 'stopped'
  }

  fail(message: string): void {
    this.#serving.supervisor.fail(message)
  }

  retryNow(): void {
    this.#serving.supervisor.retryNow()
    this.#building?.supervisor.retryNow()
  }

  update(plugin: QueryPlugin, disk: Disk): void {
    this.#latest = { plugin, disk }
    this.#reconcile()
  }

  rebuild(): void {
    const { supervisor, plugin } = this.#serving
    const { name } = supervisor
    if (this.#building !== null) return
    const { state, lastError } = supervisor.status()
    if (state === 'failed') {
      const why = lastError === null ? '' : `: ${lastError.message}`
      throw new GlynError('QUERY_FAILED', `query ${name} does not load, so it cannot be built again${why}`)
    }
    if (state === 'loading')
      throw new GlynError('UNAVAILABLE', `query ${name} is loading; try again when it has`)
    if (this.#init.isPaused(name)) {
      throw new GlynError('INVALID_ARGUMENT', `query ${name} is paused; resume it, then build it again`)
    }
    this.#init.log.info(
      this.#fields(),
      `query ${name}: it is built again beside its read model, which answers until then`,
    )
    this.#build(plugin, { isRebuild: true })
  }

  async pause(): Promise<void> {
    const held = Promise.all(
      [this.#serving, this.#building].map(version => version?.supervisor.hold('pause')),
    )
    await within(this.#init.clock, this.#init.limits.swapMsMax, held)
  }

  resume(): void {
    this.#serving.supervisor.release('pause')
    this.#building?.supervisor.release('pause')
  }

  async close(why?: string): Promise<void> {
    this.#isClosed = true
    this.#versionSwap.maybeGoOn()
    await Promise.all([this.#serving.supervisor.close(why), this.#building?.supervisor.close(why)])
    await this.#work
  }

  /** What is on the disk is what runs, or is built to run. */
  #reconcile(): void {
    const latest = this.#latest
    if (latest === undefined || this.#isSwapping || this.#isClosed) return
    const { plugin } = latest
    if (this.#building !== null) {
      if (isOnDisk(this.#building, latest)) return
      if (isOnDisk(this.#serving, latest)) {
        this.#init.log.info(
          this.#fields(),
          `query ${this.name}: its code is again that of the version that answers`,
        )
        this.#cancelBuild()
      } else {
        this.#sayChanged('the new version is built anew')
        this.#cancelBuild()
        this.#build(plugin, { isRebuild: false })
      }
      return
    }
    if (isOnDisk(this.#serving, latest)) return
    if (this.#serving.supervisor.isLoaded()) {
      this.#sayChanged('the new version is built beside the old one, which answers until then')
      this.#build(plugin, { isRebuild: false })
    } else {
      this.#sayChanged('it is loaded again')
      const old = this.#serving
      const next = this.#create(plugin, { isServing: true, isRebuild: false })
      this.#serving = next
      this.#enqueue(async () => {
        await old.supervisor.close('its file has changed; ask again')
        if (!this.#isClosed) void next.supervisor.start()
      })
    }
  }

  #sayChanged(what: string): void {
    const { file } = this.#init
    this.#init.log.info(
      this.#fields(),
      `query ${this.name}: ${file === null ? 'its code' : basename(file)} has changed: ${what}`,
    )
  }

  #build(plugin: QueryPlugin | null, { isRebuild }: { readonly isRebuild: boolean }): void {
    const next = this.#create(plugin, { isServing: false, isRebuild })
    this.#building = next
    this.#enqueue(() => {
      if (this.#building === next && !this.#isClosed) void next.supervisor.start()
    })
  }

  #cancelBuild(): void {
    const old = this.#building
    this.#building = null
    if (old === null) return
    this.#enqueue(async () => {
      await old.supervisor.close()
      this.#init.removeNext(this.name)
    })
  }

  #create(
    plugin: QueryPlugin | null,
    { isServing, isRebuild }: { readonly isServing: boolean; readonly isRebuild: boolean },
  ): QueryVersion {
    const supervisor = this.#init.createVersion(plugin, {
      isServing,
      claim: name => this.#claim(version, name),
      onChange: () => this.#onChange(version),
    })
    const startedAtMs = this.#init.clock.now()
    const version: QueryVersion = { supervisor, plugin, helpersHash: undefined, isRebuild, startedAtMs }
    return version
  }

  /** The version has said its name. */
  #claim(version: QueryVersion, name: string): Place {
    if (version === this.#building && name === this.name) {
      const { path, nextPath } = this.#init.claim(name)
      this.#maybePause(version, name)
      return { path: nextPath ?? path, nextPath: null }
    }
    const places = this.#init.claim(name)
    this.#maybePause(version, name)
    if (version === this.#building) this.#becomeAnother(version)
    return places
  }

  #maybePause(version: QueryVersion, name: string): void {
    if (this.#init.isPaused(name)) void version.supervisor.hold('pause')
  }

  /** The file defines a query of another name now: the old one is gone, the new one begins. */
  #becomeAnother(version: QueryVersion): void {
    const old = this.#serving
    const { name } = old.supervisor
    this.#serving = version
    this.#building = null
    version.supervisor.serve()
    this.#init.log.info(this.#fields(), `query ${name}: its file defines ${version.supervisor.name} now`)
    this.#enqueue(async () => {
      await old.supervisor.close('its file defines another query now')
      this.#init.retire(name)
    })
  }

  #onChange(version: QueryVersion): void {
    if (this.#isClosed) return
    this.#versionSwap.maybeGoOn()
    if (
      version === this.#serving &&
      version.supervisor.hasNext &&
      !this.#hasResumed &&
      this.#building === null
    ) {
      this.#hasResumed = true
      this.#init.log.info(this.#fields(), `query ${this.name}: the rebuild that was under way goes on`)
      this.#build(version.plugin, { isRebuild: true })
      return
    }
    if (version !== this.#building || this.#isSwapping) return
    const { supervisor } = version
    if (!version.isRebuild && supervisor.isLoaded() && isSame(supervisor, this.#serving.supervisor)) {
      // Its files moved, or one that does not matter changed.
      this.#serving.plugin = version.plugin
      this.#serving.supervisor.learnParts(supervisor.parts())
      this.#cancelBuild()
    } else if (supervisor.isCaughtUp()) {
      this.#isSwapping = true
      this.#enqueue(() => this.#swap(version))
    }
  }

  async #swap(next: QueryVersion): Promise<void> {
    const old = this.#serving.supervisor
    try {
      const isDone = await this.#versionSwap.swap(
        { old, next: next.supervisor },
        {
          isWanted: () => this.#building === next,
          exchange: () => {
            this.#serving = next
            this.#building = null
          },
        },
      )
      if (!isDone) return
      const seconds = ((this.#init.clock.now() - next.startedAtMs) / 1000).toFixed(1)
      const what = next.isRebuild ? 'the read model was built again' : 'the new version answers'
      this.#init.log.info(this.#fields(), `query ${this.name}: ${what}, after ${seconds} s`)
    } finally {
      this.#isSwapping = false
      this.#reconcile()
    }
  }

  #enqueue(action: () => Promise<void> | void): void {
    const done = this.#work.then(action)
    this.#work = done.catch(error => {
      const why = error instanceof Error ? error.message : String(error)
      this.#init.log.error(this.#fields(), `query ${this.name}: ${why}`)
    })
  }

  #fields() {
    return { query: this.name, file: this.#init.file }
  }
}
