// Single-server changes of the configuration: which ones are possible now, and what they lead to.
import type { ReplicaId } from '../core/replica-id.ts'
import type { Configuration } from './configuration.ts'
import type { ChangeResult, ConfigurationChange } from './raft.ts'

type Refusal = Extract<ChangeResult, { readonly type: 'refused' }>['reason']

/** The configuration after `change`, or why there is none. `isCaughtUp` speaks of the learner to promote. */
export function applyChange(
  configuration: Configuration,
  change: ConfigurationChange,
  isCaughtUp: (id: ReplicaId) => boolean,
): Configuration | Refusal {
  const { voters, learners } = configuration
  const { id } = change
  const isVoter = voters.includes(id)
  const isLearner = learners.includes(id)
  const others = { voters: voters.filter(one => one !== id), learners: learners.filter(one => one !== id) }
  if (change.type === 'add-learner') {
    return isVoter || isLearner ? 'already-so' : { voters, learners: [...learners, id] }
  }
  if (!isVoter && !isLearner) return 'no-such-member'
  switch (change.type) {
    case 'promote':
      if (isVoter) return 'already-so'
      return isCaughtUp(id) ? { ...others, voters: [...voters, id] } : 'not-caught-up'
    case 'demote':
      if (isLearner) return 'already-so'
      return others.voters.length === 0 ? 'last-voter' : { ...others, learners: [...learners, id] }
    case 'remove':
      return isVoter && others.voters.length === 0 ? 'last-voter' : others
  }
}
