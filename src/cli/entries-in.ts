// How many entries a backup has, as it says itself at its beginning.
import { parseToken } from '../core/token.ts'
import type { BackupHeader } from '../node/moving/backup-contents.ts'

export const entriesIn = ({ token }: BackupHeader): number =>
  [...parseToken(token).values()].reduce((sum, index) => sum + index, 0)
