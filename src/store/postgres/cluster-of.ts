// Which cluster a PostgreSQL store belongs to: one row, which the first that claims it fills.
import type { Session } from './connections.ts'

/** Of many claims at once the first to lock the row wins: the others wait for it, and find that it is filled. */
export async function clusterOf(
  session: Session,
  { schema, claim }: { readonly schema: string; readonly claim: string | null },
): Promise<string | null> {
  if (claim !== null) {
    await session.query(`update ${schema}.store set cluster_id = $1 where id = 1 and cluster_id is null`, [
      claim,
    ])
  }
  // A statement of its own: one that waited does not see what it waited for.
  const [row] = await session.query<{ cluster: string | null }>(
    `select cluster_id as cluster from ${schema}.store where id = 1`,
  )
  return row?.cluster ?? null
}
