// The read model that a runner has open: opened, moved to another place, and opened anew when it is damaged or was closed.
import type { NormalQuery } from './define-query.ts'
import {
  type ConnectReadModel,
  isDamage,
  type OpenedReadModel,
  openReadModel,
  type ReadModel,
  replaceDamaged,
} from './read-model.ts'
import { moveReadModel, settleReadModels } from './read-model-files.ts'
import { type FromRunner, type ToRunner, toErrorText } from './runner-messages.ts'

export interface RunnerModelInit {
  readonly query: NormalQuery
  readonly settings: Pick<
    Extract<ToRunner, { type: 'open' }>,
    'path' | 'nextPath' | 'contentHash' | 'history'
  >
  /** Files when left out. */
  readonly connect?: ConnectReadModel | undefined
  /** Hears `opened`, and `load-failed` of one that could not be opened anew. */
  post(message: FromRunner): void
  /** Another one is open now. */
  onOpened(): void
}

export interface RunnerModel {
  /** Undefined until the first one is open, and when none could be opened anew. */
  readonly is: ReadModel | undefined
  /** 0 where nothing was seen. */
  positionOf(partition: number): number
  /** Throws when it cannot, or when the `init` of the query does. */
  open(): void
  /** It takes this place, whatever is there. No batch is under way. */
  adopt(path: string): void
  /** After this error: a damaged or closed database does not heal by a retry, it is opened anew. */
  repair(error: unknown): void
  close(): void
}

export function createRunnerModel(init: RunnerModelInit): RunnerModel {
  const { query, connect, post } = init
  const { nextPath, contentHash, history } = init.settings
  const identity = { name: query.name, version: query.version, contentHash, history }
  let model: ReadModel | undefined
  let hasNext = false
  /** Where it is. */
  let place = init.settings.path

  const tellOpened = (opened: ReadModel, note: string | null): void => {
    const positions = [...opened.positions]
    post({ type: 'opened', positions, note, parked: opened.parked.counts(), hasNext })
  }

  const take = (opened: OpenedReadModel): void => {
    try {
      query.definition?.init?.(opened.model.db)
    } catch (error) {
      opened.model.close()
      throw error
    }
    model = opened.model
    tellOpened(model, opened.note)
    init.onOpened()
  }

  return {
    get is() {
      return model
    },
    positionOf: partition => model?.positions.get(partition) ?? 0,
    open() {
      if (nextPath !== null) hasNext = settleReadModels({ path: place, nextPath, identity })
      take(openReadModel(place, identity, connect))
    },
    adopt(path) {
      const moving = model
      if (moving === undefined) return
      if (path === ':memory:') {
        tellOpened(moving, null)
        return
      }
      model = undefined
      try {
        moveReadModel(moving, { from: place, to: path })
        place = path
        take(openReadModel(path, identity))
      } catch (error) {
        post({ type: 'load-failed', error: toErrorText(error) })
      }
    },
    repair(error) {
      if (model === undefined || (model.db.open && !isDamage(error))) return
      model.close()
      try {
        take(
          isDamage(error)
            ? replaceDamaged(place, { identity, error })
            : openReadModel(place, identity, connect),
        )
      } catch (cause) {
        model = undefined
        post({ type: 'load-failed', error: toErrorText(cause) })
      }
    },
    close: () => model?.close(),
  }
}
